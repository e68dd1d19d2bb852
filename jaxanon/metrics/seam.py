"""Does the border of a painted region show?

A seam is a step between neighbouring pixels, one inside the mask and one outside, that
is larger than the steps around it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num


class Seam(NamedTuple):
    """Mean absolute steps between neighbouring pixels, in the images' unit; [b]."""

    across: np.ndarray
    """Over the border of the mask."""
    around: np.ndarray
    """Within reach of it, on either side."""

    @property
    def error(self) -> np.ndarray:
        """The excess of the step across over those around; 0 = no seam."""
        return self.across - self.around


def measure(
    images: Num[np.ndarray, "b h w c"],
    masks: Num[np.ndarray, "b h w 1"],
    *,
    reach: int = 4,
) -> Seam:
    """Measures the border steps; NaN for an image whose mask has no border.

    Args:
        images: painted and pasted.
        masks: painted where above one half.
        reach: how far from the border "around" goes, in pixels.
    """
    pairs = [
        _one(image.astype(np.float64), mask[..., 0] > 0.5, reach)
        for image, mask in zip(images, masks, strict=True)
    ]
    across, around = np.array(pairs).reshape(-1, 2).T
    return Seam(across, around)


def _one(
    image: Float[np.ndarray, "h w c"], mask: Bool[np.ndarray, "h w"], reach: int
) -> tuple[float, float]:
    across, around = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(image, axis=axis)).mean(-1)
        border = np.diff(mask.astype(np.int8), axis=axis) != 0
        near = _dilate(border, reach) & ~border
        across.append(step[border])
        around.append(step[near])
    across, around = np.concatenate(across), np.concatenate(around)
    if len(across) == 0 or len(around) == 0:
        return np.nan, np.nan
    return float(across.mean()), float(around.mean())


def _dilate(mask: Bool[np.ndarray, "h w"], reach: int) -> Bool[np.ndarray, "h w"]:
    """Grows a mask by a square of 2 reach + 1 pixels."""
    for axis in (0, 1):
        grown = mask.copy()
        for shift in range(1, reach + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            grown[tuple(ahead)] |= mask[tuple(behind)]
            grown[tuple(behind)] |= mask[tuple(ahead)]
        mask = grown
    return mask
