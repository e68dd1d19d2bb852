"""The nouns of the project and the one keypoint order.

Frames are RGB on the host, ``[h w 3]``, uint8 or uint16. Images on the device are
float, NHWC, in [-1, 1]. Masks: 1 = face, to be generated; 0 = kept. Boxes are half-open
pixels ``x0 y0 x1 y1``; pixel ``i`` covers ``[i, i + 1)``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_mouth",
    "right_mouth",
    "upper_lip",
    "lower_lip",
)
"""Left and right are the subject's: a frontal face has its left eye at larger x. The
mouth's points are its corners, the lips' the middles of their inner edges."""

FDF_KEYPOINTS = KEYPOINTS[:7]
"""DeepPrivacy's and the FDF dataset's set, in COCO order."""

MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7, 9, 10)
"""The order of KEYPOINTS in a mirrored picture."""


class Detections(NamedTuple):
    """The faces of one frame, on the host; n >= 0."""

    boxes: np.ndarray
    """float32 [n 4], x0 y0 x1 y1, frame pixels."""
    scores: np.ndarray
    """float32 [n], detector confidence in [0, 1]."""
    keypoints: np.ndarray
    """float32 [n 11 2], x y in frame pixels, in KEYPOINTS order; NaN = not seen."""
    faces: np.ndarray | None = None
    """float32 [n], probability that it is a face, by a second look; 1 = not looked.
    None, as detectors may leave it, = none was looked at."""


class Crops(NamedTuple):
    """Square face crops on the device; also what a training batch is."""

    image: jax.Array
    """[b h w 3] in [-1, 1]."""
    mask: jax.Array
    """[b h w 1], 1 = face, to be generated; 0 = kept."""
    keypoints: jax.Array
    """[b k 2], x y in crop sides, inside the crop in [0, 1]; 0 where not visible."""
    visible: jax.Array
    """[b k], 1 = seen."""
    to_crop: jax.Array
    """[b 2 3], affine map from frame pixels to crop pixels."""


class Condition(NamedTuple):
    """All that the generator may know about the original."""

    image: jax.Array
    """[b h w 3] in [-1, 1], exactly 0 where mask is 1."""
    mask: jax.Array
    """[b h w 1]."""
    keypoints: jax.Array
    """[b k 2]."""
    visible: jax.Array
    """[b k]."""


class Donor(NamedTuple):
    """Pictures of people whose faces may be shown, one for each crop."""

    image: jax.Array
    """[b s s 3] in [-1, 1]."""
    keypoints: jax.Array
    """[b k 2], x y in sides of the picture; those of ``pose.INNER`` are all known."""


def empty_condition(batch: int, resolution: int) -> Condition:
    """Makes a condition of zeros, to initialise or compile a network with."""
    size = (batch, resolution, resolution)
    return Condition(
        image=jnp.zeros((*size, 3)),
        mask=jnp.zeros((*size, 1)),
        keypoints=jnp.zeros((batch, len(KEYPOINTS), 2)),
        visible=jnp.zeros((batch, len(KEYPOINTS))),
    )
