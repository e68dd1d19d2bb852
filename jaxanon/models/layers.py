"""Building blocks of the networks: NHWC, parameters in float32, compute dtype given."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import winograd

PREPARED = "transformed"
"""The name of a kernel that is ready for ``winograd.convolve``."""

SLOPE = 0.2
"""Of the leaky rectifier, as in DeepPrivacy and StyleGAN."""


def leaky_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Applies the leaky rectifier that every network here uses."""
    return nn.leaky_relu(x, SLOPE)


def pixel_norm(x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """Scales every pixel's channel vector to unit root mean square.

    References:
        Karras et al. 2018, Progressive growing of GANs, section 4.2.
    """
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), -1, keepdims=True) + 1e-6)
    return (wide * scale).astype(x.dtype)


def pixel_unshuffle(x: Float[Array, "b h w c"], patch: int) -> Float[Array, "b i j d"]:
    """Folds each ``patch`` x ``patch`` square of pixels into channels."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch, patch, w // patch, patch, c)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // patch, w // patch, patch * patch * c)


def pixel_shuffle(x: Float[Array, "b i j d"], patch: int) -> Float[Array, "b h w c"]:
    """Unfolds channels into ``patch`` x ``patch`` squares of pixels."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, patch, patch, c // (patch * patch))
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * patch, w * patch, c // (patch * patch))


def average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
    """Halves height and width by 2 x 2 means."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def upsample(x: Float[Array, "b i j c"]) -> Float[Array, "b h w c"]:
    """Doubles height and width by repeating pixels."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)


@jax.custom_vjp
def smooth(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Filters with [1 2 1] / 4 along both axes: no checkerboard passes.

    References:
        Karras et al. 2019, A style-based generator, section 2 (after Zhang 2019).
    """
    for axis in (1, 2):
        size = x.shape[axis]
        first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
        last = jax.lax.slice_in_dim(x, size - 1, size, axis=axis)
        wide = jnp.concatenate([first, x, last], axis)
        before = jax.lax.slice_in_dim(wide, 0, size, axis=axis)
        after = jax.lax.slice_in_dim(wide, 2, size + 2, axis=axis)
        x = (before + after) / 4 + x / 2
    return x


# The matrix is symmetric; XLA's own transpose of the slices is slow on a CPU.
smooth.defvjp(lambda x: (smooth(x), None), lambda _, slope: (smooth(slope),))


def keypoint_maps(
    keypoints: Float[Array, "b k 2"],
    visible: Float[Array, "b k"],
    *,
    size: int,
    sigma: float = 0.02,
) -> Float[Array, "b s s k"]:
    """Draws one Gaussian bump per keypoint.

    Args:
        keypoints: x y in crop sides.
        visible: 1 = seen; the map of an unseen keypoint is 0 everywhere.
        size: Height and width of the maps in pixels.
        sigma: Width of the bump in crop sides; never under half a pixel, so that a
            keypoint between two pixels of a coarse map does not vanish.
    """
    sigma = max(sigma, 0.5 / size)
    centres = (jnp.arange(size) + 0.5) / size
    distance = (centres[None, :, None, None] - keypoints[:, None]) / sigma
    bump = jnp.exp(-0.5 * jnp.square(distance))  # [b s k 2]
    column, row = bump[..., 0], bump[..., 1] * visible[:, None]
    return row[:, :, None] * column[:, None, :]


def convolve_thin(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c d"], *_, **__
) -> Float[Array, "b h w d"]:
    """Convolves 3 x 3 for few channels out: one product for all taps, then a sum.

    Twice as fast on a CPU as XLA's own. What else ``flax.linen.Conv`` passes is taken
    for stride 1 and zero padding that keeps the size.
    """
    height, width = x.shape[1:3]
    taps = jnp.einsum("bhwc,ijcd->bhwijd", x, kernel)
    taps = jnp.pad(taps, ((0, 0), (1, 1), (1, 1), (0, 0), (0, 0), (0, 0)))
    places = [(i, j) for i in range(3) for j in range(3)]
    parts = [taps[:, i : i + height, j : j + width, i, j] for i, j in places]
    return sum(parts[1:], parts[0])


class Conv(nn.Module):
    """A square convolution with He-normal weights times ``gain``."""

    width: int
    kernel: int = 3
    gain: float = 1.0
    convolve: Callable[..., Array] | None = None
    """Computes it; None = as the compiler likes."""
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """Convolves with stride 1 and zero padding that keeps the size."""
        if self.has_variable("params", PREPARED):
            kernel = self.get_variable("params", PREPARED).astype(self.dtype)
            bias = self.get_variable("params", "bias").astype(self.dtype)
            return winograd.convolve(x.astype(self.dtype), kernel) + bias
        scale = max(2.0 * self.gain**2, 1e-12)
        return nn.Conv(
            self.width,
            (self.kernel, self.kernel),
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(scale, "fan_in", "normal"),
            conv_general_dilated=self.convolve,
        )(x)


class Dense(nn.Module):
    """A linear layer with He-normal weights times ``gain``."""

    width: int
    gain: float = 1.0
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b d"]:
        """Multiplies by a matrix and adds a bias."""
        scale = max(2.0 * self.gain**2, 1e-12)
        return nn.Dense(
            self.width,
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(scale, "fan_in", "normal"),
        )(x)


class StyledBlock(nn.Module):
    """A pre-activation residual block, modulated by a style vector where one is given.

    References:
        Perez et al. 2018, FiLM; Karras et al. 2019, A style-based generator.
    """

    width: int
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], style: Float[Array, "b s"] | None = None
    ) -> Float[Array, "b h w c"]:
        """Adds two modulated convolutions to the input."""
        hidden = x
        for gain in (1.0, 0.1):
            hidden = pixel_norm(hidden)
            if style is not None:
                modulation = Dense(2 * self.width, gain=0.25, dtype=self.dtype)(style)
                scale, shift = jnp.split(modulation[:, None, None], 2, -1)
                hidden = hidden * (1 + scale) + shift
            hidden = Conv(self.width, gain=gain, dtype=self.dtype)(leaky_relu(hidden))
        return x + hidden
