"""Paints a face from a donor, a person whose face may be shown.

The donor's inner face is bent to the asked keypoints by a thin-plate spline. A U-Net
that sees it beside the erased crop paints hair, neck and rim, and says by smooth maps
how much of the donor is shown, how its colours change and how much of its finest detail
stays. Because the maps are smooth, they may be applied at any resolution: a large face
is as sharp as its donor.

References:
    Bookstein 1989 for the spline; Gharbi et al. 2017, Deep bilateral learning, for maps
    that are predicted small and applied large; Lee et al. 2024, SelfSwapper
    (https://arxiv.org/abs/2402.07370), for donors that are the face itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanon import pose
from jaxanon.models import layers
from jaxanon.models.generators import unet
from jaxanon.ops import affine, filters, sample, warp
from jaxanon.types import Condition, Donor, empty_condition

LATENT = "donor"

INNER = np.array(pose.INNER)
"""The keypoints that a donor is bent to: nose, eyes, mouth corners and lips."""

USUAL_WEIGHT = 0.02
"""Of the usual place of a keypoint, beside one that is seen."""

OVAL = {
    "across": (-0.007, -1.147, 0.032, -0.019),
    "down": (0.297, 0.0, 0.055, 0.226),
    "width": (0.283, 0.0, 0.005, 0.789),
    "height": (0.492, 0.0, 0.108, 0.582),
}
"""The inner face as an ellipse, brows and some of the forehead included: least squares
over 9,000 dense landmarks. Coefficients of 1, of how far the nose is aside and below
the eyes, and of the distance between the eyes; in distances from the eyes to the
mouth."""

EDGE = 14.0
"""Steepness of the ellipse's edge: from a tenth to nine tenths in a third of it."""

FINEST = 0.011
"""Gaussian radius, in crop sides, of what counts as a donor's finest detail."""


@dataclass(frozen=True)
class DonorConfig:
    """The shape of the painter; stored with the weights and read back by inference."""

    kind: str = "donor"
    resolution: int = 128
    """Side of the crop in pixels."""
    patch: int = 2
    """Squares of patch x patch pixels become one cell of the finest grid."""
    widths: tuple[int, ...] = (32, 64, 128, 192, 192)
    """Channels at each grid, finest first; each grid halves the one before."""
    blocks: int = 2
    """Residual blocks at each grid, on the way down and again on the way up."""
    style_width: int = 256
    """Width of the style vector that the keypoints are mapped to."""
    keypoints: int = 11
    """How many of types.KEYPOINTS are used, from the first."""
    context: float = 1.8
    """Side of the crop in longer sides of the face's box."""
    turn: float = 0.0
    """Heads turned farther are painted as turned just so far; see
    ``pose.limit_turn``; 0 = any."""
    dtype: str = "float32"
    """Compute dtype; parameters are float32."""


class Painting(NamedTuple):
    """A painted crop, and what paints it at another resolution.

    At any point of the crop the face is ``base + share * donor``, where the donor is
    read at ``warp.apply_thin_plate(plate, point)``; points are in crop sides.
    """

    face: jax.Array
    """[b h w 3] in about [-1, 1], not clipped."""
    base: jax.Array
    """[b h w 3]."""
    share: jax.Array
    """[b h w 3], smooth."""
    plate: warp.ThinPlate
    """From crop sides to sides of the donor's picture."""
    alpha: jax.Array
    """[b h w 1], how much of the donor is shown; at most ``inner``."""
    inner: jax.Array
    """[b h w 1], the inner face, with a soft edge."""


def init(key: jax.Array, config: DonorConfig) -> Mapping[str, Any]:
    """Draws the parameters; an untrained painter shows the donor as it is."""
    shape = (1, config.resolution, config.resolution)
    condition = empty_condition(1, config.resolution)
    drawn = jnp.zeros((*shape, 3)), jnp.zeros((*shape, 1))
    return _Painter(config).init(key, condition, *drawn)["params"]


def generate(
    config: DonorConfig, params: Mapping[str, Any], condition: Condition, donor: Donor
) -> Float[Array, "b h w 3"]:
    """Paints one face per condition; float32 in about [-1, 1], not clipped."""
    return paint(config, params, condition, donor).face


def prepare(params: Mapping[str, Any]) -> dict[str, Any]:
    """Rearranges parameters for a CPU; see ``unet.prepare``."""
    return unet.prepare(params)


def paint(
    config: DonorConfig, params: Mapping[str, Any], condition: Condition, donor: Donor
) -> Painting:
    """Paints one face per condition, as layers.

    Args:
        config: Of the painter.
        params: Of the painter.
        condition: The erased crops, masks and keypoints, of ``config.resolution``.
        donor: One for each; of any resolution.
    """
    asked = ask(condition, donor)
    plate = warp.fit_thin_plate(asked, donor.keypoints[:, INNER])
    warped = _warp(donor.image, plate, config.resolution)
    inner = draw_inner(asked, config.resolution)
    seen = warped * (inner > 0.02)
    painted: Any = _Painter(config).apply({"params": params}, condition, seen, inner)
    rgb, maps = painted

    # Alpha is near 1 at first; gain near 1, bias near 0, half of the finest detail.
    alpha = jax.nn.sigmoid(maps[..., :1] + 2) * inner
    gain, bias = 1 + maps[..., 1:4], maps[..., 4:7]
    detail = jax.nn.sigmoid(maps[..., 7:] + 2)
    soft = filters.blur(warped, sigma=FINEST * config.resolution)
    weight = alpha * gain
    share = weight * detail
    base = (1 - alpha) * rgb + alpha * bias + (weight - share) * soft
    return Painting(base + share * warped, base, share, plate, alpha, inner)


