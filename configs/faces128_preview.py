"""A small generator for a CPU: close to what the default weights were trained with.

A conditional VAE whose reconstructions a discriminator judges through a fixed
EfficientNet; the encoder sees relit faces, so that z leaves light to the surroundings.

Command: python -m train --config configs/faces128_preview.py --workdir runs/vae
             --set "objective=()" images=16000
                   generator_optimizer.learning_rate=8e-4
                   generator_optimizer.beta1=0.5
         python -m train --config configs/faces128_preview.py --workdir runs/preview
             --set init_from=runs/vae
Hardware: 2 CPU cores, 8 to 18 images/s. Time: two hours. Score: the shipped weights
took more runs, see benchmarks/TRAINING.md; this recipe from scratch: not run yet.
"""

import dataclasses

from configs import faces128
from jaxanon.models import EncoderConfig, GeneratorConfig, ProjectedConfig
from train.config import OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(learning_rate=3e-4, warmup_images=1_600, clip_norm=10.0)
    return dataclasses.replace(
        faces128.get_config(),
        name="faces128_preview",
        generator=GeneratorConfig(widths=(32, 64, 128, 192, 192), blocks=1),
        discriminator=ProjectedConfig(),
        encoder=EncoderConfig(widths=(48, 96, 192, 256)),
        posterior=1.0,
        exposure=0.3,
        objective=(("hinge", 0.2),),
        reconstruction=(
            ("l1", 3.0),
            ("perceptual", 4.0, {"features": "train.efficientnet.features"}),
        ),
        kl=0.0003,
        latent=0.0,
        latent_spread=1.3,
        generator_optimizer=adam,
        discriminator_optimizer=dataclasses.replace(adam, learning_rate=2e-4),
        batch_size=16,
        images=40_000,
        ema_half_life_images=1_500.0,
        log_images=800,
        sample_images=2_000,
        evaluate_images=16_000,
        checkpoint_images=4_000,
        evaluate_faces=64,
    )
