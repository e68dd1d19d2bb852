"""Precision (are fakes like reals?) and recall (is every kind of real made?).

References:
    Kynkäänniemi et al. 2019, equations 1 and 2, https://arxiv.org/abs/1904.06991
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

CHUNK = 1024


class PrecisionRecall(NamedTuple):
    """Both in [0, 1]."""

    precision: float
    recall: float


def precision_recall(
    real: Float[np.ndarray, "n d"],
    fake: Float[np.ndarray, "m d"],
    *,
    neighbours: int = 3,
) -> PrecisionRecall:
    """Estimates how much two sets of features cover each other.

    A sample is covered by a set if it is no farther from some member of the set than
    that member's k-th nearest neighbour in the set is.
    """
    return PrecisionRecall(
        precision=float(covered(fake, real, neighbours=neighbours).mean()),
        recall=float(covered(real, fake, neighbours=neighbours).mean()),
    )


def covered(
    samples: Float[np.ndarray, "n d"],
    members: Float[np.ndarray, "m d"],
    *,
    neighbours: int,
) -> Bool[np.ndarray, "n"]:
    """Says which samples are covered by the set of members."""
    if len(members) <= neighbours:
        raise ValueError(
            f"{neighbours} neighbours need more than {len(members)} members of a set."
        )
    radii = np.concatenate(
        [
            np.partition(_squared(rows, members), neighbours, axis=1)[:, neighbours]
            for rows in _chunks(members)
        ]
    )
    return np.concatenate(
        [(_squared(rows, members) <= radii).any(1) for rows in _chunks(samples)]
    )


def _chunks(features: np.ndarray) -> list[np.ndarray]:
    return [features[i : i + CHUNK] for i in range(0, len(features), CHUNK)]


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.sum(x**2, 1)[:, None] + np.sum(y**2, 1)
    return (norms - 2 * x @ y.T).clip(0)
