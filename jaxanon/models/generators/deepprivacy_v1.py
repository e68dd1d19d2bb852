"""The generator published as DeepPrivacy in 2019, layer for layer.

A U-Net of 46.9 M parameters that sees the erased crop and one one-hot map per keypoint
at every resolution; z enters at the bottleneck. Written for the CPU as well: a
convolution of 1 x 1 over a concatenation is a sum of smaller ones, and commutes with
nearest-neighbour upsampling, so neither is ever built.

References:
    Hukkelas et al. 2019, DeepPrivacy: A generative adversarial network for face
    anonymization; Karras et al. 2018 for the equalised learning rate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import layers, winograd
from jaxanon.types import FDF_KEYPOINTS, KEYPOINTS, Condition

MANY_CHANNELS = 128
FINE_ENOUGH = 32
"""Channels and side of the grid from which a transformed kernel is faster."""

COARSEST = 4
"""Height and width of the bottleneck in pixels."""


@dataclass(frozen=True)
class DeepPrivacyConfig:
    """The shape of the published network; the defaults are the published ones."""

    kind: str = "deepprivacy_v1"
    resolution: int = 128
    """Side of the crop in pixels, a power of two."""
    width: int = 512
    """Channels up to 32 x 32; they halve with every finer resolution."""
    latent_channels: int = 32
    """Of z, which has the bottleneck's height and width."""
    norm_epsilon: float = 1e-8
    """Under the root of the pixel norm; the 2020 code has 1e-7."""
    dtype: str = "float32"
    """Compute dtype; parameters are float32."""


LATENT = "normal"


def latent_shape(config: DeepPrivacyConfig) -> tuple[int, int, int]:
    """Returns height, width and channels of one latent z."""
    return (COARSEST, COARSEST, config.latent_channels)


def init(key: jax.Array, config: DeepPrivacyConfig) -> Mapping[str, Any]:
    """Draws the parameters: unit normal kernels (scaled in use) and zero biases."""
    size = (1, config.resolution, config.resolution)
    keypoints = jnp.zeros((1, len(KEYPOINTS), 2))
    condition = Condition(
        jnp.zeros((*size, 3)), jnp.zeros((*size, 1)), keypoints, keypoints[..., 0]
    )
    z = jnp.zeros((1, *latent_shape(config)))
    return PublishedGenerator(config).init(key, condition, z)["params"]


def generate(
    config: DeepPrivacyConfig,
    params: Mapping[str, Any],
    condition: Condition,
    z: Float[Array, "b i j z"],
) -> Float[Array, "b h w 3"]:
    """Paints one face per condition; float32 in about [-1, 1], not clipped."""
    return PublishedGenerator(config).apply({"params": params}, condition, z)  # type: ignore[return-value]


def prepare(params: Mapping[str, Any]) -> dict[str, Any]:
    """Transforms the large kernels for a CPU; the faces stay the same but for rounding.

    Args:
        params: Of the network; not changed. What comes back serves `generate` only.
    """
    return {name: _prepare(name, layer) for name, layer in params.items()}


def _prepare(name: str, layer: Mapping[str, Any]) -> Mapping[str, Any]:
    kernel = layer["conv"]["kernel"] if "conv" in layer else layer["kernel"]
    if kernel.shape[0] != 3 or min(kernel.shape[2:]) < MANY_CHANNELS:
        return layer
    if int(name.split("_")[1]) < FINE_ENOUGH:
        return layer
    bias = layer["conv"]["bias"]
    return {"conv": {layers.PREPARED: winograd.transform(kernel), "bias": bias}}


def one_hot_maps(
    keypoints: Float[Array, "b k 2"], visible: Float[Array, "b k"], *, size: int
) -> Float[Array, "b s s k"]:
    """Marks the pixel of each keypoint with 1, all others with 0.

    Args:
        keypoints: x y in crop sides.
        visible: 1 = seen; the map of an unseen keypoint is 0 everywhere, and so is
            that of one outside [0, 1).
        size: height and width of the maps in pixels.
    """
    inside = ((keypoints >= 0) & (keypoints < 1)).all(-1) & (visible > 0.5)
    place = jnp.floor(keypoints * size)[:, None]  # [b 1 k 2]
    hit = place == jnp.arange(size, dtype=place.dtype)[:, None, None]  # [b s k 2]
    rows = hit[..., 1] & inside[:, None]
    return (rows[:, :, None] & hit[:, None, :, :, 0]).astype(jnp.float32)


