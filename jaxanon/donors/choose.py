"""Who lends a face: pose first, then what fits the visible pixels, then the seed.

Nothing hidden plays a part: the keypoints say how the head is held, the erased picture
what is around it, and the face's key draws among ``LEAST`` donors, so that the choice
tells little; among fewer, where fewer heads are held like that.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxanon import pose, weights
from jaxanon.donors import bank as banks
from jaxanon.donors.bank import Bank
from jaxanon.types import MIRROR, Donor

LEAST = 16
"""Donors that the seed draws from, where so many heads are held alike."""

NEAREST = 64
"""How many heads that are held alike are asked whether they fit."""

FAR = 0.25
"""Distance of ``pose.shape_of_face`` beyond which a donor would be bent out of shape:
of 1,800 held-out faces 3 in a hundred are so far from their sixteenth nearest donor."""

NARROWEST = 0.5
"""Least distance of the eyes, of 0.93 in frontal faces, in distances from the eyes to
the mouth: a head that is turned farther has one eye on the other, and no bending of a
donor gives its profile."""

Fit = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n"]]
"""vectors of donors -> how well each fits the surroundings; higher is better."""


class Cast(NamedTuple):
    """A bank, ready to be chosen from."""

    bank: Bank
    shapes: Float[np.ndarray, "m 10"]
    """How each head is held; the second half are the same people mirrored."""
    images: dict[int, np.ndarray]
    """Pictures that were decoded before; a cache."""
    matcher: Any = None
    """Weights of the network that says who fits; None = nobody is asked."""


class Pick(NamedTuple):
    """A donor for one face."""

    index: int
    """In the bank."""
    mirrored: bool
    distance: float
    """Of its head's pose from the asked one; see ``FAR``."""
    why: str
    """In words."""


@functools.cache
def load_default() -> Cast:
    """Loads the bank that ships with the library, once."""
    return make_cast(banks.load())


def make_cast(bank: Bank) -> Cast:
    """Measures how the heads of a bank are held."""
    plain = [pose.shape_of_face(points) for points in bank.keypoints]
    mirrored = [pose.shape_of_face(mirror(points)) for points in bank.keypoints]
    matcher = None
    if bank.vectors.shape[1] and "matcher" in weights.names():
        matcher = weights.load("matcher")
    return Cast(bank, np.stack(plain + mirrored), {}, matcher)


def choose(
    key: jax.Array,
    cast: Cast,
    keypoints: Float[np.ndarray, "k 2"],
    *,
    fit: Fit | None = None,
    taken: Collection[int] = (),
    far: float = FAR,
) -> Pick | None:
    """Chooses a donor for a face.

    Args:
        key: Of the face.
        cast: Whom to choose from.
        keypoints: x y in any unit; NaN = not seen. Of too few, a head is asked for that
            looks at the camera.
        fit: How well donors fit the surroundings; None = all alike.
        taken: Donors that others in the picture have.
        far: How far a donor's pose may be from the asked one.

    Returns:
        None where nobody's head is held like that, as in profile: a mask that looks at
        the camera would be worse than no face.
    """
    shape = pose.shape_of_face(pose.complete(keypoints))
    if 2 * shape[2] < NARROWEST and np.isfinite(far):
        return None
    distance = np.linalg.norm(cast.shapes - shape, axis=1)
    people = [entry["person"] for entry in cast.bank.entries]
    n, busy = len(people), {people[index] for index in taken}
    if len(busy) == len(set(people)):
        busy = set()  # More faces than donors: somebody has to appear twice.
    # Each person once, in their best picture and the better of the two ways.
    best = np.minimum(distance[:n], distance[n:])
    order, seen = [], set(busy)
    for index in np.argsort(best, kind="stable").tolist():
        if people[index] not in seen:
            seen.add(people[index])
            order.append(index)
    near = np.array([index for index in order[:NEAREST] if best[index] <= far], int)
    if not len(near):
        return None
    if fit is not None and cast.bank.vectors.shape[1]:
        score = np.asarray(fit(cast.bank.vectors[near]), np.float64)
        # Whom the matcher likes everywhere fits nobody in particular.
        score = score - [cast.bank.entries[i].get("usual_fit", 0.0) for i in near]
        # A donor held quite otherwise needs to fit much better.
        score = score - 0.5 * best[near]
        near = near[np.argsort(-score, kind="stable")]
    near = near[:LEAST]
    index = int(near[int(jax.random.randint(key, (), 0, len(near)))])
    mirrored = bool(distance[n + index] < distance[index])
    why = f"drawn from {len(near)} of {len(order)}: pose {best[index]:.2f} off"
    if fit is not None:
        why += ", fits what is visible"
    return Pick(index, mirrored, float(best[index]), why)


def read(cast: Cast, pick: Pick) -> Donor:
    """Returns a donor for the painter, without a batch axis."""
    if pick.index not in cast.images:
        cast.images[pick.index] = banks.decode(cast.bank, pick.index)
    image, points = cast.images[pick.index], cast.bank.keypoints[pick.index]
    if pick.mirrored:
        image, points = image[:, ::-1], mirror(points)
    image = image.astype(np.float32) / 127.5 - 1
    return Donor(image, np.nan_to_num(points).astype(np.float32))  # type: ignore[arg-type]


def mirror(keypoints: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 2"]:
    """Mirrors keypoints in sides of their picture."""
    return np.stack([1 - keypoints[:, 0], keypoints[:, 1]], -1)[list(MIRROR)]
