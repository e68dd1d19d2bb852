"""Boxes on the host, in NumPy: half-open pixels ``x0 y0 x1 y1``."""

import numpy as np
from jaxtyping import Float, Int, Num


def area(boxes: Num[np.ndarray, "n 4"]) -> Num[np.ndarray, "n"]:
    """Returns the area of each box; 0 where a box is inside out."""
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 0)
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return width * height


def iou(
    first: Num[np.ndarray, "n 4"], second: Num[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Returns intersection over union of every pair; 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1, dtype=np.float64)
    union = area(first)[:, None] + area(second)[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def scale(boxes: Num[np.ndarray, "*n 4"], factor: float) -> Float[np.ndarray, "*n 4"]:
    """Scales boxes about their centres."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]) * (factor / 2)
    return np.concatenate([centre - half, centre + half], axis=-1)


def clip(
    boxes: Num[np.ndarray, "*n 4"], height: int, width: int
) -> Num[np.ndarray, "*n 4"]:
    """Cuts boxes off at the border of a frame."""
    limits = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, np.zeros_like(limits), limits)


def round_outward(boxes: Num[np.ndarray, "*n 4"]) -> Int[np.ndarray, "*n 4"]:
    """Returns the smallest boxes of whole pixels that hold the given ones."""
    low, high = np.floor(boxes[..., :2]), np.ceil(boxes[..., 2:])
    return np.concatenate([low, high], axis=-1).astype(np.int64)


def nms(
    boxes: Num[np.ndarray, "n 4"], scores: Float[np.ndarray, "n"], threshold: float
) -> Int[np.ndarray, "m"]:
    """Drops each box that overlaps a better one by more than ``threshold``.

    Returns:
        Indices of the boxes that stay, best first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes, boxes) > threshold
    kept: list[int] = []
    for index in order:
        if not overlaps[index, kept].any():
            kept.append(int(index))
    return np.array(kept, np.int64)


def expand_square(
    box: Num[np.ndarray, "4"],
    height: int,
    width: int,
    fraction: float = 0.35,
    *,
    whole: bool = True,
) -> Num[np.ndarray, "4"]:
    """Grows a box to the square crop that DeepPrivacy and FDF would cut.

    The short side grows to the long one, then each side by ``fraction`` of it, as far
    as the frame allows, and the square is pushed back inside the frame. Where the long
    side does not fit into the frame, the square is centred and leaves the frame.

    Args:
        box: One box inside the frame.
        height: Of the frame.
        width: Of the frame.
        fraction: How much is added on each side.
        whole: True = the published rule in whole pixels, int64; False = the same rule
            without rounding, float64, which follows a moving box without jumps.

    References:
        Hukkelås et al. 2019, DeepPrivacy; ``expand_bbox`` of its code.
    """
    floor = np.floor if whole else np.asarray
    limit = np.array([width, height], np.float64)
    start = np.array(box[:2], np.float64)
    size = np.array(box[2:], np.float64) - start
    side = size.max()
    if side > limit.min():
        return _centred_square(box, 1 + 2 * fraction, whole=whole)

    start = np.maximum(start - floor((side - size) / 2), 0)
    start = np.minimum(start, limit - side)
    grow = min(floor(side * fraction), *floor((limit - side) / 2))
    if grow > 0:
        start = np.maximum(start - grow, 0)
        start = np.minimum(start, limit - side - 2 * grow)
        side = side + 2 * grow
    square = np.concatenate([start, start + side])
    return square.astype(np.int64) if whole else square


def _centred_square(box, factor: float, *, whole: bool):
    floor = np.floor if whole else np.asarray
    low, high = np.array(box[:2], np.float64), np.array(box[2:], np.float64)
    centre = floor(low) + floor((high - low) / 2)
    half = floor(floor((high - low).max() * factor) / 2)
    square = np.concatenate([centre - half, centre + half])
    return square.astype(np.int64) if whole else square
