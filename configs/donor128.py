"""The default painter, first part: it rebuilds faces from themselves as donors.

Command: python -m train.pack data/faces128 data/people -o data/all-train.npz
         python -m train.pack data/faces128 data/people -o data/all-val.npz --split val
         python -m train --config configs/donor128.py --workdir runs/donor128
Then: configs/donor128_adversary.py. benchmarks/TRAINING.md has the runs.
"""

from jaxanon.models import DonorConfig, ProjectedConfig
from train.config import AugmentConfig, DataConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(
        learning_rate=6e-4, beta1=0.5, warmup_images=1_000, clip_norm=10.0
    )
    return TrainConfig(
        name="donor128",
        generator=DonorConfig(),
        discriminator=ProjectedConfig(keypoints=11),
        posterior=1.0,
        objective=(),
        reconstruction=(
            ("l1", 3.0),
            ("perceptual", 4.0, {"features": "train.efficientnet.features"}),
        ),
        background=1.0,
        keep=0.1,
        data=DataConfig(path="data/all-train.npz"),
        augment=AugmentConfig(darken=0.25, cut=0.08, zoom=0.5, blur=0.3),
        generator_optimizer=adam,
        batch_size=16,
        images=200_000,
        ema_half_life_images=2_000.0,
        log_images=400,
        sample_images=4_000,
        evaluate_images=20_000,
        checkpoint_images=2_000,
    )
