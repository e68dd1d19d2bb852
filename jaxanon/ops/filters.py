"""Pyramids and smoothing, on the device: NHWC or ``[... h w c]``, any float dtype."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def halve(image: Float[Array, "*b h w c"]) -> Float[Array, "*b i j c"]:
    """Halves height and width by 2 x 2 means."""
    *b, h, w, c = image.shape
    if h % 2 or w % 2:
        raise ValueError(f"Height and width {h} x {w} must be even to be halved.")
    return image.reshape(*b, h // 2, 2, w // 2, 2, c).mean((-4, -2))


def double(image: Float[Array, "*b h w c"]) -> Float[Array, "*b i j c"]:
    """Doubles height and width by linear interpolation between pixel centres."""
    for axis in (-3, -2):
        size = image.shape[axis]
        before = jnp.concatenate([_part(image, axis, 0, 1), image], axis)
        before = _part(before, axis, 0, size)
        after = jnp.concatenate([image, _part(image, axis, size - 1, size)], axis)
        after = _part(after, axis, 1, size + 1)
        pair = [0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after]
        stacked = jnp.stack(pair, axis)  # The new axis comes right after the old one.
        shape = list(image.shape)
        shape[axis] *= 2
        image = stacked.reshape(shape)
    return image


def blur(image: Float[Array, "*b h w c"], *, sigma: float) -> Float[Array, "*b h w c"]:
    """Blurs by a Gaussian of ``sigma`` pixels; what is outside counts as 0.

    Blurring weights and weighted values alike and dividing makes a blur that looks at
    part of an image only.
    """
    rows = _gaussian(image.shape[-3], sigma).astype(image.dtype)
    columns = _gaussian(image.shape[-2], sigma).astype(image.dtype)
    # Two products with a banded matrix: faster on every device than a depthwise
    # convolution in NHWC, at the size of a crop.
    image = jnp.einsum("ij,...jwc->...iwc", rows, image)
    return jnp.einsum("ij,...hjc->...hic", columns, image)


def fill(
    values: Float[Array, "*b h w c"], weights: Float[Array, "*b h w 1"]
) -> Float[Array, "*b h w c"]:
    """Spreads the values of the pixels that have weight smoothly over the others.

    Args:
        values: Of any content where the weight is 0.
        weights: [0, 1]; 1 keeps a pixel as it is.

    Returns:
        An image of the same size; 0 where there is no weight at all.

    References:
        Gortler et al. 1996, The lumigraph, section 3.3 (push-pull).
    """
    pyramid = [(values * weights, weights)]
    while min(values.shape[-3:-1]) > 1 and not any(s % 2 for s in values.shape[-3:-1]):
        total, weight = (4 * halve(x) for x in pyramid[-1])
        # A coarse pixel is sure once its weights add up to 1.
        excess = jnp.maximum(weight, 1)
        pyramid.append((total / excess, weight / excess))
        values = total
    total, weight = pyramid.pop()
    filled = total / jnp.maximum(weight, 1e-6)
    while pyramid:
        total, weight = pyramid.pop()
        filled = total + (1 - weight) * double(filled)
    return filled


def _part(image, axis: int, start: int, stop: int):
    return jax.lax.slice_in_dim(image, start, stop, axis=axis)


def _gaussian(size: int, sigma: float) -> Float[Array, "n n"]:
    position = jnp.arange(size, dtype=jnp.float32)
    distance = (position[:, None] - position[None]) / sigma
    kernel = jnp.exp(-0.5 * jnp.square(distance))
    return kernel / (sigma * jnp.sqrt(2 * jnp.pi))
