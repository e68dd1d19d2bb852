"""A generator for 256 x 256 crops on FDF256 (241,982 training faces).

Command: python -m train --config configs/fdf256.py --workdir runs/fdf256
Hardware: one GPU with 80 GB or several. Time and score: not run yet.
"""

import dataclasses

from configs import faces128
from jaxanon.models import EncoderConfig, GeneratorConfig, ProjectedConfig
from train.config import DataConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    return dataclasses.replace(
        faces128.get_config(),
        name="fdf256",
        generator=GeneratorConfig(resolution=256, widths=(48, 64, 128, 192, 256, 320)),
        discriminator=ProjectedConfig(resolution=256),
        encoder=EncoderConfig(resolution=256, widths=(32, 64, 128, 256, 256)),
        data=DataConfig(path="data/fdf256", resident=False, threads=16),
        batch_size=32,
        images=35_000_000,
    )
