"""A small generator for a CPU: close to what the default weights were trained with.

A conditional VAE and GAN in one: half of the batch is encoded and painted again, the
other half is painted from the prior, and the encoder must find its z again. The
discriminator sees pictures through a fixed EfficientNet.

Command: python -m train --config configs/faces128_preview.py --workdir runs/v2
             --set posterior=1.0 "objective=()" kl=0.0007 images=10000
                   generator_optimizer.learning_rate=1e-3
                   generator_optimizer.beta1=0.5
         python -m train --config configs/faces128_preview.py --workdir runs/preview
             --set init_from=runs/v2
Hardware: 2 CPU cores, 9 to 18 images/s. Time: two hours. Score: see
benchmarks/TRAINING.md.
"""

import dataclasses

from configs import faces128
from jaxanon.models import EncoderConfig, GeneratorConfig, ProjectedConfig
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(learning_rate=3e-4, warmup_images=3_200, clip_norm=10.0)
    return dataclasses.replace(
        faces128.get_config(),
        name="faces128_preview",
        generator=GeneratorConfig(widths=(32, 64, 128, 192, 192), blocks=1),
        discriminator=ProjectedConfig(),
        encoder=EncoderConfig(widths=(32, 64, 128, 192)),
        posterior=0.5,
        objective=(("hinge", 0.5),),
        reconstruction=(
            ("l1", 3.0),
            ("perceptual", 4.0, {"features": "train.efficientnet.features"}),
        ),
        kl=0.001,
        latent=0.5,
        generator_optimizer=adam,
        discriminator_optimizer=dataclasses.replace(adam, learning_rate=2e-4),
        batch_size=16,
        images=400_000,
        ema_half_life_images=4_000.0,
        log_images=800,
        sample_images=4_000,
        evaluate_images=16_000,
        checkpoint_images=4_000,
        evaluate_faces=64,
    )
