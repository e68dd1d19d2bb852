"""The default generator on all of FDF (1,421,253 training faces), streamed by grain.

Command: python -m train.fdf_builder data/fdf -o data/records
         python -m train --config configs/fdf128.py --workdir runs/fdf128
Hardware: 1 to 8 GPUs of 40 GB. Time and score: not run yet. The pictures include
non-commercial ones: weights trained on them are for research; see fdf128_by.
"""

import dataclasses

from configs import faces128
from train.config import DataConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    config = faces128.get_config()
    return dataclasses.replace(
        config,
        name="fdf128",
        generator=dataclasses.replace(config.generator, turn=0.0),  # It has profiles.
        data=DataConfig(path="data/records/fdf/128/1.0.0", resident=False, threads=16),
        images=40_000_000,
    )
