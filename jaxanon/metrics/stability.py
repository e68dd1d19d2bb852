"""Does a painted face stay itself, and still, from one frame to the next?

One track at a time: frames are crops of equal size that follow the face or the same
window of every frame, ``[t h w c]``. The motion for ``flicker`` is best estimated on
the original clip and used for the painted one too: then what is left is what the
painting adds. Compare the two numbers; grain and blur leave some in the original.
"""

import numpy as np
from jaxtyping import Float, Int, Num


def identity_drift(
    embeddings: Float[np.ndarray, "t d"],
) -> Float[np.ndarray, "t-1"]:
    """Returns 1 - cosine between the unit embeddings of neighbouring frames.

    NaN where the face could not be embedded in one of the two.
    """
    unit = embeddings.astype(np.float64)
    return 1 - np.sum(unit[1:] * unit[:-1], axis=1)


def landmark_jitter(
    points: Float[np.ndarray, "t k 2"], *, widths: Float[np.ndarray, "t"]
) -> float:
    """Returns the mean acceleration of the keypoints, in face widths per frame^2.

    Even motion has none; shaking has. Only points seen in three frames running count.
    """
    points = points.astype(np.float64)
    second = points[2:] - 2 * points[1:-1] + points[:-2]
    jitter = np.sqrt(np.sum(second**2, -1)) / widths[1:-1, None]
    known = jitter[np.isfinite(jitter)]
    if len(known) == 0:
        raise ValueError("No keypoint is seen in three frames running.")
    return float(known.mean())


def block_motion(
    first: Num[np.ndarray, "h w c"],
    second: Num[np.ndarray, "h w c"],
    *,
    block: int = 8,
    reach: int = 4,
) -> Int[np.ndarray, "rows columns 2"]:
    """Finds where each block of the first frame is in the second, in whole pixels.

    Args:
        first: a frame; sides that are no multiples of block are cut.
        second: the next one.
        block: side of a block.
        reach: largest motion that is looked for, along each axis.

    Returns:
        x y of the shift with the smallest absolute difference; the smallest shift where
        several are equal.
    """
    rows, columns = first.shape[0] // block, first.shape[1] // block
    if rows == 0 or columns == 0:
        raise ValueError(f"Frames of {first.shape[:2]} hold no block of {block}.")
    height, width = rows * block, columns * block
    first = first[:height, :width].astype(np.float32)
    padded = np.pad(
        second.astype(np.float32), ((reach,) * 2, (reach,) * 2, (0, 0)), "edge"
    )
    span = range(-reach, reach + 1)
    shifts = [(x, y) for y in span for x in span]
    shifts.sort(key=lambda shift: shift[0] ** 2 + shift[1] ** 2)
    best = np.full((rows, columns), np.inf)
    motion = np.zeros((rows, columns, 2), np.int64)
    for x, y in shifts:
        top, left = reach + y, reach + x
        moved = padded[top : top + height, left : left + width]
        cost = np.abs(first - moved).sum(-1)
        cost = cost.reshape(rows, block, columns, block).sum((1, 3))
        better = cost < best
        best[better], motion[better] = cost[better], (x, y)
    return motion


def compensate(
    second: Num[np.ndarray, "h w c"],
    motion: Int[np.ndarray, "rows columns 2"],
    *,
    block: int = 8,
) -> Num[np.ndarray, "height width c"]:
    """Moves the blocks of the second frame back to where they were in the first."""
    rows, columns = motion.shape[:2]
    y, x = np.mgrid[: rows * block, : columns * block]
    shift = motion.repeat(block, 0).repeat(block, 1)
    return second[
        (y + shift[..., 1]).clip(0, second.shape[0] - 1),
        (x + shift[..., 0]).clip(0, second.shape[1] - 1),
    ]


def flicker(
    frames: Num[np.ndarray, "t h w c"],
    *,
    motion_of: Num[np.ndarray, "t h w c"],
    masks: Num[np.ndarray, "t h w 1"],
    block: int = 8,
    reach: int = 4,
) -> Float[np.ndarray, "t-1"]:
    """Returns how much each pair of neighbouring frames differs beyond motion.

    Args:
        frames: the clip that is judged.
        motion_of: the clip whose motion is taken out, the original or the same one.
        masks: the painted region of each frame; only what is in both counts.
        block: side of the blocks that move as one, pixels.
        reach: largest motion between two frames, pixels.

    Returns:
        The mean absolute difference in the frames' unit; NaN where no pixel counts.
    """
    values = np.full(max(len(frames) - 1, 0), np.nan)
    for t in range(len(values)):
        motion = block_motion(motion_of[t], motion_of[t + 1], block=block, reach=reach)
        after = compensate(frames[t + 1], motion, block=block).astype(np.float64)
        height, width = after.shape[:2]
        counts = compensate(masks[t + 1], motion, block=block)[..., 0] > 0.5
        counts = counts & (masks[t, :height, :width, 0] > 0.5)
        if counts.any():
            difference = np.abs(after - frames[t, :height, :width])
            values[t] = difference.mean(-1)[counts].mean()
    return values
