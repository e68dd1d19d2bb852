"""Builds the bank of donors from pictures of people who don't exist: ``train.bank``.

Every picture is measured: keypoints, size, light, sharpness and skin. What is small,
black-and-white, in odd light or on the list to leave out is dropped; so is everybody
whom a face recogniser takes for a real person of the packs given, or for another donor.
From the rest a balanced choice is made: by how heads are held, mouths and skin.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxanon import detect, pose, seek, weights
from jaxanon.donors import bank as banks
from jaxanon.errors import ConfigError, JaxanonError
from jaxanon.metrics import embedding, tone

LICENCES = {"faker": "CC0-1.0", "sfhq_t2i": "MIT"}
"""Of the collections, by folder; pictures of other folders are not used."""

SMALLEST = 40.0
"""Distance from the eyes to the mouth in pixels: a face of 110."""

DENSE = {0: 1, 1: 473, 2: 468, 7: 291, 8: 61, 9: 13, 10: 14}
"""Our keypoints among the 478 of MediaPipe's face landmarks."""


class Candidate(NamedTuple):
    """A picture that may become a donor."""

    name: str
    picture: np.ndarray
    keypoints: np.ndarray
    measures: dict[str, float]


def measure(picture: np.ndarray, keypoints: np.ndarray) -> dict[str, float]:
    """Measures a donor's picture.

    Args:
        picture: uint8, as ``bank.cut`` gives it.
        keypoints: In its sides.

    Returns:
        ``tone``: the individual typology angle of the cheeks and the brow in degrees,
        55 and more very light, under 10 dark; ``cast``: how far their colour is from
        what skin has; ``uneven``: difference of the face's halves in light, in
        deviations; ``clipped``: share of the face that is black or white;
        ``sharpness``: standard deviation of the Laplacian; ``turn``, ``mouth``.
    """
    lab = tone.to_lab(picture / 255)
    eyes = keypoints[[pose.LEFT_EYE, pose.RIGHT_EYE]]
    mouth = keypoints[[pose.LEFT_MOUTH, pose.RIGHT_MOUTH]]
    middle, down = eyes.mean(0), mouth.mean(0) - eyes.mean(0)
    spots = [*(0.45 * eyes + 0.55 * mouth), middle - 0.35 * down]
    patches = [_patch(lab, spot, 6) for spot in spots]
    skin = np.median(np.concatenate(patches), 0)
    _, green_red, blue_yellow = skin
    hue = np.rad2deg(np.arctan2(blue_yellow, green_red))
    chroma = np.hypot(green_red, blue_yellow)
    left, right = (float(np.median(patch[:, 0])) for patch in patches[:2])
    inner = lab[64:208, 64:192, 0]
    grey = picture.mean(-1)[64:208, 64:192]
    laplacian = np.diff(grey, 2, 0)[:, 1:-1] + np.diff(grey, 2, 1)[1:-1]
    shape = pose.shape_of_face(keypoints)
    return {
        "tone": tone.typology_angle(skin),
        "cast": float(abs(hue - 52) + max(chroma - 38, 0) + max(12 - chroma, 0)),
        "uneven": abs(left - right),
        "clipped": float((inner < 6).mean() + (inner > 97).mean()),
        "sharpness": float(laplacian.std()),
        "turn": float(shape[0]),
        "mouth": float(shape[9] / 1.5),
    }


def is_usable(measures: dict[str, float]) -> bool:
    """Says whether a picture may be laid into others: even light, colours of skin."""
    return (
        measures["cast"] < 30
        and measures["uneven"] < 22
        and measures["clipped"] < 0.08
        and abs(measures["turn"]) < 0.75
    )


