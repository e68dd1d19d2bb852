"""A bank of one's own, from photos of people who agreed to be shown."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxanon import paint, pose, seek, weights
from jaxanon.detect import Detector
from jaxanon.donors import bank as banks
from jaxanon.donors.bank import Bank
from jaxanon.errors import ConfigError, MediaError
from jaxanon.media import image, kind
from jaxanon.types import Donor
from jaxanon.weights import Weights

SMALLEST = 24.0
"""Least distance from the eyes to the mouth in pixels; less would look soft."""


def make(
    photos: Sequence[Path],
    *,
    statement: str,
    detector: Detector,
    keypointer: Weights | None,
    score: float = 0.5,
) -> Bank:
    """Makes a bank of consenting donors.

    Args:
        photos: Files, which are of one person, and folders, each of one person. There
            must be one face on each photo.
        statement: In which words they agreed, kept in the bank.
        detector: Finds the faces.
        keypointer: Weights of the keypoint network.
        score: Detections below it are no faces.

    Raises:
        ConfigError: There is no statement, or no photo.
        MediaError: A photo cannot be read, or not exactly one large face is on it.
    """
    if not statement.strip():
        raise ConfigError(
            "A bank of real people needs a statement that they agreed to be shown "
            "(--statement)."
        )
    pictures, keypoints, entries = [], [], []
    for person, file in _list(photos):
        pixels = seek.to_uint8(image.read(file).pixels)
        points = _find(file, pixels, detector, keypointer, score)
        picture, points = banks.cut(pixels, points)
        pictures.append(picture)
        keypoints.append(points.astype(np.float32))
        name = f"{person}/{len(entries)}"
        source, licence = "consenting person", "statement of the bank"
        entries.append(
            {"id": name, "person": person, "source": source, "licence": licence}
        )
    if not pictures:
        raise ConfigError("No photo of a donor was given.")
    return Bank(
        [banks.encode_picture(picture) for picture in pictures],
        np.stack(keypoints),
        embed(pictures, keypoints),
        entries,
        {"people": "consenting", "statement": statement.strip()},
        "",
    )


def embed(
    pictures: Iterable[np.ndarray], keypoints: Iterable[np.ndarray]
) -> np.ndarray:
    """Returns the matcher's vectors of donors, ``[n d]``; d is 0 without a matcher."""
    pictures = list(pictures)
    if "matcher" not in weights.names():
        return np.zeros((len(pictures), 0), np.float32)
    matcher = weights.load("matcher")
    rows = []
    for picture, points in zip(pictures, keypoints, strict=True):
        image: Any = picture[None].astype(np.float32) / 127.5 - 1
        places: Any = np.nan_to_num(points)[None].astype(np.float32)
        donor = Donor(image, places)
        rows.append(paint.embed_donor(matcher, donor)[0])
    return np.stack(rows)


def _list(photos: Sequence[Path]) -> Iterable[tuple[str, Path]]:
    """Yields who is on each photo, and the photo."""
    for path in photos:
        if not path.is_dir():
            yield "donor", path
            continue
        for file in sorted(path.iterdir()):
            if file.is_file() and kind.of(file) == "picture":
                yield path.name, file


def _find(file, pixels, detector, keypointer, score) -> np.ndarray:
    """Finds the keypoints of the one face on a photo."""
    found = seek.find_faces(pixels, detector, keypointer, score=score)
    if len(found.boxes) != 1:
        raise MediaError(
            f"{file}: {len(found.boxes)} faces were found, but a donor's photo must "
            "show one person alone."
        )
    points = pose.complete(found.keypoints[0])
    eyes = points[[pose.LEFT_EYE, pose.RIGHT_EYE]].mean(0)
    mouth = points[[pose.LEFT_MOUTH, pose.RIGHT_MOUTH]].mean(0)
    if np.hypot(*(mouth - eyes)) < SMALLEST:
        raise MediaError(f"{file}: the face is too small to lend.")
    return points
