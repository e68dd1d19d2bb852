"""A small generator for a CPU: close to what the default weights were trained with.

The recipe of faces128 at a size and a length for a CPU.

Command: python -m train --config configs/faces128_preview.py --workdir runs/preview
Hardware: 2 CPU cores, 8 to 16 images/s. Time: two hours. Score: the shipped weights
took more runs, see benchmarks/TRAINING.md; this recipe from scratch: not run yet.
"""

import dataclasses

from configs import faces128
from jaxanon.models import EncoderConfig, GeneratorConfig
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(
        learning_rate=3e-4, warmup_images=1_600, decay=True, clip_norm=10.0
    )
    return dataclasses.replace(
        faces128.get_config(),
        name="faces128_preview",
        generator=GeneratorConfig(widths=(32, 64, 128, 192, 192), turn=0.7),
        encoder=EncoderConfig(widths=(48, 96, 192, 256)),
        objective=(("hinge", 0.2, {"after": 1_000}),),
        generator_optimizer=adam,
        discriminator_optimizer=dataclasses.replace(adam, learning_rate=2e-4),
        batch_size=16,
        images=80_000,
        ema_half_life_images=3_000.0,
        log_images=800,
        sample_images=4_000,
        evaluate_images=16_000,
        checkpoint_images=4_000,
        evaluate_faces=64,
    )
