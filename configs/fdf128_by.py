"""The default generator on FDF's CC BY and CC BY-SA faces, for any use.

Command: python -m train.fdf_builder data/fdf -o data/records --licence by by-sa
         python -m train --config configs/fdf128_by.py --workdir runs/fdf128_by
Hardware: 1 to 8 GPUs of 40 GB. Time and score: not run yet.
"""

import dataclasses

from configs import fdf128
from train.config import DataConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    return dataclasses.replace(
        fdf128.get_config(),
        name="fdf128_by",
        data=DataConfig(
            path="data/records/fdf/128_by_by-sa/1.0.0",
            licences=("by", "by-sa"),
            resident=False,
            threads=16,
        ),
    )
