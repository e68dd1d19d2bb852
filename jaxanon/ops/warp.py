"""Smooth maps of the plane that take some points to given places; batched and pure.

References:
    Bookstein 1989, Principal warps: thin-plate splines and the decomposition of
    deformations; Umeyama 1991 for the similarity, which is Procrustes' in the plane.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-6


class ThinPlate(NamedTuple):
    """A thin-plate spline; see ``fit_thin_plate``."""

    centres: jax.Array
    """[b n 2], the points that it was fitted on."""
    bends: jax.Array
    """[b n 2], the weight of each centre's kernel."""
    affine: jax.Array
    """[b 3 2], rows for 1, x and y."""


def fit_thin_plate(
    source: Float[Array, "b n 2"],
    target: Float[Array, "b n 2"],
    *,
    stiffness: float = 2e-3,
) -> ThinPlate:
    """Fits the smoothest map that takes every source point near its target.

    Args:
        source: Points, not all on one line.
        target: Where they should go, in any unit.
        stiffness: 0 = exactly there; more bends less.
    """
    n = source.shape[1]
    kernel = _kernel(source, source) + stiffness * jnp.eye(n)
    ones = jnp.ones((*source.shape[:2], 1))
    plane = jnp.concatenate([ones, source], -1)  # [b n 3]
    top = jnp.concatenate([kernel, plane], -1)
    corner = jnp.zeros((len(source), 3, 3))
    bottom = jnp.concatenate([plane.swapaxes(1, 2), corner], -1)
    matrix = jnp.concatenate([top, bottom], 1) + EPSILON * jnp.eye(n + 3)
    sides = jnp.concatenate([target, jnp.zeros((len(source), 3, 2))], 1)
    solved = jnp.linalg.solve(matrix, sides)
    return ThinPlate(source, solved[:, :n], solved[:, n:])


def apply_thin_plate(
    plate: ThinPlate, points: Float[Array, "#b p 2"]
) -> Float[Array, "b p 2"]:
    """Maps points, in the unit of the source, to the unit of the target."""
    bent = _kernel(points, plate.centres) @ plate.bends
    return bent + plate.affine[:, :1] + points @ plate.affine[:, 1:]


def fit_similarity(
    source: Float[Array, "b n 2"],
    target: Float[Array, "b n 2"],
    weight: Float[Array, "b n"],
) -> Float[Array, "b 2 3"]:
    """Fits shift, turn and scale by weighted least squares.

    Args:
        source: Points, two of which differ and weigh more than 0.
        target: Where they should go.
        weight: How much each counts; not negative.

    Returns:
        Affine maps from source to target.
    """
    share = (weight / weight.sum(-1, keepdims=True))[..., None]
    mean, goal = (source * share).sum(1), (target * share).sum(1)
    a, b = source - mean[:, None], target - goal[:, None]
    size = jnp.maximum((share * a * a).sum((1, 2)), 1e-12)
    along = (share * a * b).sum((1, 2)) / size
    aside = (share[..., 0] * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])).sum(1)
    aside = aside / size
    turn = jnp.stack([along, -aside, aside, along], -1).reshape(-1, 2, 2)
    shift = goal - (turn @ mean[..., None])[..., 0]
    return jnp.concatenate([turn, shift[..., None]], -1)


def _kernel(points: Array, centres: Array) -> Array:
    """The spline's radial kernel r^2 log r^2, [b p n]."""
    squared = jnp.square(points[:, :, None] - centres[:, None]).sum(-1)
    return squared * jnp.log(squared + 1e-9)
