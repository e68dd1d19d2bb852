"""Smoothing of short series without lag, on the host: a frame a row."""

import numpy as np
from jaxtyping import Float, Int


def radius(sigma: float) -> int:
    """How many frames to each side have a part in a smoothed one."""
    return int(np.ceil(2.5 * sigma))


def interpolate(
    frames: Int[np.ndarray, "m"],
    values: Float[np.ndarray, "m d"],
    wanted: Int[np.ndarray, "t"],
) -> Float[np.ndarray, "t d"]:
    """Interpolates linearly between frames; a NaN is passed over.

    Args:
        frames: Ascending.
        values: NaN = unknown.
        wanted: Within the first and the last frame.

    Returns:
        A NaN only where a column knows nothing on one side.
    """
    result = np.full((len(wanted), values.shape[1]), np.nan)
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column])
        if known.any():
            result[:, column] = np.interp(
                wanted,
                frames[known],
                values[known, column],
                left=np.nan,
                right=np.nan,
            )
    return result


def regress(values: Float[np.ndarray, "t d"], sigma: float) -> Float[np.ndarray, "t d"]:
    """Smooths by a line fitted around each frame, near frames weighing more.

    A steady motion comes out as it went in, at the ends of the series too: no lag. A
    NaN has no weight, and stays one where less than a quarter of the weights is known.

    Args:
        values: One row per frame.
        sigma: Of the Gaussian weights, in frames; 0 = no smoothing.
    """
    if sigma == 0 or len(values) < 3:
        return values.copy()
    step = np.arange(len(values))
    step = step[None] - step[:, None]
    weight = np.exp(-0.5 * (step / sigma) ** 2) * (np.abs(step) <= radius(sigma))
    known = np.isfinite(values)
    filled = np.where(known, values, 0)
    s0 = weight @ known
    s1 = (weight * step) @ known
    s2 = (weight * step**2) @ known
    t0 = weight @ filled
    t1 = (weight * step) @ filled
    spread = s0 * s2 - s1**2
    flat = np.divide(t0, s0, out=np.full_like(t0, np.nan), where=s0 > 0)
    line = np.divide(s2 * t0 - s1 * t1, spread, out=flat, where=spread > 1e-6)
    enough = s0 >= 0.25 * weight.sum(1, keepdims=True)
    return np.where(enough | known, line, np.nan)


def cover(
    raw: Float[np.ndarray, "t 4"], smoothed: Float[np.ndarray, "t 4"], reach: int
) -> Float[np.ndarray, "t 4"]:
    """Widens smoothed boxes, themselves smoothly, until they hold the raw ones.

    Args:
        raw: Boxes x0 y0 x1 y1.
        smoothed: The boxes to widen.
        reach: Frames to each side over which the widening is evened out.
    """
    outward = np.array([-1, -1, 1, 1])
    excess = np.maximum((raw - smoothed) * outward, 0)
    highest = _windows(excess, reach, np.max)
    # The mean of maxima that all contain this frame is at least this frame's value.
    return smoothed + _windows(highest, reach, np.mean) * outward


def _windows(values, reach: int, reduce):
    rows = range(len(values))
    spans = [values[max(row - reach, 0) : row + reach + 1] for row in rows]
    return np.array([reduce(span, axis=0) for span in spans]).reshape(values.shape)
