"""Finds the faces of a frame, with all their keypoints, and looks at each again."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt, UInt8

from jaxanon import detect, paint
from jaxanon.ops import boxes
from jaxanon.types import Detections
from jaxanon.weights import Weights

# Share of a box that lies in another one where both are one face.
_COVERED = 0.8
# The brightest sample of a 16-bit picture that looks black, but may hold 12 bits.
_DARK = 1 << 12


SURE = 0.6
"""Score of the detector from which nothing but a face is likely; at half of it, there
is as likely none."""


def find_faces(
    frame: UInt[np.ndarray, "h w 3"],
    detector: detect.Detector,
    keypointer: Weights | None,
    *,
    score: float,
) -> Detections:
    """Detects the faces of a frame, completes their keypoints and looks again.

    Args:
        frame: RGB, uint8 or uint16.
        detector: Takes uint8 frames.
        keypointer: Weights of the keypoint network; None leaves gaps, and no face is
            looked at a second time.
        score: Detections below it are left out.

    Raises:
        DetectorError: The detector answered something that is no ``Detections``.
    """
    seen = to_uint8(frame)
    (found,) = detect.validate([seen], detector([seen]))
    found = select(found, score=score)
    if keypointer is None:
        return found
    return complete_keypoints(frame, found, keypointer)


def find_faces_anywhere(
    frame: UInt[np.ndarray, "h w 3"],
    alpha: UInt[np.ndarray, "h w"] | None,
    detector: detect.Detector,
    keypointer: Weights | None,
    *,
    score: float,
) -> Detections:
    """Finds the faces in all that somebody may see of a picture.

    These are its colours, also under what is transparent, its alpha as a picture, both
    together on white and on black, and what is too dark to see in a 16-bit picture.

    Args:
        frame: RGB, uint8 or uint16.
        alpha: Of the same type; None = opaque.
        detector: Takes uint8 frames.
        keypointer: Weights of the keypoint network; None leaves gaps.
        score: Detections below it are left out.

    Returns:
        First what is found in the colours, then what only other views show.

    Raises:
        DetectorError: The detector answered something that is no ``Detections``.
    """
    found = find_faces(frame, detector, keypointer, score=score)
    for view in _other_views(frame, alpha):
        more = find_faces(view, detector, keypointer, score=score)
        new = ~_is_covered(more.boxes, found.boxes)
        found = Detections(
            *(
                np.concatenate([known, other[new]])
                for known, other in zip(found, more, strict=True)
            )
        )
    return found


def _other_views(frame, alpha) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yields what else a picture shows, each view as long as it is looked at."""
    if frame.dtype == np.uint16 and 0 < (limit := int(frame.max())) < _DARK:
        yield (frame.astype(np.uint32) * 255 // limit).astype(np.uint8)
    if alpha is None or alpha.min() == alpha.max():
        return
    plane = to_uint8(np.repeat(alpha[..., None], 3, 2))
    yield plane
    yield 255 - plane
    colours = to_uint8(frame).astype(np.uint16) * plane
    yield (colours // 255).astype(np.uint8)
    yield ((colours + (255 - plane.astype(np.uint16)) * 255) // 255).astype(np.uint8)


def _is_covered(new: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tells which boxes lie, but for a rim, in one box of those that are known."""
    if not len(known):
        return np.zeros(len(new), bool)
    low = np.maximum(new[:, None, :2], known[None, :, :2])
    high = np.minimum(new[:, None, 2:], known[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    return (common >= _COVERED * boxes.area(new)[:, None]).any(1)


def select(detections: Detections, *, score: float) -> Detections:
    """Keeps the detections that are sure enough."""
    sure = detections.scores >= score
    return detect.take(detections, sure)


def complete_keypoints(
    frame: UInt[np.ndarray, "h w 3"],
    detections: Detections,
    keypointer: Weights,
    *,
    threshold: float = 0.5,
) -> Detections:
    """Asks the keypoint network for what the detector has not seen.

    One look a face, which also says how likely it is to be one. The network sees the
    hidden face; the probability may decide how the box is hidden, never whether: it
    lets one bit of the face out, as the detector does by finding it.

    Args:
        frame: RGB, uint8 or uint16, with the faces.
        detections: NaN keypoints are filled in where the network is sure.
        keypointer: Weights of the keypoint network.
        threshold: Least probability that a keypoint is visible.

    Returns:
        The detections, completed, with ``faces``: below 1 where the network looked or,
        if it cannot judge, where the detector's score is below ``SURE``.
    """
    completed = detections.keypoints.copy()
    faces = np.ones(len(completed), np.float32)
    for index, box in enumerate(detections.boxes):
        missing = np.isnan(completed[index]).any(-1)
        is_asked = missing.any() or keypointer.config.verdict
        if is_asked and (box[2:] > box[:2]).all():
            points, probability, face = paint.predict_keypoints(frame, box, keypointer)
            missing &= (probability >= threshold) & np.isfinite(points).all(-1)
            completed[index, missing] = points[missing]
            if keypointer.config.verdict and np.isfinite(face):
                # 1 would say that nobody looked.
                faces[index] = min(face, np.nextafter(np.float32(1), np.float32(0)))
    if not keypointer.config.verdict:
        # Nobody looked again, but the detector was sure or not.
        faces = np.minimum(detections.scores / SURE, 1).astype(np.float32)
    return detections._replace(keypoints=completed, faces=faces)


def to_uint8(frame: UInt[np.ndarray, "h w 3"]) -> UInt[np.ndarray, "h w 3"]:
    """Makes a frame of 8 or 16 bits one of 8, as detectors take them."""
    return frame if frame.dtype == np.uint8 else (frame // 257).astype(np.uint8)