def ask(condition: Condition, donor: Donor) -> Float[Array, "b n 2"]:
    """Says where the INNER keypoints of a donor should go, in crop sides.

    Those that are not seen go where a similarity takes them that fits the seen ones;
    where none is seen, to their usual places in the masked region.
    """
    places = donor.keypoints[:, INNER]
    seen = condition.visible[:, INNER]
    known = condition.keypoints[:, INNER]
    usual = _usual(condition.mask)
    weight = jnp.concatenate([seen, jnp.full_like(seen, USUAL_WEIGHT)], 1)
    moved = warp.fit_similarity(
        jnp.concatenate([places, places], 1),
        jnp.concatenate([known, usual], 1),
        weight.astype(jnp.float32),
    )
    return jnp.where(seen[..., None] > 0, known, affine.apply(moved, places))


def draw_inner(asked: Float[Array, "b n 2"], size: int) -> Float[Array, "b s s 1"]:
    """Draws the inner face of the INNER keypoints, soft at the edge.

    Args:
        asked: x y in crop sides; see ``ask``.
        size: Side of the result in pixels.
    """
    nose, left_eye, right_eye, left_mouth, right_mouth = jnp.moveaxis(
        asked[:, :5], 1, 0
    )
    eyes = (left_eye + right_eye) / 2
    down = (left_mouth + right_mouth) / 2 - eyes
    unit = jnp.sqrt(jnp.square(down).sum(-1, keepdims=True) + 1e-8)  # [b 1]
    down = down / unit
    across = jnp.stack([down[:, 1], -down[:, 0]], -1)  # Towards the subject's left.

    def along(vector: Array, axis: Array) -> Array:
        return (vector * axis).sum(-1, keepdims=True) / unit

    # A head in profile has its eyes close together, yet the face is not so narrow.
    apart = jnp.maximum(along(left_eye - right_eye, across), 0.4)
    terms = (1.0, along(nose - eyes, across), along(nose - eyes, down), apart)
    oval = {
        name: sum((c * t for c, t in zip(values, terms, strict=True)), jnp.zeros(()))
        for name, values in OVAL.items()
    }
    centre = eyes + unit * (oval["across"] * across + oval["down"] * down)
    points = sample.grid(size).reshape(1, -1, 2) / size - centre[:, None]  # [b p 2]
    x = (points * across[:, None]).sum(-1) / (unit * oval["width"])
    y = (points * down[:, None]).sum(-1) / (unit * oval["height"])
    radius = jnp.sqrt(x**2 + y**2 + 1e-8)
    return jax.nn.sigmoid((1 - radius) * EDGE).reshape(-1, size, size, 1)


def _usual(mask: Float[Array, "b h w 1"]) -> Float[Array, "b n 2"]:
    """The usual places of INNER in a masked rectangle, by its moments."""
    size = mask.shape[1]
    points = sample.grid(size) / size
    mask = mask.astype(jnp.float32)
    total = jnp.maximum(mask.sum((1, 2)), 1)
    centre = (points * mask).sum((1, 2)) / total
    variance = (jnp.square(points - centre[:, None, None]) * mask).sum((1, 2)) / total
    # Masks are about 1.3 times the face's box; a rectangle's side is sqrt(12) sigma.
    side = jnp.sqrt(12 * variance + 1e-8) / 1.3
    return centre[:, None] + (jnp.array(pose.USUAL, jnp.float32) - 0.5) * side[:, None]


def _warp(
    image: Float[Array, "b s s 3"], plate: warp.ThinPlate, size: int
) -> Float[Array, "b h w 3"]:
    """Reads donors where a spline says, for each pixel of a crop."""
    # A donor's face takes up more pixels than it gets: average before reading.
    while image.shape[1] >= 2 * size:
        image = filters.halve(image)
    points = sample.grid(size).reshape(1, -1, 2) / size
    points = warp.apply_thin_plate(plate, points) * image.shape[1]
    read = jax.vmap(sample.bilinear)(image.astype(jnp.float32), points)
    return read.reshape(-1, size, size, 3)


class _Painter(nn.Module):
    config: DonorConfig

    @nn.compact
    def __call__(self, condition: Condition, donor: Array, inner: Array):
        config = self.config
        keypoints = condition.keypoints[:, : config.keypoints]
        visible = condition.visible[:, : config.keypoints]
        none = jnp.zeros((len(keypoints), 0))
        style = unet.map_style(config.style_width, keypoints, visible, none)
        extra = jnp.concatenate([donor, inner], -1)
        fine = unet.run(config, condition, style, extra)
        maps = layers.Conv(8, 1, gain=0.1, name="maps")(fine.astype(jnp.float32))
        size = (len(maps), config.resolution, config.resolution, 8)
        maps = jax.image.resize(layers.smooth(maps), size, "linear")
        return unet.to_rgb(config, fine), maps
