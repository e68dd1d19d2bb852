"""The default generator on the faces128 pack.

Command: python -m train.pack data/faces128 -o data/faces128-train.npz
         python -m train.pack data/faces128 -o data/faces128-val.npz --split val
         python -m train --config configs/faces128.py --workdir runs/faces128
Hardware: one GPU with 16 GB or more. Time and score: not run yet.
"""

from jaxanon.models import GeneratorConfig
from train.config import AugmentConfig, DataConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(learning_rate=5e-4, warmup_images=20_000, clip_norm=10.0)
    return TrainConfig(
        name="faces128",
        generator=GeneratorConfig(),
        objective=(
            ("non_saturating", 0.5),
            ("r1", {"gamma": 1.0, "every": 8}),
            ("epsilon", {"weight": 1e-3}),
        ),
        reconstruction=(("l1", 12.0), ("feature_matching", 1.0)),
        kl=0.01,
        data=DataConfig(path="data/faces128-train.npz"),
        augment=AugmentConfig(darken=0.3, cut=0.1),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        batch_size=64,
        images=10_000_000,
        ema_half_life_images=20_000.0,
    )