class EqualizedConv(nn.Module):
    """Convolves the concatenation of its inputs; kernels are scaled in use.

    The first input may have half the resolution of the others: it is then convolved
    first and repeated afterwards, which is the same for a 1 x 1 kernel and a quarter
    of the work.
    """

    width: int
    kernel: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, *inputs: Float[Array, "b _h _w _c"]) -> Float[Array, "b h w d"]:
        """Returns the convolution with zero padding that keeps the size."""
        channels = [x.shape[-1] for x in inputs]
        shape = (self.kernel, self.kernel, sum(channels), self.width)
        gain = math.sqrt(2 / math.prod(shape[:3]))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        if self.has_variable("params", layers.PREPARED):
            kernel = self.get_variable("params", layers.PREPARED).astype(self.dtype)
            x = winograd.convolve(inputs[0].astype(self.dtype), kernel)
            return x * gain + bias.astype(self.dtype)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        total: Any = 0
        start = 0
        for x in inputs:
            part = kernel[:, :, start : start + x.shape[-1]]
            start += x.shape[-1]
            part = convolve(x.astype(self.dtype), part.astype(self.dtype))
            if x.shape[1] < inputs[-1].shape[1]:
                part = layers.upsample(part)
            total = total + part
        return total * gain + bias.astype(self.dtype)


class NormedConv(nn.Module):
    """An equalised convolution, leaky rectifier and pixel norm."""

    width: int
    kernel: int
    config: DeepPrivacyConfig

    @nn.compact
    def __call__(self, *inputs: Float[Array, "b _h _w _c"]) -> Float[Array, "b h w d"]:
        """Returns features whose channels have a unit root mean square."""
        dtype = jnp.dtype(self.config.dtype)
        x = EqualizedConv(self.width, self.kernel, dtype, name="conv")(*inputs)
        x = layers.leaky_relu(x).astype(jnp.float32)
        power = jnp.mean(jnp.square(x), -1, keepdims=True)
        x = x * jax.lax.rsqrt(power + self.config.norm_epsilon)
        return x.astype(dtype)


class PublishedGenerator(nn.Module):
    """The network itself: a U-Net from the finest grid to 4 x 4 and back."""

    config: DeepPrivacyConfig

    @nn.compact
    def __call__(
        self, condition: Condition, z: Float[Array, "b i j z"]
    ) -> Float[Array, "b h w 3"]:
        """Returns float32 images in about [-1, 1], not clipped."""
        config = self.config
        sizes = resolutions(config)
        x = self.conv("from_rgb", widths(config, sizes[0])[0], 1, condition.image)
        skips = []
        for size in sizes:
            if skips:
                x = layers.average_pool(x)
            _, wide = widths(config, size)
            x = self.conv(f"down_{size}_0", wide, 3, x)
            x = self.conv(f"down_{size}_1", wide, 3, x)
            skips.append(x)

        keypoints = condition.keypoints[:, : len(FDF_KEYPOINTS)]
        visible = condition.visible[:, : len(FDF_KEYPOINTS)]
        for size, skip in zip(reversed(sizes), reversed(skips), strict=True):
            narrow, wide = widths(config, size)
            maps = one_hot_maps(keypoints, visible, size=size)
            # The coarsest features are where the decoder starts, not a skip.
            extra = (skip, maps) if size > COARSEST else (maps, z)
            x = self.conv(f"merge_{size}", wide, 1, x, *extra)
            x = self.conv(f"up_{size}_0", narrow, 3, x)
            x = self.conv(f"up_{size}_1", narrow, 3, x)
        to_rgb = EqualizedConv(3, 1, jnp.dtype("float32"), name="to_rgb")
        return to_rgb(x)

    def conv(self, name: str, width: int, kernel: int, *inputs: Array) -> Array:
        """Adds a named layer."""
        return NormedConv(width, kernel, self.config, name=name)(*inputs)


def resolutions(config: DeepPrivacyConfig) -> list[int]:
    """Lists the sides of the grids, finest first."""
    side = config.resolution
    if side < COARSEST or side & (side - 1):
        raise ValueError(f"Resolution {side} must be a power of two, at least 4.")
    return [side >> level for level in range(side.bit_length() - 2)]


def widths(config: DeepPrivacyConfig, size: int) -> tuple[int, int]:
    """Returns the channels at a grid's border to the finer and the coarser one."""
    finer = config.width * 32 // max(size, 32)
    coarser = config.width * 32 // max(size // 2, 32)
    return finer, coarser


def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "i j c d"]
) -> Float[Array, "b h w d"]:
    """Convolves with stride 1 and zero padding that keeps the size."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
