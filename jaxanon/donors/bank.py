"""One file of donors: people who don't exist, or who agreed to be shown.

The file is safetensors: pictures as WebP, one after the other, keypoints and vectors of
the matcher; its metadata says of each donor where it comes from, and of a bank of real
people with which words they agreed.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxanon import pose, weights
from jaxanon.errors import WeightsError
from jaxanon.media import webp
from jaxanon.types import KEYPOINTS

VERSION = "1"
SIDE = 256
"""Of a donor's picture in pixels."""

REACH = 2.9
"""Side of a donor's picture, in distances from the eyes to the mouth."""

LOWER = 0.56
"""How far the picture's centre is below the eyes, in the same."""

DEFAULT = weights.ASSETS / "donors.bank"


class Bank(NamedTuple):
    """Donors that are ready to be chosen from."""

    pictures: Sequence[bytes]
    """WebP, SIDE x SIDE."""
    keypoints: Float[np.ndarray, "n k 2"]
    """x y in sides of the picture, in KEYPOINTS order; NaN = not seen."""
    vectors: Float[np.ndarray, "n d"]
    """What the matcher compares with surroundings; d is 0 where there is none."""
    entries: Sequence[Mapping[str, Any]]
    """Of each donor: ``id``, ``person``, ``source``, ``licence`` and measures."""
    provenance: Mapping[str, Any]
    """``statement`` of consent, ``people``: ``nobody`` or ``consenting``, and more."""
    sha256: str
    """Hash of the file."""


def cut(
    pixels: UInt8[np.ndarray, "h w 3"], keypoints: Float[np.ndarray, "k 2"]
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "k 2"]]:
    """Cuts a donor's picture around the inner face.

    Args:
        pixels: A photo.
        keypoints: x y in its pixels; those of ``pose.INNER`` known.

    Returns:
        The picture, and the keypoints in its sides.

    Raises:
        ValueError: A keypoint is missing, or the face has no size.
    """
    if not np.isfinite(keypoints[pose.INNER]).all():
        raise ValueError("A donor needs eyes, nose, mouth corners and lips.")
    eyes = keypoints[[pose.LEFT_EYE, pose.RIGHT_EYE]].mean(0)
    down = keypoints[[pose.LEFT_MOUTH, pose.RIGHT_MOUTH]].mean(0) - eyes
    side = REACH * float(np.hypot(*down))
    if not side > 0:
        raise ValueError("The donor's eyes and mouth are in one place.")
    corner = eyes + LOWER * down - side / 2
    picture = webp.resample(pixels, corner, side, SIDE)
    return picture, (keypoints - corner) / side


def load(path: str | os.PathLike[str] = DEFAULT) -> Bank:
    """Loads a bank from a file; pictures are decoded when they are needed.

    Raises:
        WeightsError: The file is missing, damaged or no bank; or real people are in it
            without a statement that they agreed.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        tensors, metadata = weights.decode(data)
        if metadata["version"] != VERSION:
            raise WeightsError(f"layout {metadata['version']!r} is not {VERSION!r}")
        bank = _unpack(tensors, metadata, hashlib.sha256(data).hexdigest())
    except OSError as error:
        raise WeightsError(f"Cannot read donors {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, WeightsError) as error:
        raise WeightsError(f"{path} is no bank of donors: {error}.") from error
    check_consent(bank.provenance, str(path))
    return bank


def save(path: str | os.PathLike[str], bank: Bank) -> str:
    """Writes a bank to a file, wholly or not at all, and returns its hash.

    Raises:
        WeightsError: Real people are in it without a statement that they agreed, or
            the file cannot be written.
    """
    check_consent(bank.provenance, os.fspath(path))
    ends = np.cumsum([0, *map(len, bank.pictures)]).astype(np.int64)
    tensors = {
        "pictures": np.frombuffer(b"".join(bank.pictures), np.uint8),
        "ends": ends,
        "keypoints": np.asarray(bank.keypoints, np.float32),
        "vectors": np.asarray(bank.vectors, np.float16),
    }
    metadata = {
        "version": VERSION,
        "entries": json.dumps(list(map(dict, bank.entries)), sort_keys=True),
        "provenance": json.dumps(dict(bank.provenance), sort_keys=True),
    }
    data = weights.encode(tensors, metadata)
    weights.write(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def check_consent(provenance: Mapping[str, Any], name: str) -> None:
    """Raises WeightsError where real people have not said that they agree."""
    people = provenance.get("people")
    if people == "nobody":
        return
    if people != "consenting":
        raise WeightsError(f"{name} does not say who its donors are.")
    if not str(provenance.get("statement") or "").strip():
        raise WeightsError(
            f"{name} holds real people and no statement that they agreed to be shown. "
            "Make it anew with --statement."
        )


def decode(bank: Bank, index: int) -> UInt8[np.ndarray, "s s 3"]:
    """Decodes the picture of a donor."""
    return webp.decode(bank.pictures[index])


def _unpack(tensors: Mapping[str, np.ndarray], metadata, sha256: str) -> Bank:
    ends = tensors["ends"].tolist()
    blob = tensors["pictures"].tobytes()
    pictures = [blob[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    entries = json.loads(metadata["entries"])
    keypoints = tensors["keypoints"].astype(np.float32)
    vectors = tensors["vectors"].astype(np.float32)
    n = len(entries)
    if not n or len(pictures) != n or keypoints.shape != (n, len(KEYPOINTS), 2):
        raise WeightsError(
            f"{n} entries, {len(pictures)} pictures and keypoints {keypoints.shape} "
            "do not fit"
        )
    if any("person" not in entry or "id" not in entry for entry in entries):
        raise WeightsError("an entry has no id or person")
    if len(vectors) != n or not np.isfinite(keypoints[:, pose.INNER]).all():
        raise WeightsError("vectors or keypoints are missing")
    provenance = json.loads(metadata["provenance"])
    return Bank(pictures, keypoints, vectors, entries, provenance, sha256)


def encode_picture(picture: UInt8[np.ndarray, "s s 3"]) -> bytes:
    """Encodes a donor's picture, the same in every run."""
    return webp.encode(picture)
