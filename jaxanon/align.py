"""Windows of an erased frame -> face crops -> what the generator may know.

Batched, pure and differentiable. The crop keeps apart what is known and what is erased:
pixels are weighted by ``keep`` before any averaging, so that no erased pixel, whatever
its value, has a part in a known one.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.ops import affine, filters, sample
from jaxanon.types import Condition, Crops

TOUCHED = 1e-3
"""A crop pixel of which more than this share is erased is painted."""


def align(
    window: Float[Array, "b w w 3"],
    keep: Float[Array, "b w w 1"],
    keypoints: Float[Array, "b k 2"],
    to_crop: Float[Array, "b 2 3"],
    *,
    size: int,
) -> Crops:
    """Resamples windows to crops.

    Args:
        window: Images in [-1, 1], of any content where they are erased. The crop should
            take up more than about half of the side, or it is sampled too coarsely.
        keep: 1 = known, 0 = erased.
        keypoints: x y in window pixels; NaN = not seen.
        to_crop: Maps from window pixels to crop pixels.
        size: Side of the crops in pixels.

    Returns:
        Crops of the window's dtype. Their mask is 1 wherever an erased pixel had a
        part, and their image exactly 0 there.
    """
    # Geometry and coverage need more than the 8 bits of bfloat16.
    known = keep.astype(jnp.float32)
    layers = jnp.concatenate([window.astype(jnp.float32) * known, known], -1)
    halvings = max((window.shape[1] // (2 * size)).bit_length() - 1, 0)
    for _ in range(halvings):
        layers = filters.halve(layers)

    corner = affine.invert(to_crop.astype(jnp.float32))
    points = sample.grid(size, per_pixel=2).reshape(1, -1, 2)
    points = affine.apply(corner, points) / 2**halvings
    layers = jax.vmap(sample.bilinear)(layers, points)
    layers = filters.halve(layers.reshape(-1, 2 * size, 2 * size, 4))

    total, coverage = layers[..., :3], layers[..., 3:]
    kept = coverage > 1 - TOUCHED
    image = jnp.where(kept, total / jnp.maximum(coverage, 0.5), 0)
    places, visible = _place(keypoints, to_crop, size)
    dtype = window.dtype
    return Crops(
        image=image.astype(dtype),
        mask=1 - kept.astype(dtype),
        keypoints=places.astype(dtype),
        visible=visible.astype(dtype),
        to_crop=to_crop,
    )


def condition(crops: Crops) -> Condition:
    """Leaves of a crop what the generator may know: never a pixel of the face."""
    return Condition(
        image=crops.image * (1 - crops.mask),
        mask=crops.mask,
        keypoints=crops.keypoints,
        visible=crops.visible,
    )


def _place(keypoints, to_crop, size: int):
    """Maps keypoints to crop sides; unseen ones and those outside become 0."""
    seen = jnp.isfinite(keypoints).all(-1)
    # Cleared before the map, because a NaN would come back through its gradient.
    known = jnp.where(seen[..., None], keypoints, 0).astype(jnp.float32)
    places = affine.apply(to_crop.astype(jnp.float32), known) / size
    visible = seen & ((places >= 0) & (places <= 1)).all(-1)
    return jnp.where(visible[..., None], places, 0), visible