def choose_balanced(
    candidates: Sequence[Candidate], count: int, first: Sequence[int]
) -> list[int]:
    """Chooses candidates that cover poses, mouths and skin evenly.

    The farthest from all that were chosen comes next, over what was measured.

    Args:
        candidates: To choose from.
        count: How many at most.
        first: Those that are in any case.
    """
    rows = []
    for candidate in candidates:
        shape = pose.shape_of_face(candidate.keypoints)
        angle = np.clip(candidate.measures["tone"], -60, 60) / 60
        rows.append([*shape, 1.2 * angle])
    features = np.array(rows)
    chosen = list(first)[:count] or [0]
    distance = np.full(len(features), np.inf)
    for index in chosen:
        distance = np.minimum(
            distance, np.linalg.norm(features - features[index], axis=1)
        )
    # Half are the farthest, for breadth; half as they come, where most heads are.
    spread = len(chosen) + (count - len(chosen)) // 2
    while len(chosen) < min(spread, len(features)):
        index = int(distance.argmax())
        chosen.append(index)
        distance = np.minimum(
            distance, np.linalg.norm(features - features[index], axis=1)
        )
    rest = [i for i in range(len(features)) if i not in set(chosen)]
    rest.sort(key=lambda i: candidates[i].measures["cast"])
    return chosen + rest[: max(count - len(chosen), 0)]


def find_look_alikes(
    vectors: np.ndarray, real: np.ndarray, threshold: float
) -> np.ndarray:
    """Says which unit vectors are nearer to a real person's than a threshold."""
    similarity = np.array([np.nanmax(real @ v) for v in vectors])
    return ~(similarity < threshold)


def find_twins(vectors: np.ndarray, threshold: float) -> set[int]:
    """Returns those that look like an earlier one."""
    twins: set[int] = set()
    for index, vector in enumerate(vectors):
        before = [i for i in range(index) if i not in twins]
        if before and np.max(vectors[before] @ vector) > threshold:
            twins.add(index)
    return twins


def read_candidates(arguments: argparse.Namespace) -> list[Candidate]:
    """Cuts and measures the pictures of all collections."""
    left_out = set(arguments.leave_out.read_text().split())
    dense = _read_landmarks(arguments.landmarks)
    detector = detect.make("centerface")
    keypointer = weights.load("keypointer")
    found = []
    for folder in sorted(LICENCES):
        for file in sorted((arguments.donors / folder).glob("*.webp")):
            name = f"{folder}/{file.stem}"
            if name in left_out:
                continue
            pixels = np.asarray(Image.open(file).convert("RGB"))
            keypoints = _find(pixels, name, dense, detector, keypointer)
            candidate = _cut(name, pixels, keypoints)
            if candidate is not None and is_usable(candidate.measures):
                found.append(candidate)
    return found


def _read_landmarks(path: Path | None) -> dict[str, np.ndarray]:
    """Reads dense landmarks by picture: ``files`` and ``landmarks`` in sides."""
    if path is None:
        return {}
    with np.load(path) as file:
        names = ["/".join(name.split("/")[-2:])[:-5] for name in file["files"].tolist()]
        return dict(zip(names, file["landmarks"][..., :2], strict=True))


def _find(pixels, name, dense, detector, keypointer) -> np.ndarray | None:
    """Finds the keypoints of the face in the middle; None = nobody."""
    height, width = pixels.shape[:2]
    found = seek.find_faces(pixels, detector, None, score=0.3)
    points = dense.get(name)
    centre = np.array([width, height]) / 2
    if points is not None and np.isfinite(points[0]).all():
        centre = points.mean(0) * [width, height]
    boxes = found.boxes
    inside = (boxes[:, :2] < centre).all(1) & (boxes[:, 2:] > centre).all(1)
    if not inside.any():
        return None
    best = int(np.argmax(np.where(inside, found.scores, -1)))
    one = detect.take(found, np.array([best]))
    keypoints = seek.complete_keypoints(pixels, one, keypointer).keypoints[0]
    keypoints = keypoints.astype(np.float64)
    if points is not None:
        for ours, theirs in DENSE.items():
            keypoints[ours] = points[theirs] * [width, height]
    return keypoints


