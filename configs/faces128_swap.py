"""The second half of the default generator's training: faces with another's z.

Every other face of a batch is painted with the z of another person, as in use, and has
only the discriminator to please, at half its weight; the rest is rebuilt as before.
Hair and beards of z learn to fit what is around the face.

Command: python -m train --config configs/faces128_swap.py --workdir runs/faces128_swap
Hardware: as faces128, whose workdir it begins from (``init_from``). Time and score: at
this size not run yet. At the size of faces128_preview it made one half of the mean that
ships, in 33,696 images: see benchmarks/TRAINING.md.
"""

import dataclasses

from configs import faces128
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(
        learning_rate=3e-4, warmup_images=5_000, decay=True, clip_norm=10.0
    )
    return dataclasses.replace(
        faces128.get_config(),
        name="faces128_swap",
        posterior=0.5,
        swap=True,
        swap_weight=0.5,
        objective=(("hinge", 0.2),),
        kl=0.0002,
        generator_optimizer=adam,
        discriminator_optimizer=dataclasses.replace(adam, learning_rate=2e-4),
        images=1_000_000,
        init_from="runs/faces128",
    )
