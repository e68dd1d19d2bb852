"""The default painter, second part: a discriminator, and other people's faces.

Every other face of a batch gets somebody else's face as its donor, as in use, and has
only the discriminator to please.

Command: python -m train --config configs/donor128_adversary.py --workdir runs/donor128a
It begins from the workdir of configs/donor128.py. benchmarks/TRAINING.md has the runs.
"""

import dataclasses

from configs import donor128
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(
        learning_rate=3e-4, beta1=0.5, warmup_images=1_000, clip_norm=10.0
    )
    return dataclasses.replace(
        donor128.get_config(),
        name="donor128_adversary",
        posterior=0.5,
        objective=(("hinge", 0.25),),
        keep=0.6,
        generator_optimizer=adam,
        discriminator_optimizer=dataclasses.replace(adam, beta1=0.0),
        init_from="runs/donor128",
    )
