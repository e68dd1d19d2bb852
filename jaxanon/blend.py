"""Painted faces -> crops -> frames. Batched, pure and differentiable.

Alpha is 1 on the whole face region and falls off outside it only: an erased pixel can
only ever be covered by a painted one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxanon.ops import affine, filters, sample, warp
from jaxanon.types import Crops


def inpaint(faces: Float[Array, "b h w 3"], crops: Crops) -> Float[Array, "b h w 3"]:
    """Puts painted faces into the masked part of their crops.

    Args:
        faces: What the generator painted, in about [-1, 1].
        crops: What it was painted for.
    """
    return faces * crops.mask + crops.image * (1 - crops.mask)


def match_border(
    faces: Float[Array, "b h w 3"],
    crops: Crops,
    *,
    reach: float = 0.008,
    tolerance: float = 0.35,
) -> Float[Array, "b h w 3"]:
    """Shifts the colours of painted faces to meet the known ones at the border.

    Along the border of the mask, the mean of the known pixels nearby is compared with
    the mean of the painted ones; the difference is spread smoothly over the face.

    Args:
        faces: What the generator painted, in about [-1, 1], of even height and width.
        crops: What it was painted for.
        reach: Gaussian radius of "nearby", in crop sides, at least a pixel; wider ones
            see edges beside the border, hair against sky, and draw a halo along it.
        tolerance: A difference much larger than this, in units of [-1, 1], is an edge
            of the picture that happens to lie on the border, and counts little.

    References:
        Pérez et al. 2003, Poisson image editing; Farbman et al. 2009, Coordinates for
        instant image cloning, for the membrane that it solves for.
    """
    sigma = max(reach * faces.shape[2], 1.0)
    mask, keep = crops.mask, 1 - crops.mask
    known, painted = filters.blur(keep, sigma=sigma), filters.blur(mask, sigma=sigma)
    gap = filters.blur(crops.image * keep, sigma=sigma) / jnp.maximum(known, 1e-3)
    gap -= filters.blur(faces * mask, sigma=sigma) / jnp.maximum(painted, 1e-3)
    # Both sides are seen best, and their means lie closest, on the border itself.
    near = (4 * known * painted / jnp.square(known + painted + 1e-3)) ** 4
    size = jnp.square(gap).mean(-1, keepdims=True) / tolerance**2
    weight = near / (1 + jnp.square(size))
    # What is spread is smooth: half the size is a third of the work.
    coarse = filters.halve(weight)
    gap = filters.halve(gap * weight) / jnp.maximum(coarse, 1e-6)
    spread = filters.fill(gap, coarse)
    return faces + jax.image.resize(spread, faces.shape, "linear")


def soften(
    own: Bool[Array, "b h w"],
    other: Bool[Array, "b h w"],
    boxes: Float[Array, "b 4"],
    *,
    feather: float | Float[Array, ""],
) -> Float[Array, "b h w 1"]:
    """Makes the alpha of each face: 1 on its region, falling off outward.

    Args:
        own: The region of this face.
        other: The regions of other faces: alpha is 0 there, they paint themselves.
        boxes: The box around each region, in pixels of the window.
        feather: Width of the fall-off in longer sides of the box; at least one pixel.
    """
    height, width = own.shape[1:]
    low, high = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    points = jnp.stack([x, y], -1).astype(boxes.dtype) + 0.5
    away = jnp.maximum(jnp.maximum(low - points, points - high), 0)  # [b h w 2]
    # The epsilon keeps the gradient of the root finite.
    distance = jnp.sqrt(jnp.square(away).sum(-1) + 1e-12)
    reach = jnp.maximum(feather * (high - low).max(-1), 1)
    near = jnp.clip(1 - distance / reach, 0, 1)
    ramp = near * near * (3 - 2 * near)
    return jnp.where(own, 1, jnp.where(other, 0, ramp))[..., None]


class Layers(NamedTuple):
    """What paints a crop at any resolution: ``base + share * donor``."""

    base: jax.Array
    """[b s s 3], inpainted."""
    share: jax.Array
    """[b s s 3], smooth, 0 where the crop is known."""
    plate: warp.ThinPlate
    """From crop sides to sides of the donor's picture."""


def paste_layers(
    window: Float[Array, "b w w 3"],
    alpha: Float[Array, "b w w 1"],
    layers: Layers,
    donors: Float[Array, "b d d 3"],
    to_crop: Float[Array, "b 2 3"],
) -> Float[Array, "b w w 3"]:
    """Lays crops over windows of a frame, as sharp as their donors.

    Args:
        window: What is underneath, in [-1, 1].
        alpha: 1 = the crop, 0 = what is underneath; see ``soften``.
        layers: Of the crops, which the window shows enlarged.
        donors: Their pictures in [-1, 1], not much finer than the window.
        to_crop: Maps from window pixels to crop pixels.
    """
    side, size = window.shape[1], layers.base.shape[1]
    points = sample.grid(side).reshape(1, -1, 2)
    points = affine.apply(to_crop.astype(jnp.float32), points)
    inside = ((points > 0) & (points < size)).all(-1, keepdims=True)
    drawn = jax.vmap(sample.bicubic)(layers.base.astype(jnp.float32), points)
    share = jax.vmap(sample.bilinear)(layers.share.astype(jnp.float32), points)
    places = warp.apply_thin_plate(layers.plate, points / size) * donors.shape[1]
    drawn += share * jax.vmap(sample.bicubic)(donors.astype(jnp.float32), places)
    shape = (-1, side, side)
    drawn, inside = drawn.reshape(*shape, 3), inside.reshape(*shape, 1)
    return _lay_over(window, alpha, drawn, inside)


def paste(
    window: Float[Array, "b w w 3"],
    alpha: Float[Array, "b w w 1"],
    faces: Float[Array, "b s s 3"],
    to_crop: Float[Array, "b 2 3"],
) -> Float[Array, "b w w 3"]:
    """Lays crops over windows of a frame.

    Args:
        window: What is underneath, in [-1, 1].
        alpha: 1 = the crop, 0 = what is underneath; see ``soften``.
        faces: The crops, painted and inpainted.
        to_crop: Maps from window pixels to crop pixels.
    """
    side, size = window.shape[1], faces.shape[1]
    # A window smaller than the crop shows the crop reduced: average before reading it.
    halvings = max((size // side).bit_length() - 1, 0)
    per_pixel = 2 if side <= size else 1
    faces = faces.astype(jnp.float32)
    for _ in range(halvings):
        faces = filters.halve(faces)
    points = sample.grid(side, per_pixel=per_pixel).reshape(1, -1, 2)
    points = affine.apply(to_crop.astype(jnp.float32), points)
    inside = ((points > 0) & (points < size)).all(-1, keepdims=True)
    drawn = jax.vmap(sample.bicubic)(faces, points / 2**halvings)

    shape = (-1, side * per_pixel, side * per_pixel)
    drawn, inside = drawn.reshape(*shape, 3), inside.reshape(*shape, 1)
    if per_pixel == 2:
        drawn, inside = filters.halve(drawn), inside[:, ::2, ::2]
    return _lay_over(window, alpha, drawn, inside)


def _lay_over(window: Array, alpha: Array, drawn: Array, inside: Array) -> Array:
    """Blends what was drawn of a crop over its window."""
    # Where the fall-off leaves the crop there is nothing to lay over.
    alpha = jnp.where(inside | (alpha >= 1), alpha, 0)
    drawn = drawn.astype(window.dtype)
    return window * (1 - alpha) + drawn * alpha
