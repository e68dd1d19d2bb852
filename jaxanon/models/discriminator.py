"""The networks that only training needs: discriminators and the face encoder."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import layers
from jaxanon.types import Condition


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The shape of the residual discriminator."""

    kind: str = "residual"
    resolution: int = 128
    patch: int = 2
    widths: tuple[int, ...] = (64, 128, 256, 384, 512)
    keypoints: int = 9
    whole: bool = True
    """Whether the crop is scored as a whole too, or only its parts: their texture."""
    dtype: str = "float32"


@dataclass(frozen=True)
class ProjectedConfig:
    """The shape of a discriminator that sees the maps of a fixed network."""

    kind: str = "projected"
    resolution: int = 128
    features: str = "train.efficientnet.mixed"
    """Dotted name of a function from images to maps."""
    keypoints: int = 9
    dtype: str = "float32"


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of the encoder that maps a real face to a latent during training."""

    resolution: int = 128
    patch: int = 4
    widths: tuple[int, ...] = (64, 128, 256, 256)
    latent_dim: int = 128
    dtype: str = "float32"


class DownBlock(nn.Module):
    """A residual block without normalisation that halves the grid."""

    width: int
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """Returns features of half the height and width."""
        hidden = layers.Conv(x.shape[-1], dtype=self.dtype)(layers.leaky_relu(x))
        hidden = layers.average_pool(layers.leaky_relu(hidden))
        hidden = layers.Conv(self.width, gain=0.5, dtype=self.dtype)(hidden)
        skip = layers.Conv(self.width, 1, gain=0.5, dtype=self.dtype)(
            layers.average_pool(x)
        )
        return skip + hidden


class Discriminator(nn.Module):
    """Scores whole crops, given what the generator was given.

    The score is the mean of local ones (Isola et al. 2017), plus a global one.
    """

    config: DiscriminatorConfig

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], condition: Condition
    ) -> tuple[Float[Array, "b"], list[Float[Array, "b i j c"]]]:
        """Returns the scores, higher for real, and the features of every grid."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        pixels = jnp.concatenate([images, condition.mask], -1).astype(dtype)
        maps = layers.keypoint_maps(
            condition.keypoints[:, : config.keypoints],
            condition.visible[:, : config.keypoints],
            size=config.resolution // config.patch,
        ).astype(dtype)
        x = jnp.concatenate([layers.pixel_unshuffle(pixels, config.patch), maps], -1)
        x = layers.Conv(config.widths[0], dtype=dtype)(x)
        features = [x]
        for width in config.widths[1:]:
            x = DownBlock(width, dtype=dtype)(x)
            features.append(x)
        parts = features[-2 if config.whole else -1]
        local = layers.Conv(1, 1, gain=0.5)(layers.leaky_relu(parts))
        local = local.astype(jnp.float32).mean((1, 2, 3))
        if not config.whole:
            return local, features
        x = layers.leaky_relu(x).astype(jnp.float32)
        x = layers.leaky_relu(layers.Dense(config.widths[-1])(x.reshape(len(x), -1)))
        score = layers.Dense(1, gain=0.5)(x)[:, 0]
        return score + local, features


class NormalizedConv(nn.Module):
    """A convolution whose kernel, as a matrix, is divided by its largest gain.

    The gain is found anew each time by a few power iterations, so that there is no
    state beside the parameters.

    References:
        Miyato et al. 2018, Spectral normalization, https://arxiv.org/abs/1802.05957
    """

    width: int
    kernel: int = 3
    stride: int = 1
    padding: str = "SAME"
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """Convolves and adds a bias."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.width)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,))
        matrix = kernel.reshape(-1, self.width)
        right = jnp.cos(jnp.arange(self.width) ** 2 + 1.0)
        for _ in range(4):
            left = matrix @ right
            right = left @ matrix
            right = right / (jnp.linalg.norm(right) + 1e-12)
        gain = jnp.linalg.norm(matrix @ jax.lax.stop_gradient(right))
        x = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            (kernel / (gain + 1e-12)).astype(self.dtype),
            (self.stride, self.stride),
            self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return x + bias.astype(self.dtype)


class ProjectedDiscriminator(nn.Module):
    """Scores pictures by the maps that a fixed network makes of them.

    One small judge for every map, as wide as the map, which halves it down to a grid
    of 4 x 4 and scores each place of it.

    References:
        Sauer et al. 2021, Projected GANs converge faster, section 3,
        https://arxiv.org/abs/2111.01007
    """

    config: ProjectedConfig

    @nn.compact
    def __call__(
        self, maps: list[Float[Array, "b _ _ _"]], condition: Condition
    ) -> tuple[Float[Array, "b n"], list[Float[Array, "b _ _ d"]]]:
        """Returns all scores, higher for real, and the judges' first features."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        scores, features = [], []
        for judge, x in enumerate(maps):
            size, width = x.shape[1], x.shape[-1]
            known = layers.keypoint_maps(
                condition.keypoints[:, : config.keypoints],
                condition.visible[:, : config.keypoints],
                size=size,
            )
            b, side = len(x), config.resolution // size
            mask = condition.mask.reshape(b, size, side, size, side, 1).mean((2, 4))
            x = jnp.concatenate([x.astype(dtype), known, mask], -1)
            x = NormalizedConv(width, 1, dtype=dtype, name=f"enter_{judge}")(x)
            features.append(x)
            while x.shape[1] > 4:
                x = NormalizedConv(width, 4, 2, dtype=dtype)(layers.leaky_relu(x))
            x = NormalizedConv(width, 3, dtype=dtype)(layers.leaky_relu(x))
            x = NormalizedConv(1, 1, dtype=dtype)(layers.leaky_relu(x))
            scores.append(x.astype(jnp.float32).reshape(b, -1))
        return jnp.concatenate(scores, -1), features


class Encoder(nn.Module):
    """Maps real faces to Gaussians in latent space; used in training only.

    References:
        Kingma & Welling 2014, Auto-encoding variational Bayes; Larsen et al. 2016,
        Autoencoding beyond pixels using a learned similarity metric.
    """

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], mask: Float[Array, "b h w 1"]
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Returns mean and log variance of the latent, from the masked part alone."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        pixels = jnp.concatenate([images * mask, mask], -1).astype(dtype)
        x = layers.pixel_unshuffle(pixels, config.patch)
        x = layers.Conv(config.widths[0], dtype=dtype)(x)
        for width in config.widths[1:]:
            x = layers.pixel_norm(DownBlock(width, dtype=dtype)(x))
        x = layers.leaky_relu(x).astype(jnp.float32).reshape(len(x), -1)
        mean, log_variance = jnp.split(
            layers.Dense(2 * config.latent_dim, gain=0.5)(x), 2, -1
        )
        return mean, jnp.clip(log_variance - 2.0, -10.0, 4.0)
