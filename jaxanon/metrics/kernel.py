"""The kernel distance (KID on Inception's features): an unbiased squared MMD.

References:
    Binkowski et al. 2018, equation 4 and section 4, https://arxiv.org/abs/1801.01401
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class KernelDistance(NamedTuple):
    """Mean over the subsets, and the standard deviation between them."""

    mean: float
    deviation: float


def distance(
    rng: np.random.Generator,
    first: Float[np.ndarray, "n d"],
    second: Float[np.ndarray, "m d"],
    *,
    subsets: int = 100,
    size: int = 1000,
) -> KernelDistance:
    """Averages the squared MMD over random subsets; it may be a little below 0.

    Args:
        rng: draws the subsets.
        first: features.
        second: features.
        subsets: how many.
        size: samples in each, at most the smaller set's.
    """
    size = min(size, len(first), len(second))
    if size < 2:
        raise ValueError(f"The kernel distance needs at least 2 samples, got {size}.")
    values = [
        squared_mmd(
            first[rng.choice(len(first), size, replace=False)],
            second[rng.choice(len(second), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def squared_mmd(
    first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m d"]
) -> float:
    """Returns the unbiased squared MMD under the kernel (x . y / d + 1)^3."""
    n, m = len(first), len(second)
    within_a, within_b = _kernel(first, first), _kernel(second, second)
    return float(
        (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
        + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
        - 2 * _kernel(first, second).mean()
    )


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3
