"""The training set in memory: uint8 crops, boxes and keypoints in crop sides."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxanon.errors import ConfigError, MediaError
from jaxanon.types import KEYPOINTS

Array = np.ndarray | jax.Array


class Faces(NamedTuple):
    """Many faces, or one without the leading axis; on the host or on the device."""

    images: Array
    """uint8 [n h w 3], RGB."""
    boxes: Array
    """float32 [n 4], x0 y0 x1 y1 of the face in crop sides."""
    keypoints: Array
    """float32 [n 11 2], x y in crop sides, in KEYPOINTS order."""
    scores: Array
    """float32 [n 11], certainty of the annotator; 0 = unknown."""


class FaceSet(NamedTuple):
    """Faces with what is said about them."""

    faces: Faces
    licences: Sequence[str]
    """One per face."""
    people: Sequence[str] = ()
    """Who it is, one per face, empty where unknown; or none at all."""


def take(faces: Faces, index: Array) -> Faces:
    """Selects faces by index."""
    return Faces(*(array[index] for array in faces))


def stack(records: Sequence[Faces]) -> Faces:
    """Stacks single faces, or batches of them, along a new first axis."""
    return Faces(*(np.stack(arrays) for arrays in zip(*records, strict=True)))


def select_licences(licences: Sequence[str], wanted: Iterable[str]) -> np.ndarray:
    """Returns the indices of the faces under one of the wanted licences.

    Raises:
        ConfigError: no face is; the message counts what there is.
    """
    wanted = {name.lower() for name in wanted}
    if not wanted:
        return np.arange(len(licences))
    found = [i for i, name in enumerate(licences) if name.lower() in wanted]
    missing = wanted - {name.lower() for name in licences}
    if missing:
        there = ", ".join(f"{k!r} ({v})" for k, v in Counter(licences).most_common())
        raise ConfigError(
            f"No face has the licence {', '.join(sorted(missing))}; there are {there}."
        )
    return np.array(found)


def join(sets: Sequence[FaceSet]) -> FaceSet:
    """Joins sets of faces of one resolution, in order."""
    faces = Faces(*map(np.concatenate, zip(*(s.faces for s in sets), strict=True)))
    licences = [name for s in sets for name in s.licences]
    people = [name for s in sets for name in s.people or [""] * len(s.licences)]
    return FaceSet(faces, licences, people)


def save(path: str | Path, face_set: FaceSet) -> None:
    """Writes a plain ``.npz``, by atomic rename."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "wb") as file:
        licences, people = np.array(face_set.licences), np.array(face_set.people)
        named = {"people": people} if len(people) else {}
        np.savez(file, licences=licences, **named, **face_set.faces._asdict())
    temporary.replace(path)


def load(path: str | Path) -> FaceSet:
    """Reads what ``save`` wrote; runs no code from the file.

    Raises:
        MediaError: it is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*Faces._fields, "licences")}
            people = file["people"].tolist() if "people" in file else []
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise MediaError(f"{path} is not a file of packed faces: {error}.") from error
    licences = [str(name) for name in arrays.pop("licences")]
    faces = Faces(**arrays)
    check(faces, str(path))
    return FaceSet(faces, licences, people)


def check(faces: Faces, name: str) -> None:
    """Raises MediaError unless the arrays are what ``Faces`` says."""
    n, *size = faces.images.shape
    k = len(KEYPOINTS)
    shapes = ((n, *size), (n, 4), (n, k, 2), (n, k))
    fits = all(a.shape == s for a, s in zip(faces, shapes, strict=True))
    if not fits or faces.images.dtype != np.uint8 or size[-1:] != [3] or n == 0:
        got = ", ".join(f"{a.dtype} {a.shape}" for a in faces)
        raise MediaError(f"{name} does not hold faces, but arrays of {got}.")
    if not all(np.isfinite(a).all() for a in faces[1:]):
        raise MediaError(f"{name} holds boxes or keypoints that are not finite.")