def _cut(name, pixels, keypoints) -> Candidate | None:
    if keypoints is None or not np.isfinite(keypoints[pose.INNER]).all():
        return None
    eyes = keypoints[[pose.LEFT_EYE, pose.RIGHT_EYE]].mean(0)
    down = keypoints[[pose.LEFT_MOUTH, pose.RIGHT_MOUTH]].mean(0) - eyes
    unit = float(np.hypot(*down))
    corner = eyes + banks.LOWER * down - banks.REACH * unit / 2
    end = corner + banks.REACH * unit - [pixels.shape[1], pixels.shape[0]]
    beyond = 0.12 * banks.REACH * unit
    if unit < SMALLEST or (corner < -beyond).any() or (end > beyond).any():
        return None
    picture, points = banks.cut(pixels, keypoints)
    measures = measure(picture, points) | {"pixels": unit}
    return Candidate(name, picture, points, measures)


def _patch(lab: np.ndarray, spot: np.ndarray, reach: int) -> np.ndarray:
    place = np.clip(spot * len(lab), reach, len(lab) - reach)
    x, y = place.astype(int).tolist()
    return lab[y - reach : y + reach, x - reach : x + reach].reshape(-1, 3)


def build(arguments: argparse.Namespace) -> banks.Bank:
    """Builds the bank.

    Raises:
        ConfigError: No picture is left.
    """
    candidates = read_candidates(arguments)
    say(f"{len(candidates)} pictures can be used")
    if not candidates:
        raise ConfigError(f"No donor in {arguments.donors}.")
    embed = embedding.load(arguments.embedding)
    vectors = np.concatenate(
        [embed([c.picture], c.keypoints[None] * banks.SIDE) for c in candidates]
    )
    real = np.load(arguments.real).astype(np.float32)
    real = real[np.isfinite(real).all(1)]
    alike = find_look_alikes(vectors, real, arguments.threshold)
    say(f"{int(alike.sum())} look like one of {len(real)} real people")
    twins = find_twins(vectors, arguments.twins)
    say(f"{len(twins)} look like another donor")
    kept = [
        candidate
        for index, candidate in enumerate(candidates)
        if not alike[index] and index not in twins
    ]
    first = [i for i, c in enumerate(kept) if c.name.startswith("faker")]
    chosen = sorted(choose_balanced(kept, arguments.count, first))
    few = [kept[i] for i in chosen]
    entries: list[dict[str, Any]] = [
        {
            "id": candidate.name,
            "person": candidate.name,
            "source": candidate.name.split("/")[0],
            "licence": LICENCES[candidate.name.split("/")[0]],
            **{name: round(value, 3) for name, value in candidate.measures.items()},
        }
        for candidate in few
    ]
    return banks.Bank(
        [banks.encode_picture(candidate.picture) for candidate in few],
        np.stack([candidate.keypoints for candidate in few]).astype(np.float32),
        np.zeros((len(few), 0), np.float32),
        entries,
        {
            "people": "nobody",
            "real_people_compared": len(real),
            "threshold": arguments.threshold,
            "sources": {
                "faker": "faker-js/assets-person-portrait, CC0",
                "sfhq_t2i": "SelfishGene/SFHQ-T2I-dataset, MIT",
            },
        },
        "",
    )


def say(text: str) -> None:
    """Tells how far it is."""
    sys.stderr.write(text + "\n")


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.bank", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--donors", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--leave-out", type=Path, required=True, metavar="FILE.txt")
    parser.add_argument("--landmarks", type=Path, metavar="FILE.npz")
    parser.add_argument("--embedding", type=Path, required=True, metavar="FILE.onnx")
    parser.add_argument(
        "--real", type=Path, required=True, metavar="FILE.npy", help="their embeddings"
    )
    parser.add_argument("--threshold", type=float, default=0.45)
    parser.add_argument("--twins", type=float, default=0.6)
    parser.add_argument("--count", type=int, default=560)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        bank = build(arguments)
        sha256 = banks.save(arguments.output, bank)
    except JaxanonError as error:
        say(str(error))
        return 1
    size = arguments.output.stat().st_size / 1e6
    say(f"{arguments.output}: {len(bank.entries)} donors, {size:.1f} MB, {sha256[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
