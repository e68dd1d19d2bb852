"""The project's own generator: a U-Net that a latent z steers at every resolution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import layers, winograd
from jaxanon.types import Condition


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
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        grid = config.resolution // config.patch
        sizes = [grid >> level for level in range(len(config.widths))]
        keypoints = condition.keypoints[:, : config.keypoints]
        visible = condition.visible[:, : config.keypoints]
        maps = [
            layers.keypoint_maps(keypoints, visible, size=size).astype(dtype)
            for size in sizes
        ]
        style = self.style(keypoints, visible, z).astype(dtype)

        pixels = jnp.concatenate([condition.image, condition.mask], -1).astype(dtype)
        x = jnp.concatenate([layers.pixel_unshuffle(pixels, config.patch), maps[0]], -1)
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

        size, width = sizes[-1], config.widths[-1]
        seed = layers.Dense(size * size * width, dtype=dtype, name="seed")(style)
        x = x + seed.reshape(-1, size, size, width)
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

        x = layers.leaky_relu(layers.pixel_norm(x))
        x = layers.Conv(12 * config.patch**2, 1, dtype=dtype, name="fine")(x)
        x = layers.leaky_relu(layers.pixel_shuffle(x, config.patch))
        x = layers.smooth(x.astype(jnp.float32))
        thin = layers.convolve_thin
        return layers.Conv(3, gain=0.5, convolve=thin, name="to_rgb")(x)

    def style(
        self,
        keypoints: Float[Array, "b k 2"],
        visible: Float[Array, "b k"],
        z: Float[Array, "b z"],
    ) -> Float[Array, "b s"]:
        """Maps the latent and the keypoints to the style vector, in float32."""
        places = (keypoints - 0.5) * visible[..., None]
        places = places.reshape(len(places), -1)
        style = jnp.concatenate([z, 4 * places, visible], -1)
        for layer in range(2):
            dense = layers.Dense(self.config.style_width, name=f"style_{layer}")
            style = layers.leaky_relu(dense(style))
        return style
