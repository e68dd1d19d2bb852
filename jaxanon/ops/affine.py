"""Affine maps of the plane, ``[2 3]``, in pixels: pixel ``i`` has its centre at i + .5.

``square_to_crop`` runs on the host; the others on the device, for one map or many.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num


def square_to_crop(
    square: Num[np.ndarray, "4"], *, size: int, degrees: float = 0.0
) -> Float[np.ndarray, "2 3"]:
    """Returns the map from frame pixels to the pixels of a crop.

    Args:
        square: x0 y0 x1 y1 of the square to cut out of the frame.
        size: Side of the crop in pixels.
        degrees: The square is turned about its centre by this angle, clockwise on the
            screen; a direction that has this angle in the frame is level in the crop.
    """
    low, high = np.asarray(square[:2], np.float64), np.asarray(square[2:], np.float64)
    turn = np.deg2rad(degrees)
    cosine, sine = np.cos(turn), np.sin(turn)
    linear = np.array([[cosine, sine], [-sine, cosine]]) * size / (high - low).mean()
    shift = size / 2 - linear @ ((low + high) / 2)
    return np.concatenate([linear, shift[:, None]], axis=1)


def translate(
    transform: Float[np.ndarray, "2 3"], offset: Num[np.ndarray, "2"]
) -> Float[np.ndarray, "2 3"]:
    """Returns the map that first adds ``offset``, then does what ``transform`` does.

    On the host. With the corner of a window as the offset, a map from frame pixels
    becomes one from the window's pixels.
    """
    moved = transform.copy()
    moved[:, 2] += transform[:, :2] @ offset
    return moved


def apply(
    transform: Float[Array, "*b 2 3"], points: Float[Array, "*b n 2"]
) -> Float[Array, "*b n 2"]:
    """Maps points x y."""
    linear, shift = transform[..., :2], transform[..., 2]
    # Written out: a matrix product may run in reduced precision on accelerators.
    return (linear[..., None, :, :] * points[..., None, :]).sum(-1) + shift[
        ..., None, :
    ]


def invert(transform: Float[Array, "*b 2 3"]) -> Float[Array, "*b 2 3"]:
    """Returns the map that undoes ``transform``."""
    a, b, c = transform[..., 0, 0], transform[..., 0, 1], transform[..., 0, 2]
    d, e, f = transform[..., 1, 0], transform[..., 1, 1], transform[..., 1, 2]
    determinant = a * e - b * d
    rows = [[e, -b, b * f - e * c], [-d, a, d * c - a * f]]
    stacked = jnp.stack([jnp.stack(row, -1) for row in rows], -2)
    return stacked / determinant[..., None, None]
