"""A run that takes no time."""

from jaxanon.models import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from train.config import DataConfig, TrainConfig

TINY = TrainConfig(
    name="tiny",
    generator=GeneratorConfig(
        resolution=8, widths=(4,), blocks=1, latent_dim=2, style_width=4
    ),
    discriminator=DiscriminatorConfig(resolution=8, widths=(4, 4)),
    encoder=EncoderConfig(resolution=8, widths=(4, 4), latent_dim=2),
    objective=("non_saturating",),
    reconstruction=("l1",),
    data=DataConfig(drawn=16),
    batch_size=4,
    images=16,
    log_images=4,
    checkpoint_images=4,
    sample_images=0,
    evaluate_images=0,
    evaluate_faces=2,
)
