"""The project's own generator: a U-Net that a latent z steers at every resolution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import layers, winograd
from jaxanon.types import Condition, empty_condition


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of the U-Net; stored with the weights and read back by inference."""

    kind: str = "unet"
    resolution: int = 128
    """Side of the crop in pixels."""
    patch: int = 2
    """Squares of patch x patch pixels become one cell of the finest grid."""
    widths: tuple[int, ...] = (96, 128, 160, 160, 160)
    """Channels at each grid, finest first; each grid halves the one before."""
    blocks: int = 2
    """Residual blocks at each grid, on the way down and again on the way up."""
    latent_dim: int = 128
    style_width: int = 256
    """Width of the style vector that z and the keypoints are mapped to."""
    keypoints: int = 9
    """How many of types.KEYPOINTS are used, from the first."""
    turn: float = 0.0
    """Heads turned farther are painted as turned just so far, because training knew no
    others: least distance between the eyes, see ``pose.limit_turn``; 0 = any."""
    dtype: str = "float32"
    """Compute dtype; parameters are float32."""


MANY_CHANNELS = 64
COARSEST_LEVEL = 1
"""Channels from which, and the level up to which, a transformed kernel costs less."""


def prepare(params: Mapping[str, Any]) -> dict[str, Any]:
    """Transforms large kernels for a CPU; the faces stay the same but for rounding.

    Args:
        params: Of the network; not changed. What comes back serves `generate` only.
    """
    return {
        name: {part: _prepare(name, layer) for part, layer in block.items()}
        for name, block in params.items()
    }


def _prepare(block: str, layer: Any) -> Any:
    way, _, level = block.partition("_")
    if way not in ("down", "up") or int(level[0]) > COARSEST_LEVEL:
        return layer
    if (
        "Conv_0" not in layer
        or min(layer["Conv_0"]["kernel"].shape[2:]) < MANY_CHANNELS
    ):
        return layer
    inner = layer["Conv_0"]
    kernel = winograd.transform(inner["kernel"])
    return {layers.PREPARED: kernel, "bias": inner["bias"]}


LATENT = "normal"


def latent_shape(config: GeneratorConfig) -> tuple[int, ...]:
    """Returns the shape of one latent z, which is normally distributed."""
    return (config.latent_dim,)


def init(key: jax.Array, config: GeneratorConfig) -> Mapping[str, Any]:
    """Draws the parameters."""
    condition, z = (
        empty_condition(1, config.resolution),
        jnp.zeros((1, config.latent_dim)),
    )
    return Generator(config).init(key, condition, z)["params"]


def generate(
    config: GeneratorConfig,
    params: Mapping[str, Any],
    condition: Condition,
    z: Float[Array, "b z"],
) -> Float[Array, "b h w 3"]:
    """Paints one face per condition; float32 in about [-1, 1], not clipped."""
    faces = Generator(config).apply({"params": params}, condition, z)
    return jnp.asarray(faces, jnp.float32)


class Generator(nn.Module):
    """Paints the masked part of a crop, and the rest of the crop too.

    The first layers see the picture with the face erased, the mask and the keypoint
    maps; z, with the keypoints, becomes a style that modulates every block of the way
    up (Karras et al. 2019) and a coarse image added at the bottom of the U
    (Ronneberger et al. 2015).
    """

    config: GeneratorConfig

    @nn.compact
    def __call__(
        self, condition: Condition, z: Float[Array, "b z"]
    ) -> Float[Array, "b h w 3"]:
        """Returns images in about [-1, 1], not clipped."""
        places = condition.keypoints[:, : self.config.keypoints]
        visible = condition.visible[:, : self.config.keypoints]
        style = map_style(self.config.style_width, places, visible, z)
        fine = run(self.config, condition, style)
        return to_rgb(self.config, fine)


def map_style(
    width: int,
    keypoints: Float[Array, "b k 2"],
    visible: Float[Array, "b k"],
    z: Float[Array, "b z"],
) -> Float[Array, "b s"]:
    """Maps a latent and the keypoints to a style vector, in float32."""
    places = (keypoints - 0.5) * visible[..., None]
    places = places.reshape(len(places), -1)
    style = jnp.concatenate([z, 4 * places, visible], -1)
    for layer in range(2):
        style = layers.leaky_relu(layers.Dense(width, name=f"style_{layer}")(style))
    return style


def run(
    config: Any,
    condition: Condition,
    style: Float[Array, "b s"],
    extra: Float[Array, "b h w e"] | None = None,
) -> Float[Array, "b i j c"]:
    """Runs the U up to the features of the finest grid, inside a module.

    Args:
        config: A ``GeneratorConfig``, or another with its fields.
        condition: What the generator may know.
        style: Modulates every block of the way up.
        extra: More pictures that the first layer sees.
    """
    dtype = jnp.dtype(config.dtype)
    grid = config.resolution // config.patch
    sizes = [grid >> level for level in range(len(config.widths))]
    keypoints = condition.keypoints[:, : config.keypoints]
    visible = condition.visible[:, : config.keypoints]
    maps = [
        layers.keypoint_maps(keypoints, visible, size=size).astype(dtype)
        for size in sizes
    ]
    style = style.astype(dtype)

    # Down: the erased picture, its mask and the keypoints, halved grid by grid.
    pixels = jnp.concatenate([condition.image, condition.mask], -1).astype(dtype)
    parts = [layers.pixel_unshuffle(pixels, config.patch), maps[0]]
    if extra is not None:
        parts.append(layers.pixel_unshuffle(extra.astype(dtype), config.patch))
    x = jnp.concatenate(parts, -1)
    skips = []
    for level, width in enumerate(config.widths):
        if level:
            x = layers.average_pool(x)
        kernel = 1 if level else 3
        x = layers.Conv(width, kernel, dtype=dtype, name=f"enter_{level}")(x)
        for block in range(config.blocks):
            name = f"down_{level}_{block}"
            x = layers.StyledBlock(width, dtype=dtype, name=name)(x)
        skips.append(x)

    # The bottom: a coarse image of the style is added.
    size, width = sizes[-1], config.widths[-1]
    seed = layers.Dense(size * size * width, dtype=dtype, name="seed")(style)
    x = x + seed.reshape(-1, size, size, width)

    # Up: every grid meets what the way down saw at its size.
    for level in reversed(range(len(config.widths))):
        width = config.widths[level]
        if level < len(config.widths) - 1:
            x = layers.Conv(width, 1, dtype=dtype, name=f"leave_{level}")(x)
            skip = jnp.concatenate([skips[level], maps[level]], -1)
            skip = layers.Conv(width, 1, dtype=dtype, name=f"skip_{level}")(skip)
            x = layers.smooth(layers.upsample(x)) + skip
        for block in range(config.blocks):
            name = f"up_{level}_{block}"
            x = layers.StyledBlock(width, dtype=dtype, name=name)(x, style)
    return layers.leaky_relu(layers.pixel_norm(x))


def to_rgb(config: Any, fine: Float[Array, "b i j c"]) -> Float[Array, "b h w 3"]:
    """Turns the features of the finest grid into float32 pixels, inside a module."""
    dtype = jnp.dtype(config.dtype)
    x = layers.Conv(12 * config.patch**2, 1, dtype=dtype, name="fine")(fine)
    x = layers.leaky_relu(layers.pixel_shuffle(x, config.patch))
    x = layers.smooth(x.astype(jnp.float32))
    thin = layers.convolve_thin
    return layers.Conv(3, gain=0.5, convolve=thin, name="to_rgb")(x)
