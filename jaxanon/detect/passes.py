"""Runs a CenterFace network over a frame at several sizes and merges what it finds.

The network is any function from a float32 batch [b 3 h w] of RGB in [0, 255], whose
sides are multiples of 32, to heatmap, size, offset and landmark maps of stride 4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxanon.ops import boxes

STRIDE = 32
"""Sides that the network takes are multiples of this."""

TILE = 1280
"""Largest side given to the network; 1280 x 1280 costs about 0.2 GB and 0.15 s."""

OVERLAP = 192
"""Tiles share this many pixels, so every face up to half of it lies whole in one."""

MIN_SIDE = 96
"""Smaller pictures are padded to this, since the network needs some context."""

UPSCALED_SIDE = 1920
LARGEST_SIDE = 4096
SMALLEST_SIDE = 800
"""Longer sides: of small frames enlarged, of any frame, of the last size looked at."""

SURE_BOX = 40
"""Below this, in pixels of its input, the network is surer at a larger size: a smaller
size adds false boxes only. Measured by ``benchmarks/detection.py``."""

MAX_BOX = OVERLAP
"""Larger faces may be cut by a tile and are left to a smaller size."""

SAME_FACE = 0.3
"""Boxes of more intersection over union than this are one face."""

BESIDE, BELOW = 0.05, 0.1
"""So much is added to boxes, in their sides: the network's own end at the cheeks and
the chin, and above the chin of a face with a mask."""

Network = Callable[[np.ndarray], Sequence[np.ndarray]]


class Candidates(NamedTuple):
    """Boxes that the network proposes, in pixels of what it was given."""

    boxes: np.ndarray
    """float32 [n 4]."""
    scores: np.ndarray
    """float32 [n]."""
    points: np.ndarray
    """float32 [n 5 2]: eye, eye, nose, mouth, mouth; the first ones at the left."""


def resize(
    frame: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> Float[np.ndarray, "height width 3"]:
    """Resizes a frame: whole blocks are averaged first, then linear interpolation."""
    image = _reduce(frame, max(1, frame.shape[0] // height), axis=0)
    image = _reduce(image, max(1, frame.shape[1] // width), axis=1)
    return _interpolate(_interpolate(image, height, axis=0), width, axis=1)


def _reduce(image: np.ndarray, factor: int, *, axis: int) -> np.ndarray:
    """Averages ``factor`` neighbours along an axis; the rest at the end is dropped."""
    if factor == 1:
        return image
    count = image.shape[axis] // factor * factor
    parts = [
        image[(slice(None),) * axis + (slice(i, count, factor),)] for i in range(factor)
    ]
    total = parts[0].astype(np.float32)
    for part in parts[1:]:
        total += part
    return total / np.float32(factor)


def _interpolate(image: np.ndarray, size: int, *, axis: int) -> np.ndarray:
    """Interpolates linearly along an axis; pixel centres at halves."""
    image = image.astype(np.float32, copy=False)
    if image.shape[axis] == size:
        return image
    at = (np.arange(size) + 0.5) * (image.shape[axis] / size) - 0.5
    at = np.clip(at, 0, image.shape[axis] - 1)
    low = np.minimum(at.astype(np.int64), max(image.shape[axis] - 2, 0))
    shape = [1] * image.ndim
    shape[axis] = size
    weight = (at - low).astype(np.float32).reshape(shape)
    high = np.minimum(low + 1, image.shape[axis] - 1)
    first = image.take(low, axis=axis)
    return first + (image.take(high, axis=axis) - first) * weight


def spans(length: int) -> list[tuple[int, int, float, float]]:
    """Cuts a side into overlapping spans ``(start, stop, keep_from, keep_to)``.

    A face belongs to the span whose keep range holds its centre; the ranges meet in the
    middle of the overlaps and are open at the ends.
    """
    count = max(1, -(-(length - OVERLAP) // (TILE - OVERLAP)))
    size = min(length, -(-(length + (count - 1) * OVERLAP) // count))
    starts = [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]
    edges = [(a + size + b) / 2 for a, b in zip(starts, starts[1:], strict=False)]
    lows, highs = [-np.inf, *edges], [*edges, np.inf]
    return [
        (s, s + size, low, high)
        for s, low, high in zip(starts, lows, highs, strict=True)
    ]


def decode(maps: Sequence[np.ndarray], floor: float) -> Candidates:
    """Reads the peaks of at least ``floor`` off the maps of one picture."""
    heatmap, sizes, offsets, landmarks = (np.asarray(part)[0] for part in maps)
    rows, columns = np.nonzero(_is_peak(heatmap[0]) & (heatmap[0] >= floor))
    cell = np.stack([columns, rows], -1)
    # Every pair of maps has y first. The clip keeps exp finite; no face is so large.
    sides = np.exp(np.clip(sizes[::-1, rows, columns].T, -4, 8)) * 4
    low = (cell + offsets[::-1, rows, columns].T + 0.5) * 4 - sides / 2
    points = landmarks[:, rows, columns].T.reshape(-1, 5, 2)[..., ::-1]
    points = points * sides[:, None] + low[:, None]
    return Candidates(
        np.concatenate([low, low + sides], -1).astype(np.float32),
        heatmap[0, rows, columns].astype(np.float32),
        points.astype(np.float32),
    )


def _is_peak(heatmap: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Tells which cells are not below any of their eight neighbours."""
    height, width = heatmap.shape
    padded = np.pad(heatmap, 1, constant_values=-np.inf)
    shifted = [
        padded[y : y + height, x : x + width] for y in range(3) for x in range(3)
    ]
    return heatmap >= np.max(shifted, axis=0)


