"""Finds the faces of a frame, with all their keypoints."""

import numpy as np
from jaxtyping import UInt

from jaxanon import detect, paint
from jaxanon.types import Detections
from jaxanon.weights import Weights


def find_faces(
    frame: UInt[np.ndarray, "h w 3"],
    detector: detect.Detector,
    keypointer: Weights | None,
    *,
    score: float,
) -> Detections:
    """Detects the faces of a frame and completes their keypoints.

    Args:
        frame: RGB, uint8 or uint16.
        detector: Takes uint8 frames.
        keypointer: Weights of the keypoint network; None leaves gaps.
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


def select(detections: Detections, *, score: float) -> Detections:
    """Keeps the detections that are sure enough."""
    sure = detections.scores >= score
    return Detections(*(field[sure] for field in detections))


def complete_keypoints(
    frame: UInt[np.ndarray, "h w 3"],
    detections: Detections,
    keypointer: Weights,
    *,
    threshold: float = 0.5,
) -> Detections:
    """Asks the keypoint network for what the detector has not seen.

    Args:
        frame: RGB, uint8 or uint16, with the faces.
        detections: NaN keypoints are filled in where the network is sure.
        keypointer: Weights of the keypoint network.
        threshold: Least probability that a keypoint is visible.
    """
    completed = detections.keypoints.copy()
    for index, box in enumerate(detections.boxes):
        missing = np.isnan(completed[index]).any(-1)
        if missing.any() and (box[2:] > box[:2]).all():
            points, probability = paint.predict_keypoints(frame, box, keypointer)
            missing &= (probability >= threshold) & np.isfinite(points).all(-1)
            completed[index, missing] = points[missing]
    return detections._replace(keypoints=completed)


def to_uint8(frame: UInt[np.ndarray, "h w 3"]) -> UInt[np.ndarray, "h w 3"]:
    """Makes a frame of 8 or 16 bits one of 8, as detectors take them."""
    return frame if frame.dtype == np.uint8 else (frame // 257).astype(np.uint8)
