"""A small generator for a CPU, second half: a critic of texture sharpens its faces.

Goes on from ``runs/preview`` (see ``faces128_preview``). The discriminator judges parts
alone: from scratch, a judge of the whole face leads before it helps.

Command: python -m train --config configs/faces128_preview_gan.py --workdir runs/gan
Hardware: 2 CPU cores, 5 to 8 images/s. Time: an hour and more. What came out of such
runs is in benchmarks/TRAINING.md.
"""

import dataclasses

from configs import faces128_preview
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(warmup_images=3_200, clip_norm=10.0, beta1=0.5)
    weight = 0.2
    return dataclasses.replace(
        faces128_preview.get_config(),
        name="faces128_preview_gan",
        init_from="runs/preview",
        posterior=0.5,
        objective=(
            ("non_saturating", weight),
            ("r1_difference", weight, {"gamma": 0.02, "masked": True}),
            ("epsilon", weight, {"weight": 1e-3}),
        ),
        reconstruction=(
            ("l1", 7.0),
            ("perceptual", 4.0, {"features": "train.features.centerface"}),
        ),
        kl=0.002,
        generator_optimizer=dataclasses.replace(adam, learning_rate=3e-4),
        discriminator_optimizer=OptimizerConfig(learning_rate=6e-4),
        ema_half_life_images=2_000.0,
    )