def ladder(height: int, width: int) -> tuple[float, ...]:
    """Chooses the sizes at which a frame is looked at, as factors, largest first.

    The largest makes small faces big enough for the network: 3 times for pictures up
    to 640 pixels, the native size from 1536 on, less for giants. Each next one is a
    third, until a face that fills the frame is small enough.
    """
    side = max(height, width)
    top = min(3.0, UPSCALED_SIDE / side)
    top = top if top >= 1.25 else min(1.0, LARGEST_SIDE / side)
    factors = [top]
    while factors[-1] * side > SMALLEST_SIDE:
        factors.append(factors[-1] / 3)
    return tuple(factors)


def find(
    frame: UInt8[np.ndarray, "h w 3"],
    network: Network,
    *,
    factors: Sequence[float],
    floor: float,
) -> Candidates:
    """Finds faces at every size and merges them: one box a face, best first."""
    return find_all([frame], network, factors=factors, floor=floor)[0]


def find_all(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]],
    network: Network,
    *,
    factors: Sequence[float],
    floor: float,
) -> list[Candidates]:
    """Finds the faces of frames of one size, which the network sees together."""
    height, width = frames[0].shape[:2]
    limit = float(MAX_BOX) if len(factors) > 1 else np.inf
    parts: list[list[Candidates]] = [[] for _ in frames]
    for factor in sorted(factors, reverse=True):
        smallest = SURE_BOX if parts[0] else 0.0
        size = max(1, round(height * factor)), max(1, round(width * factor))
        resized = [resize(frame, *size) for frame in frames]
        ratio = np.array([width / size[1], height / size[0]], np.float32)
        looks = _look(resized, network, floor=floor, limit=limit)
        for part, found in zip(parts, looks, strict=True):
            longer = (found.boxes[:, 2:] - found.boxes[:, :2]).max(-1, initial=0)
            found = _take(found, longer >= smallest)
            scaled = found.boxes * np.tile(ratio, 2)
            part.append(Candidates(scaled, found.scores, found.points * ratio))
    return [_merge(part, height, width) for part in parts]


def _merge(parts: Sequence[Candidates], height: int, width: int) -> Candidates:
    merged = Candidates(*(np.concatenate(field) for field in zip(*parts, strict=True)))
    merged = merged._replace(boxes=boxes.clip(merged.boxes, height, width))
    sides = merged.boxes[:, 2:] - merged.boxes[:, :2]
    merged = _take(merged, np.all(sides >= 1, axis=-1))
    merged = _take(merged, boxes.nms(merged.boxes, merged.scores, SAME_FACE))
    grown = add_chin(merged.boxes, merged.points)
    return merged._replace(boxes=boxes.clip(grown, height, width))


def add_chin(
    face_boxes: Float[np.ndarray, "n 4"], points: Float[np.ndarray, "n 5 2"]
) -> Float[np.ndarray, "n 4"]:
    """Adds the chin, on the side where the mouth is, and a little at both cheeks."""
    down = points[:, 3:].mean(1) - points[:, :2].mean(1)
    down = down / np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-6)
    cheeks, chin = BESIDE * np.abs(down[:, ::-1]), BELOW * down
    sides = face_boxes[:, 2:] - face_boxes[:, :2]
    low = face_boxes[:, :2] - sides * (cheeks + np.maximum(-chin, 0))
    high = face_boxes[:, 2:] + sides * (cheeks + np.maximum(chin, 0))
    return np.concatenate([low, high], -1)


def _look(
    images: Sequence[np.ndarray], network: Network, *, floor: float, limit: float
) -> list[Candidates]:
    """Runs the network over the tiles of resized frames of one size."""
    rows, columns = spans(images[0].shape[0]), spans(images[0].shape[1])
    is_tiled = len(rows) * len(columns) > 1
    parts: list[list[Candidates]] = [[] for _ in images]
    for top, bottom, low_y, high_y in rows:
        for left, right, low_x, high_x in columns:
            tiles = [_pad(image[top:bottom, left:right]) for image in images]
            maps = network(tiles[0] if len(tiles) == 1 else np.concatenate(tiles))
            for index, part in enumerate(parts):
                found = decode([each[index : index + 1] for each in maps], floor)
                found = found._replace(
                    boxes=found.boxes + np.array([left, top] * 2, np.float32),
                    points=found.points + np.array([left, top], np.float32),
                )
                x, y = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2).T
                own = (x >= low_x) & (x < high_x) & (y >= low_y) & (y < high_y)
                if is_tiled:
                    sides = found.boxes[:, 2:] - found.boxes[:, :2]
                    own &= sides.max(-1, initial=0) <= limit
                part.append(_take(found, own))
    return [
        Candidates(*(np.concatenate(field) for field in zip(*part, strict=True)))
        for part in parts
    ]


def _pad(tile: np.ndarray) -> np.ndarray:
    """Makes [1 3 h w] of sides that the network takes, black at right and bottom."""
    height, width = (
        max(MIN_SIDE, -(-side // STRIDE) * STRIDE) for side in tile.shape[:2]
    )
    batch = np.zeros((1, 3, height, width), np.float32)
    batch[0, :, : tile.shape[0], : tile.shape[1]] = tile.transpose(2, 0, 1)
    return batch


def _take(candidates: Candidates, index: np.ndarray) -> Candidates:
    return Candidates(*(field[index] for field in candidates))
