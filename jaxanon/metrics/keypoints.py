"""How far the keypoints of a painted face are from where they were asked for."""

import numpy as np
from jaxtyping import Float


def errors(
    found: Float[np.ndarray, "n k 2"],
    wanted: Float[np.ndarray, "n k 2"],
    *,
    widths: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n k"]:
    """Measures distances in face widths; NaN where a point is not in both.

    Args:
        found: x y in pixels, NaN = not seen.
        wanted: the same.
        widths: of the faces, pixels, above 0.
    """
    if not (widths > 0).all():
        raise ValueError("Face widths must be above 0.")
    offset = found.astype(np.float64) - wanted
    return np.sqrt(np.sum(offset**2, axis=-1)) / widths[:, None]


def median(error: Float[np.ndarray, "n k"]) -> float:
    """Returns the median over all points that are known."""
    known = error[np.isfinite(error)]
    if len(known) == 0:
        raise ValueError("No keypoint was both asked for and found.")
    return float(np.median(known))
