"""What keypoints say of how a head is held."""

import numpy as np
from jaxtyping import Float

from jaxanon.types import KEYPOINTS

(
    NOSE,
    LEFT_EYE,
    RIGHT_EYE,
    LEFT_EAR,
    RIGHT_EAR,
    LEFT_MOUTH,
    RIGHT_MOUTH,
    UPPER_LIP,
    LOWER_LIP,
) = (KEYPOINTS.index(name) for name in KEYPOINTS if not name.endswith("shoulder"))

MOUTH_WIDTH = 0.8
"""Of a frontal face, in distances between its eyes."""

NOSE_REACH = 0.46
"""How far the nose of a head in profile is from the line between the middles of eyes
and mouth, in distances between those."""


INNER = [NOSE, LEFT_EYE, RIGHT_EYE, LEFT_MOUTH, RIGHT_MOUTH, UPPER_LIP, LOWER_LIP]
"""What is known of every face that may be a donor."""


USUAL = np.array(
    [
        [0.515, 0.599],
        [0.738, 0.392],
        [0.283, 0.400],
        [0.707, 0.747],
        [0.319, 0.754],
        [0.510, 0.751],
        [0.511, 0.781],
    ]
)
"""Where INNER usually are, in sides of the face's box: medians of 21,569 faces."""

ASPECT = 0.77
"""Width over height of a face's box."""


def complete(keypoints: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 2"]:
    """Guesses those of INNER that are not seen, from those that are.

    Args:
        keypoints: x y in any unit; NaN = not seen.

    Returns:
        A new array; with fewer than two seen, a face that looks at the camera.
    """
    completed = np.array(keypoints, np.float64)
    inner = completed[INNER]
    seen = np.asarray(np.isfinite(inner).all(-1))
    if seen.all():
        return completed
    if seen.sum() < 2:
        completed[INNER] = USUAL * [ASPECT, 1]
        return completed
    # A similarity is a complex factor and a shift.
    usual, known = USUAL @ np.array([ASPECT, 1j]), inner[seen] @ np.array([1, 1j])
    a, b = usual[seen] - usual[seen].mean(), known - known.mean()
    moved = known.mean() + (np.conj(a) @ b) / (np.conj(a) @ a).real * (
        usual - usual[seen].mean()
    )
    guessed = np.stack([moved.real, moved.imag], -1)
    completed[INNER] = np.where(seen[:, None], inner, guessed)
    return completed


def shape_of_face(keypoints: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "10"]:
    """Describes how a head is held and its mouth opened, whatever its place and size.

    Args:
        keypoints: x y in any unit; nose, eyes and mouth corners known, lips NaN or 0
            where they are not.

    Returns:
        Places in the frame that eyes and mouth span, weighed so that 0.1 is a change
        that one sees; far away where the points are degenerate.
    """
    points = np.asarray(keypoints, np.float64)
    eyes = points[[LEFT_EYE, RIGHT_EYE]].mean(0)
    down = points[[LEFT_MOUTH, RIGHT_MOUTH]].mean(0) - eyes
    unit = np.hypot(*down)
    if not unit > 0:
        return np.full(10, 1e3)
    down = down / unit
    frame = np.stack([[down[1], -down[0]], down])
    inner = [NOSE, LEFT_EYE, RIGHT_EYE, LEFT_MOUTH, RIGHT_MOUTH]
    places = (points[inner] - eyes) @ frame.T / unit
    gap = (points[LOWER_LIP] - points[UPPER_LIP]) @ frame.T / unit
    gap = np.where(np.isfinite(gap), gap, 0)
    # One of the eyes and one of the mouth corners follow from the other.
    return np.concatenate([places[0], places[1], places[3], places[4], 1.5 * gap])


def roll_degrees(keypoints: Float[np.ndarray, "k 2"]) -> float:
    """Returns the angle of the line through the eyes; 0 where one is unseen."""
    across, down = (keypoints[LEFT_EYE] - keypoints[RIGHT_EYE]).tolist()
    if not np.isfinite([across, down]).all() or across == down == 0:
        return 0.0
    return float(np.rad2deg(np.arctan2(down, across)))


def limit_turn(keypoints: Float[np.ndarray, "k 2"], least: float) -> np.ndarray:
    """Turns a head back towards the camera until a generator knows such heads.

    The eye and the mouth corner at the far side stay, the near ones move towards the
    near ear, the nose follows, and the far ear is no longer seen. It does nothing to
    heads that are turned less, and changes little beside them.

    Args:
        keypoints: x y in pixels of the frame, in any orientation; NaN = not seen.
            Without eyes, nose and mouth nothing is done.
        least: Distance between the eyes, in distances from the eyes to the mouth: 1 of
            a frontal face, 0 in profile. 0 = no limit.

    Returns:
        A new array.
    """
    limited = np.array(keypoints, np.float64)
    needed = [NOSE, LEFT_EYE, RIGHT_EYE, LEFT_MOUTH, RIGHT_MOUTH]
    if not least or not np.isfinite(limited[needed]).all():
        return limited
    eyes = limited[[LEFT_EYE, RIGHT_EYE]].mean(0)
    down = limited[[LEFT_MOUTH, RIGHT_MOUTH]].mean(0) - eyes
    unit = np.hypot(*down)
    if unit == 0:
        return limited
    across = np.array([down[1], -down[0]]) / unit  # Towards the subject's left.
    is_left_far = (limited[NOSE] - eyes) @ across > 0
    turned = (limited[LEFT_EYE] - limited[RIGHT_EYE]) @ across < least * unit
    for left, right, width in (
        (LEFT_EYE, RIGHT_EYE, least),
        (LEFT_MOUTH, RIGHT_MOUTH, MOUTH_WIDTH * least),
    ):
        missing = width * unit - (limited[left] - limited[right]) @ across
        if missing > 0:
            near, sign = (right, -1) if is_left_far else (left, 1)
            limited[near] += sign * missing * across
    eyes = limited[[LEFT_EYE, RIGHT_EYE]].mean(0)
    reach = NOSE_REACH * np.sqrt(1 - min(least, 1) ** 2) * unit
    aside = (limited[NOSE] - eyes) @ across
    limited[NOSE] += (np.clip(aside, -reach, reach) - aside) * across
    if turned:
        limited[LEFT_EAR if is_left_far else RIGHT_EAR] = np.nan
    return limited
