"""A small generator for a CPU, first half: it learns what a face is.

A conditional variational autoencoder without an adversarial term: all of the batch is
encoded and painted again. Its faces are coherent, different for different z, and
blurred; ``faces128_preview_gan`` goes on from here.

Command: python -m train --config configs/faces128_preview.py --workdir runs/preview
Hardware: 2 CPU cores, 10 to 20 images/s. Time: half an hour. What came out of such
runs is in benchmarks/TRAINING.md.
"""

import dataclasses

from configs import faces128
from jaxanon.models import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    return dataclasses.replace(
        faces128.get_config(),
        name="faces128_preview",
        generator=GeneratorConfig(patch=4, widths=(48, 96, 192, 192), blocks=1),
        discriminator=DiscriminatorConfig(widths=(24, 48, 96), whole=False),
        encoder=EncoderConfig(widths=(32, 64, 128, 192)),
        posterior=1.0,
        objective=(),
        # About 0.43 of a crop is masked: 3 for each masked pixel, half for the others.
        reconstruction=(
            ("l1", 7.0),
            ("perceptual", 6.0, {"features": "train.features.centerface"}),
        ),
        background=1.5,
        kl=0.0007,
        generator_optimizer=OptimizerConfig(
            learning_rate=1e-3, beta1=0.5, warmup_images=3_200, clip_norm=10.0
        ),
        batch_size=16,
        images=30_000,
        ema_half_life_images=3_000.0,
        log_images=800,
        sample_images=8_000,
        evaluate_images=16_000,
        checkpoint_images=4_000,
        evaluate_faces=64,
    )
