"""Can a face recogniser tell who was painted over, or that two faces are one?

Embeddings are unit vectors, one a row; rows of NaN (no face to embed) are left out.
"""

import numpy as np
from jaxtyping import Bool, Float


def cosine(
    first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n"]:
    """Compares embeddings row by row; NaN where one of the two is missing."""
    return np.sum(first.astype(np.float64) * second, axis=1)


def impostor_scores(
    embeddings: Float[np.ndarray, "n d"], people: np.ndarray
) -> Float[np.ndarray, "p"]:
    """Compares every two faces that are of different people.

    Args:
        embeddings: unit vectors.
        people: ``[n]``, who each one is; any labels that can be compared.
    """
    seen = known(embeddings)
    unit, people = embeddings[seen].astype(np.float64), np.asarray(people)[seen]
    rows, columns = np.triu_indices(len(unit), 1)
    different = people[rows] != people[columns]
    return (unit @ unit.T)[rows[different], columns[different]]


def threshold(impostors: Float[np.ndarray, "p"], *, false_accept: float) -> float:
    """Returns the lowest score at which no larger share of impostors is accepted.

    A pair is accepted if its score is at or above the threshold.
    """
    if not 0 < false_accept < 1:
        raise ValueError(f"The false-accept rate is in (0, 1), got {false_accept}.")
    if len(impostors) == 0:
        raise ValueError("A threshold needs the scores of different people.")
    ordered = np.sort(impostors)[::-1]
    allowed = int(np.floor(false_accept * len(ordered)))
    return float(np.nextafter(ordered[allowed], np.inf))


def accepted(scores: Float[np.ndarray, "n"], *, at: float) -> float:
    """Returns the share of the scores that are known which reach a threshold."""
    scores = scores[np.isfinite(scores)]
    if len(scores) == 0:
        raise ValueError("There is no score to judge.")
    return float((scores >= at).mean())


def stranger_rates(
    embeddings: Float[np.ndarray, "n d"],
    people: np.ndarray,
    groups: np.ndarray,
    *,
    at: float,
) -> Float[np.ndarray, "n"]:
    """Returns with what share of the strangers in its group each face is confused.

    The strangers of one collection of photos are more alike in age, origin and light
    than any two people: this is what a face that keeps nothing but its surroundings
    can hope for.

    Args:
        embeddings: unit vectors; NaN = no face.
        people: ``[n]``, who each one is.
        groups: ``[n]``, which collection each one is of.
        at: a pair is accepted at or above this.

    Returns:
        Rates in [0, 1]; NaN for a face unknown, or alone in its group.
    """
    people, groups = np.asarray(people), np.asarray(groups)
    seen = known(embeddings)
    unit = np.where(seen[:, None], embeddings, 0).astype(np.float64)
    strangers = (people[:, None] != people) & (groups[:, None] == groups) & seen
    hits = (unit @ unit.T >= at) & strangers
    count = np.where(seen, strangers.sum(1), 0)
    return np.where(count > 0, hits.sum(1) / np.maximum(count, 1), np.nan)


def rank_one(
    probes: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "n d"]
) -> float:
    """Returns how often row i of the gallery is the one most like probe i.

    Probes are painted faces, the gallery their originals; chance is 1 / n.
    """
    seen = known(probes) & known(gallery)
    scores = probes[seen].astype(np.float64) @ gallery[seen].T
    if len(scores) == 0:
        raise ValueError("There is no face to look for.")
    return float((scores.argmax(1) == np.arange(len(scores))).mean())


def diversity(
    embeddings: Float[np.ndarray, "n z d"],
) -> Float[np.ndarray, "n"]:
    """Returns the mean cosine between the faces of every two latents for one crop.

    Low is diverse: 0 = different people, 1 = always the same face. NaN where fewer than
    two of the faces are known.
    """
    unit = embeddings.astype(np.float64)
    rows, columns = np.triu_indices(unit.shape[1], 1)
    scores = np.sum(unit[:, rows] * unit[:, columns], axis=-1)
    count = np.isfinite(scores).sum(1)
    total = np.nansum(scores, axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def known(embeddings: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "n"]:
    """Says which rows are embeddings and not NaN."""
    return np.asarray(np.isfinite(embeddings).all(axis=1))
