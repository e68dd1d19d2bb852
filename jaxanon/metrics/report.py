"""What the embeddings of originals and painted faces say, in one flat dict.

Every number that needs one has its floor beside it: the same measure with real faces in
the place of the painted ones, over the same halves of the set, so as many against as
many. ``fd_face`` is the Fréchet distance on the features of a face recogniser, not FID.
"""

import numpy as np
from jaxtyping import Float

from jaxanon.metrics import frechet, kernel, precision_recall, reidentification


def identity(
    *,
    originals: Float[np.ndarray, "n d"],
    painted: Float[np.ndarray, "n z d"],
    people: np.ndarray,
    false_accept: float = 0.01,
) -> dict[str, float]:
    """Says whether the painted faces are still the originals, or all one face.

    Args:
        originals: unit embeddings, NaN = no face.
        painted: the same crops, painted with z latents each.
        people: ``[n]``, who the originals are; any labels that can be compared.
        false_accept: rate at which two different originals would be taken for one.

    Returns:
        threshold: cosine that this share of the pairs of different people reach;
        reidentified: share of the painted faces that reach it against their original;
        reidentified_rank_1: share whose original is the most alike of all;
        identity_cosine: median cosine between two latents for one crop; NaN for z = 1.
    """
    impostors = reidentification.impostor_scores(originals, people)
    at = reidentification.threshold(impostors, false_accept=false_accept)
    latents = painted.shape[1]
    scores = [reidentification.cosine(painted[:, z], originals) for z in range(latents)]
    ranks = [
        reidentification.rank_one(painted[:, z], originals) for z in range(latents)
    ]
    between = reidentification.diversity(painted)
    between = between[np.isfinite(between)]
    return {
        "threshold": at,
        "reidentified": reidentification.accepted(np.concatenate(scores), at=at),
        "reidentified_rank_1": float(np.mean(ranks)),
        "identity_cosine": float(np.median(between)) if len(between) else float("nan"),
    }


def distribution(
    rng: np.random.Generator,
    *,
    real: Float[np.ndarray, "n d"],
    painted: Float[np.ndarray, "n d"],
    repeats: int = 3,
) -> dict[str, float]:
    """Compares painted halves of a set with the real other halves.

    Args:
        rng: draws the halves.
        real: features of the originals, NaN = no face.
        painted: features of the same crops, painted.
        repeats: halvings that are averaged.

    Returns:
        fd_face, kd_face (the kernel distance), precision, recall, and each of them with
        ``_floor``: real against real.
    """
    seen = reidentification.known(real) & reidentification.known(painted)
    real, painted = real[seen], painted[seen]
    half = len(real) // 2
    rows: list[dict[str, float]] = []
    for _ in range(repeats):
        order = rng.permutation(len(real))
        ours, others = order[:half], order[half : 2 * half]
        floors = _compare(rng, real[ours], real[others])
        rows.append(
            _compare(rng, painted[ours], real[others])
            | {f"{name}_floor": value for name, value in floors.items()}
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _compare(
    rng: np.random.Generator, made: np.ndarray, real: np.ndarray
) -> dict[str, float]:
    covering = precision_recall.precision_recall(real, made)
    return {
        "fd_face": frechet.distance(made, real),
        "kd_face": kernel.distance(rng, made, real, subsets=10).mean,
        "precision": covering.precision,
        "recall": covering.recall,
    }
