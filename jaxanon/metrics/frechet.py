"""The Fréchet distance between two sets of features, and its floor.

It is the FID only on the pool features of Inception; on the features of a face
recognition network it is called FD-face, and one of them says nothing about the other.
Both depend on the number of samples: quote ``floor`` of as many real ones beside them.

References:
    Heusel et al. 2017, equation 6, https://arxiv.org/abs/1706.08500
"""

import numpy as np
from jaxtyping import Float


def distance(
    first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m d"]
) -> float:
    """Returns |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)) of two Gaussian fits."""
    (mean_a, cov_a), (mean_b, cov_b) = _fit(first), _fit(second)
    root = _square_root(cov_a)
    # tr (A B)^1/2 = tr (A^1/2 B A^1/2)^1/2, which is symmetric: no complex roots.
    overlap = np.linalg.eigvalsh(root @ cov_b @ root)
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(overlap.clip(0)).sum()
    return float(np.sum((mean_a - mean_b) ** 2) + max(trace, 0.0))


def floor(
    rng: np.random.Generator, features: Float[np.ndarray, "n d"], *, repeats: int = 1
) -> float:
    """Returns the mean distance between random disjoint halves of one set.

    This is what a perfect generator would score with n / 2 samples against n / 2.
    """
    half = len(features) // 2
    values = []
    for _ in range(repeats):
        order = rng.permutation(len(features))
        values.append(
            distance(features[order[:half]], features[order[half : 2 * half]])
        )
    return float(np.mean(values))


def _fit(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(features) < 2:
        raise ValueError(f"A Gaussian needs at least 2 samples, got {len(features)}.")
    features = features.astype(np.float64)
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def _square_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
