"""Reducing, blurring and filling, on the device: ``[... h w c]``, any float dtype."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def halve(image: Float[Array, "*b h w c"]) -> Float[Array, "*b i j c"]:
    """Halves height and width by 2 x 2 means."""
    *b, h, w, c = image.shape
    if h % 2 or w % 2:
        raise ValueError(f"Height and width {h} x {w} must be even to be halved.")
    return image.reshape(*b, h // 2, 2, w // 2, 2, c).mean((-4, -2))


def blur(image: Float[Array, "*b h w c"], *, sigma: float) -> Float[Array, "*b h w c"]:
    """Blurs by a Gaussian of ``sigma`` pixels; what is outside counts as 0.

    Blurring weights and weighted values alike and dividing makes a blur that looks at
    part of an image only.
    """
    total = sigma * (2 * jnp.pi) ** 0.5
    rows = (_gaussian(image.shape[-3], sigma) / total).astype(image.dtype)
    columns = (_gaussian(image.shape[-2], sigma) / total).astype(image.dtype)
    # Two products with a banded matrix: faster on every device than a depthwise
    # convolution in NHWC, at the size of a crop.
    image = jnp.einsum("ij,...jwc->...iwc", rows, image)
    return jnp.einsum("ij,...hjc->...hic", columns, image)


def fill(
    values: Float[Array, "*b h w c"], weights: Float[Array, "*b h w 1"]
) -> Float[Array, "*b h w c"]:
    """Spreads the values of the pixels that have weight smoothly over all pixels.

    Each pixel becomes the mean of the weighted pixels, near ones counting more: by
    about the inverse cube of the distance, which a sum of Gaussians approximates and
    which, summed along a closed line, is close to the membrane spanned over it.

    Args:
        values: Finite, but of any content where the weight is 0.
        weights: At least 0.

    Returns:
        An image of the same size; 0 where there is no weight at all.

    References:
        Farbman et al. 2009, Coordinates for instant image cloning, section 3.
    """
    height, width = values.shape[-3:-1]
    steps = range(max(height, width).bit_length())
    rows = jnp.stack([_gaussian(height, 2.0**s) / 8.0**s for s in steps])
    columns = jnp.stack([_gaussian(width, 2.0**s) for s in steps])
    layers = jnp.concatenate([values * weights, weights], -1)
    layers = jnp.einsum("sij,...jwc->s...iwc", rows.astype(values.dtype), layers)
    columns = columns.astype(values.dtype)
    layers = jnp.einsum("sij,s...hjc->...hic", columns, layers)
    return layers[..., :-1] / jnp.maximum(layers[..., -1:], 1e-6)


def _gaussian(size: int, sigma: float) -> Float[Array, "n n"]:
    """Returns the matrix that blurs; its largest entry is 1."""
    position = jnp.arange(size, dtype=jnp.float32)
    distance = (position[:, None] - position[None]) / sigma
    return jnp.exp(-0.5 * jnp.square(distance))
