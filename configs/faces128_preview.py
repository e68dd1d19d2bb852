"""A small generator on the faces128 pack, for a CPU: a preview, not the real thing.

Command: python -m train --config configs/faces128_preview.py --workdir runs/preview
Hardware: 2 CPU cores, about 10 images/s. Time and score: not run yet.
"""

import dataclasses

from configs import faces128
from jaxanon.models import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    widths = (32, 64, 128, 256, 256)
    adam = OptimizerConfig(learning_rate=1e-3, warmup_images=3_000, clip_norm=10.0)
    return dataclasses.replace(
        faces128.get_config(),
        name="faces128_preview",
        generator=GeneratorConfig(widths=widths, blocks=1),
        discriminator=DiscriminatorConfig(widths=widths),
        encoder=EncoderConfig(widths=(48, 96, 192, 256)),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        batch_size=16,
        images=300_000,
        ema_half_life_images=5_000.0,
        log_images=800,
        sample_images=8_000,
        evaluate_images=16_000,
        checkpoint_images=4_000,
        evaluate_faces=64,
    )
