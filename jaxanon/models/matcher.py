"""Scores how well donors fit what is visible around an erased face.

Two small towers of convolutions, 28 MFLOP each: one sees hair, neck, hands, clothes and
light, the other an inner face; of faces and surroundings that belong together the
vectors are alike. Neither is told how the head is held: donors are chosen by that
apart.

References:
    Radford et al. 2021, CLIP (https://arxiv.org/abs/2103.00020), for the two towers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import layers
from jaxanon.models.generators.donor import INNER, draw_inner
from jaxanon.ops import affine, filters, sample, warp
from jaxanon.types import Condition, Donor

PLACE = ((0.708, 0.30), (0.292, 0.30), (0.678, 0.63), (0.322, 0.63))
"""Where the donor tower wants eyes and mouth corners, in sides of its picture; the
inner face then fills it."""

CORNERS = slice(1, 5)
"""Eyes and mouth corners among INNER: nose and lips move with pose and speech."""


@dataclass(frozen=True)
class MatcherConfig:
    """The shape of both towers."""

    kind: str = "matcher"
    resolution: int = 64
    """Side of what the towers see in pixels, a multiple of 16."""
    width: int = 16
    """Channels of the finest grid."""
    dimensions: int = 64
    """Of the vectors."""


def init(key: jax.Array, config: MatcherConfig) -> Mapping[str, Any]:
    """Draws the parameters of both towers."""
    seen = jnp.zeros((1, config.resolution, config.resolution, 4))
    key_surroundings, key_donor = jax.random.split(key)
    tower = _Tower(config)
    return {
        "surroundings": tower.init(key_surroundings, seen)["params"],
        "donor": tower.init(key_donor, seen)["params"],
    }


def embed_surroundings(
    config: MatcherConfig, params: Mapping[str, Any], condition: Condition
) -> Float[Array, "b d"]:
    """Embeds what is visible around erased faces.

    Args:
        config: Of the matcher.
        params: Of the matcher.
        condition: Its image and mask are looked at, its keypoints are not; of
            ``config.resolution``, or twice or four times as large and so on.

    Returns:
        Unit vectors; the product with a donor's is the score.
    """
    seen = jnp.concatenate([condition.image, condition.mask], -1)
    side = seen.shape[1]
    while seen.shape[1] > config.resolution and seen.shape[1] % 2 == 0:
        seen = filters.halve(seen)
    if seen.shape[1:3] != (config.resolution, config.resolution):
        raise ValueError(
            f"Conditions are {side} pixels wide, but must be {config.resolution} "
            "square, or twice or four times as large and so on."
        )
    return _embed(config, params["surroundings"], seen)


def embed_donors(
    config: MatcherConfig, params: Mapping[str, Any], donor: Donor
) -> Float[Array, "b d"]:
    """Embeds the inner faces of donors, wherever they are in their pictures.

    Args:
        config: Of the matcher.
        params: Of the matcher.
        donor: Square pictures of any size.

    Returns:
        Unit vectors.
    """
    return embed_inner(config, params, cut_inner(donor, config.resolution))


def embed_inner(
    config: MatcherConfig, params: Mapping[str, Any], inner: Float[Array, "b s s 4"]
) -> Float[Array, "b d"]:
    """Embeds inner faces that ``cut_inner`` has cut out."""
    return _embed(config, params["donor"], inner)


def cut_inner(donor: Donor, size: int) -> Float[Array, "b s s 4"]:
    """Cuts out the inner face, upright and of one size, with its soft mask.

    Args:
        donor: Square pictures.
        size: Side of the result in pixels.
    """
    image, known = donor.image, donor.keypoints[:, INNER]
    if image.shape[1] != image.shape[2]:
        raise ValueError(f"Donors are {image.shape[1:3]}, but must be square.")
    # A face that fills half of the picture has then up to twice the pixels it needs.
    while image.shape[1] >= 4 * size and image.shape[1] % 2 == 0:
        image = filters.halve(image)
    corners = known[:, CORNERS]
    place = jnp.broadcast_to(jnp.array(PLACE), corners.shape)
    to_place = warp.fit_similarity(corners, place, jnp.ones(corners.shape[:2]))
    # Each pixel is the mean of four reads, for faces that are larger than needed.
    points = sample.grid(size, per_pixel=2).reshape(1, -1, 2) / size
    points = affine.apply(affine.invert(to_place), jnp.repeat(points, len(image), 0))
    read = jax.vmap(sample.bilinear)(
        image.astype(jnp.float32), points * image.shape[1]
    ).reshape(-1, 2 * size, 2 * size, 3)
    # Nothing beyond the ellipse: hair and background would tell too much in training.
    inner = jnp.maximum(2 * draw_inner(affine.apply(to_place, known), size) - 1, 0)
    return jnp.concatenate([filters.halve(read) * inner, inner], -1)


def _embed(config: MatcherConfig, params, seen: Array) -> Array:
    found = _Tower(config).apply({"params": params}, seen.astype(jnp.float32))
    square = jnp.sum(jnp.square(found), -1, keepdims=True)  # type: ignore[arg-type]
    return found * jax.lax.rsqrt(square + 1e-12)  # type: ignore[return-value]


class _Tower(nn.Module):
    config: MatcherConfig

    @nn.compact
    def __call__(self, x):
        width = self.config.width
        x = layers.pixel_unshuffle(x, 2)
        x = _conv(x, width, "stem")  # [b 32 32 16]
        x = _residual(_conv(x, 2 * width, "down_2", stride=2), "mix_2")
        x = _conv(x, 4 * width, "down_3", stride=2)
        x = _residual(_residual(x, "mix_3a"), "mix_3b")  # [b 8 8 64]
        x = _residual(_conv(x, 6 * width, "down_4", stride=2), "mix_4")
        # Where things are counts: hair is above, clothes are below.
        x = layers.leaky_relu(nn.Conv(2 * width, (1, 1), name="thin")(x))
        return nn.Dense(self.config.dimensions, name="vector")(x.reshape(len(x), -1))


def _conv(x, width: int, name: str, *, stride: int = 1):
    kernel_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
    conv = nn.Conv(width, (3, 3), stride, padding=1, kernel_init=kernel_init, name=name)
    return layers.leaky_relu(conv(x))


def _residual(x, name: str):
    return x + 0.5 * _conv(layers.pixel_norm(x), x.shape[-1], name)
