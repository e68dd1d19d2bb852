"""The generator and objective that DeepPrivacy was published with, 46.9 M parameters.

WGAN-GP (lambda 10, epsilon 0.001), Adam at 0.00175 with betas (0, 0.99), batch 64, EMA
half-life 10,000 images, 40 M images; no posterior, no reconstruction.

Left out: progressive growing. It was there to make a 128 px GAN stable without
regularised or residual critics; the authors dropped it in their own later code, whose
port of this generator trains at 128 px from the start. Also ours: the discriminator
(residual, one of ours), means in place of sums of losses (Adam divides by the scale),
mirroring with left and right keypoints exchanged.

Command: python -m train --config configs/deepprivacy_v1.py --workdir runs/dp1
Hardware: one GPU with 40 GB. Time and score: not run yet.
"""

from jaxanon.models.generators.deepprivacy_v1 import DeepPrivacyConfig
from train.config import AugmentConfig, DataConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    """Returns the experiment."""
    adam = OptimizerConfig(learning_rate=1.75e-3, beta1=0.0, beta2=0.99)
    return TrainConfig(
        name="deepprivacy_v1",
        generator=DeepPrivacyConfig(),
        posterior=0.0,
        objective=(("wgan_gp", {"weight": 10.0, "epsilon": 0.001}),),
        reconstruction=(),
        background=0.0,
        data=DataConfig(path="data/records/fdf/128/1.0.0", resident=False, threads=16),
        augment=AugmentConfig(
            jitter=0.02,
            enlarge=(1.0, 1.0),
            occlude=0.0,
            drop_all=0.0,
            drop_mouth=1.0,
            drop_some=0.0,
            keypoint_noise=0.0,
        ),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        batch_size=64,
        images=40_000_000,
        ema_half_life_images=10_000.0,
        ema_rampup=1e9,
    )
