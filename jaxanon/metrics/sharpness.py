"""Is a painted face as sharp as what is around it?"""

import numpy as np
from jaxtyping import Bool, Float, Num

LEAST = 1e-6
"""Of energies, for images in [0, 1]: far less than a step of 8 bits makes."""


def energy(
    images: Num[np.ndarray, "n h w 3"], masks: Bool[np.ndarray, "n h w"]
) -> Float[np.ndarray, "n"]:
    """Returns the mean square of the grey Laplacian in each mask; NaN where empty.

    Only pixels count whose four neighbours are in the mask, too.
    """
    grey = images.astype(np.float64).mean(-1)
    middle = grey[:, 1:-1, 1:-1]
    up, down = grey[:, :-2, 1:-1], grey[:, 2:, 1:-1]
    left, right = grey[:, 1:-1, :-2], grey[:, 1:-1, 2:]
    square = np.square(up + down + left + right - 4 * middle)
    whole = masks[:, 1:-1, 1:-1] & masks[:, :-2, 1:-1] & masks[:, 2:, 1:-1]
    whole = whole & masks[:, 1:-1, :-2] & masks[:, 1:-1, 2:]
    count = whole.sum((1, 2))
    total = np.where(whole, square, 0).sum((1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def against_surroundings(
    images: Num[np.ndarray, "n h w 3"],
    inner: Bool[np.ndarray, "n h w"],
    around: Bool[np.ndarray, "n h w"],
) -> Float[np.ndarray, "n"]:
    """Returns the energy of inner faces over that of their surroundings.

    Divide that of a painted face by that of the real one: 1 = as sharp.

    Args:
        images: In [0, 1].
        inner: Of the faces.
        around: What is kept of the photo.
    """
    return (energy(images, inner) + LEAST) / (energy(images, around) + LEAST)
