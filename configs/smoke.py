"""A trial run on faces drawn by code: trains, and shows that everything works.

Command: python -m train --config configs/smoke.py --workdir runs/smoke
Hardware: any CPU. Time: a minute or two, most of it compilation.
Score: none; the samples are coloured blobs with eyes.
"""

from jaxanon.models import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from train.config import DataConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    widths = (16, 24, 32)
    return TrainConfig(
        name="smoke",
        generator=GeneratorConfig(
            resolution=32, widths=widths, blocks=1, latent_dim=16, style_width=32
        ),
        discriminator=DiscriminatorConfig(resolution=32, widths=widths),
        encoder=EncoderConfig(resolution=32, widths=widths, latent_dim=16),
        data=DataConfig(path="drawn", drawn=256),
        generator_optimizer=OptimizerConfig(learning_rate=1e-3),
        discriminator_optimizer=OptimizerConfig(learning_rate=1e-3),
        batch_size=16,
        images=8_000,
        ema_half_life_images=1_000.0,
        log_images=400,
        sample_images=2_000,
        evaluate_images=4_000,
        checkpoint_images=2_000,
        evaluate_faces=32,
    )
