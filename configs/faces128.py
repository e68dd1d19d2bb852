"""The default generator on the faces128 pack.

A conditional VAE first; then a discriminator, which sees faces through a fixed
EfficientNet, judges its reconstructions. benchmarks/TRAINING.md tells how a small
generator came to this recipe.

Command: python -m train.pack data/faces128 -o data/faces128-train.npz
         python -m train.pack data/faces128 -o data/faces128-val.npz --split val
         python -m train --config configs/faces128.py --workdir runs/faces128
Hardware: one GPU with 16 GB or more. Time and score: not run yet.
"""

from jaxanon.models import EncoderConfig, GeneratorConfig, ProjectedConfig
from train.config import AugmentConfig, DataConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(
        learning_rate=5e-4, warmup_images=20_000, decay=True, clip_norm=10.0
    )
    return TrainConfig(
        name="faces128",
        generator=GeneratorConfig(turn=0.7),
        discriminator=ProjectedConfig(),
        encoder=EncoderConfig(),
        posterior=1.0,
        exposure=0.45,
        objective=(("hinge", 0.2, {"after": 4_000}),),
        reconstruction=(
            ("l1", 3.0),
            ("perceptual", 4.0, {"features": "train.efficientnet.features"}),
        ),
        kl=0.00015,
        latent_spread=1.17,
        data=DataConfig(path="data/faces128-train.npz"),
        augment=AugmentConfig(darken=0.3, cut=0.1, zoom=0.5),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        batch_size=64,
        images=5_000_000,
        ema_half_life_images=20_000.0,
    )
