"""Can painted pictures be told from real ones? A fresh linear probe tries.

A logistic regression with an L2 penalty learns it from the features of a fixed network
and is asked about pictures that it has not seen. The network's features should not have
had a part in training: a painter learns to please the network that it was trained
through, and another one is the better judge.
"""

import numpy as np
from jaxtyping import Float

PENALTY = 0.03
"""Of the squared weights, for features of unit length on average."""


def auc(positive: Float[np.ndarray, "p"], negative: Float[np.ndarray, "n"]) -> float:
    """Returns how often a positive scores above a negative; equal ones count half.

    NaN where one of the two is empty.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    up_to = np.searchsorted(ordered, positive, "right")
    return float((below + up_to).mean() / 2 / len(ordered))


def held_out_scores(
    rng: np.random.Generator,
    first: Float[np.ndarray, "n d"],
    second: Float[np.ndarray, "m d"],
    *,
    folds: int = 5,
    penalty: float = PENALTY,
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m"]]:
    """Scores pictures of two kinds by probes that were fitted without them.

    Args:
        rng: Draws the folds.
        first: Features of one kind.
        second: Features of the other.
        folds: Each has the same share of both kinds.
        penalty: See ``PENALTY``.

    Returns:
        Logits of being of the first kind.

    Raises:
        ValueError: There are fewer of a kind than folds.
    """
    if min(len(first), len(second)) < folds:
        raise ValueError(
            f"{folds} folds need as many of each kind, got {len(first)} and "
            f"{len(second)}."
        )
    features = np.concatenate([first, second]).astype(np.float64)
    labels = np.arange(len(features)) < len(first)
    fold = np.concatenate([rng.permutation(len(x)) % folds for x in (first, second)])
    scores = np.empty(len(features))
    for number in range(folds):
        held = fold == number
        scores[held] = _fit_and_score(
            features[~held], labels[~held], features[held], penalty
        )
    return scores[labels], scores[~labels]


def _fit_and_score(
    known: Float[np.ndarray, "n d"],
    labels: np.ndarray,
    asked: Float[np.ndarray, "m d"],
    penalty: float,
) -> Float[np.ndarray, "m"]:
    mean, deviation = known.mean(0), known.std(0)
    # A feature that never changes says nothing.
    scale = np.where(deviation > 1e-9, deviation, np.inf) * np.sqrt(known.shape[1])
    known, asked = (known - mean) / scale, (asked - mean) / scale
    # The weights are a sum of the known pictures: few numbers, however many features.
    _, singular, basis = np.linalg.svd(known, full_matrices=False)
    basis = basis[singular > 1e-9]
    x = np.concatenate([known @ basis.T, np.ones((len(known), 1))], 1)
    weights, ridge = np.zeros(x.shape[1]), np.full(x.shape[1], penalty)
    ridge[-1] = 1e-6  # The offset is free.
    # Newton's method; the penalty bounds the weights, so that it converges.
    for _ in range(30):
        probability = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (probability - labels) + ridge * weights
        curve = (x * (probability * (1 - probability))[:, None]).T @ x
        step = np.linalg.solve(curve + np.diag(ridge), slope)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return asked @ basis.T @ weights[:-1] + weights[-1]


def compare(
    rng: np.random.Generator,
    *,
    real: Float[np.ndarray, "n d"],
    painted: Float[np.ndarray, "n d"],
    groups: dict[str, np.ndarray] | None = None,
    repeats: int = 5,
    folds: int = 5,
) -> dict[str, dict[str, float]]:
    """Tells painted halves of a set from the real other halves.

    Args:
        rng: Draws halves and folds.
        real: Features of real crops.
        painted: Features of the same crops, painted.
        groups: ``[n]`` bool, by name: parts of the set that are looked at by
            themselves, with the scores of the probe of all.
        repeats: Halvings that are averaged.
        folds: See ``held_out_scores``.

    Returns:
        For "" (all) and each group ``auc``, 0.5 = cannot be told, 1 = always; and
        ``auc_floor``, real halves against real ones, as many against as many.
    """
    n, half = len(real), len(real) // 2
    parts = {"": np.ones(n, bool)} | (groups or {})
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _ in range(repeats):
        order = rng.permutation(n)
        ours, others = order[:half], order[half : 2 * half]
        found = [
            held_out_scores(rng, made[ours], real[others], folds=folds)
            for made in (painted, real)
        ]
        for name, part in parts.items():
            one, floor = (auc(a[part[ours]], b[part[others]]) for a, b in found)
            rows[name].append((one, floor))
    return {
        name: dict(zip(("auc", "auc_floor"), _mean(values), strict=True))
        for name, values in rows.items()
    }


def _mean(rows: list[tuple[float, float]]) -> list[float]:
    """Averages columns over what is known; NaN where nothing is."""
    table = np.array(rows)
    known = np.isfinite(table)
    count = known.sum(0)
    total = np.where(known, table, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).tolist()
