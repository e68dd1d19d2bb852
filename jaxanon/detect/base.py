"""What a detector is: any function from frames to detections."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from jaxanon.errors import DetectorError
from jaxanon.types import KEYPOINTS, Detections


@runtime_checkable
class Detector(Protocol):
    """Finds the faces of frames.

    Any function of this shape is a detector. It maps its own points into ``KEYPOINTS``
    by name; thresholding and growing the boxes are the pipeline's.
    """

    def __call__(self, frames: Sequence[np.ndarray], /) -> list[Detections]:
        """Returns the faces of each frame, in the same order, in frame pixels.

        Args:
            frames: RGB uint8 [h w 3], of any sizes.
        """
        ...


def make_detections(boxes, scores, keypoints) -> Detections:
    """Makes detections of float32 arrays from anything alike; empty ones too."""
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores, np.float32).reshape(-1),
        np.asarray(keypoints, np.float32).reshape(-1, len(KEYPOINTS), 2),
        np.ones(len(np.asarray(boxes).reshape(-1, 4)), np.float32),
    )


def take(found: Detections, index: np.ndarray) -> Detections:
    """Selects detections by index or by a mask."""
    return Detections(*(np.asarray(field)[index] for field in complete(found)))


def complete(found: Detections) -> Detections:
    """Fills in that no face was looked at a second time, where nothing is said."""
    if found.faces is not None:
        return found
    return found._replace(faces=np.ones(np.shape(found.scores), np.float32))


def validate(
    frames: Sequence[np.ndarray], detections: Sequence[Detections]
) -> list[Detections]:
    """Checks what a detector answered, since a face that is lost stays visible.

    Returns:
        The same detections as float32 arrays.

    Raises:
        DetectorError: a shape is wrong, a number is not finite, a box is inside out or
            a score or a probability is not in [0, 1].
    """
    if len(detections) != len(frames):
        raise DetectorError(
            f"The detector answered {len(detections)} times to {len(frames)} frames."
        )
    return [_validate_one(index, found) for index, found in enumerate(detections)]


def _validate_one(index: int, found: Detections) -> Detections:
    try:
        whole = complete(Detections(*found))
        fields = (np.asarray(field, np.float32) for field in whole)
        boxes, scores, keypoints, faces = fields
    except (TypeError, ValueError) as error:
        raise DetectorError(f"Frame {index}: not Detections ({error}).") from error
    n = len(scores) if scores.ndim == 1 else -1
    shapes = (boxes.shape, scores.shape, keypoints.shape, faces.shape)
    if shapes != ((n, 4), (n,), (n, len(KEYPOINTS), 2), (n,)):
        raise DetectorError(
            f"Frame {index}: boxes, scores, keypoints and faces have shapes {shapes}, "
            f"but must be [n 4], [n], [n {len(KEYPOINTS)} 2] and [n]."
        )
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise DetectorError(f"Frame {index}: a box is not finite or inside out.")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise DetectorError(f"Frame {index}: a score is not in [0, 1].")
    if not ((faces >= 0) & (faces <= 1)).all():
        raise DetectorError(f"Frame {index}: a probability is not in [0, 1].")
    if np.isinf(keypoints).any():
        raise DetectorError(f"Frame {index}: a keypoint is infinite; unseen is NaN.")
    return Detections(boxes, scores, keypoints, faces)
