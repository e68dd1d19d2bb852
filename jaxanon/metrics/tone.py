"""Skin tone: the individual typology angle of a face as its picture shows it.

The angle is 55 degrees and more for very light skin, under 10 for dark. It is that of
the picture, not of the person: light and exposure count.

References:
    Chardon et al. 1991, Skin colour typology and suntanning pathways.
"""

import numpy as np
from jaxtyping import Bool, Float, Num

DARKER = 10.0
"""Degrees; skin below it counts as darker."""


def to_lab(rgb: Num[np.ndarray, "*_ 3"]) -> Float[np.ndarray, "*_ 3"]:
    """Converts sRGB in [0, 1] to CIE L*a*b* under D65."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = np.array(
        [
            [0.4124, 0.3576, 0.1805],
            [0.2126, 0.7152, 0.0722],
            [0.0193, 0.1192, 0.9505],
        ]
    )
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def typology_angle(lab: Float[np.ndarray, "3"]) -> float:
    """Returns the individual typology angle of a colour in degrees.

    Args:
        lab: CIE L*a*b*. One without yellow counts as nearly grey skin: 90 or -90.
    """
    lightness, _, yellow = lab.tolist()
    return float(np.rad2deg(np.arctan2(lightness - 50, max(yellow, 1e-3))))


def angles(
    images: Num[np.ndarray, "n h w 3"], masks: Bool[np.ndarray, "n h w"]
) -> Float[np.ndarray, "n"]:
    """Returns the angle of the median colour in each mask; NaN where it is empty.

    Args:
        images: RGB in [0, 1].
        masks: Of the skin, more or less: eyes and lips in it matter little.
    """
    found = np.full(len(images), np.nan)
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if mask.any():
            found[index] = typology_angle(np.median(to_lab(image[mask]), axis=0))
    return found
