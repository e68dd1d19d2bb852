"""Where the faces of a frame are hidden and how each is cut out, on the host.

A region is a face's box, scaled, in whole pixels, inside the frame. Regions are erased
before anything else happens; every erased pixel is owned by exactly one face, which
paints it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, UInt

from jaxanon import pose
from jaxanon.ops import affine, boxes, sample

ROLL_DEGREES = 30.0
"""Heads that lean further than this are turned upright for the generator."""

SHAPE = 0.77
"""Width over height of a face's box."""

ROOM = 0.03
"""Least margin of a square of DeepPrivacy's around a region, in its sides."""

CENTRED = 1.7
"""Side of a crop that is centred on its face, in longer sides of the face's box."""

NOBODY = -1
"""Owner of the pixels that are kept."""


class Placement(NamedTuple):
    """How one face is cut out of its frame."""

    to_crop: Float[np.ndarray, "2 3"]
    """Map from frame pixels to crop pixels."""
    x: int
    """Left edge of the window that holds the crop, the region and its feather."""
    y: int
    """Top edge."""
    side: int
    """Side of the window, one of ``sample.window_side``."""


def find(
    face_boxes: Float[np.ndarray, "n 4"], height: int, width: int, *, scale: float
) -> Int[np.ndarray, "n 4"]:
    """Returns the region of each box; empty where the box is, or outside the frame.

    Raises:
        ValueError: A box is not finite, so that nobody knows what to hide.
    """
    if not np.isfinite(face_boxes).all():
        raise ValueError(f"Boxes must be finite, got {face_boxes.tolist()}.")
    regions = boxes.round_outward(boxes.scale(face_boxes.astype(np.float64), scale))
    regions = boxes.clip(regions, height, width)
    return np.where(boxes.area(regions)[:, None] > 0, regions, 0)


def erase(
    frame: UInt[np.ndarray, "h w 3"], regions: Int[np.ndarray, "n 4"]
) -> UInt[np.ndarray, "h w 3"]:
    """Returns the frame with all regions black: all that later steps may see."""
    erased = frame.copy()
    for x0, y0, x1, y1 in regions:
        erased[y0:y1, x0:x1] = 0
    return erased


def assign(
    regions: Int[np.ndarray, "n 4"], height: int, width: int
) -> Int32[np.ndarray, "h w"]:
    """Gives each pixel of the regions to one face, by index; others to ``NOBODY``.

    Where regions overlap, a pixel goes to the face whose centre is nearer, measured in
    sizes of its region, whatever the order of the faces.
    """
    owner = np.full((height, width), NOBODY, np.int32)
    for index, region in enumerate(regions):
        x0, y0, x1, y1 = region
        patch = owner[y0:y1, x0:x1]
        mine = np.ones(patch.shape, bool)
        for rival in np.unique(patch[patch != NOBODY]):
            nearer = _distance(region, region) < _distance(regions[rival], region)
            mine &= (patch != rival) | nearer
        patch[mine] = index
    return owner


def place(
    box: Float[np.ndarray, "4"],
    region: Int[np.ndarray, "4"],
    keypoints: Float[np.ndarray, "k 2"],
    height: int,
    width: int,
    *,
    size: int,
    feather: float,
    context: float = 0.0,
) -> Placement:
    """Chooses the crop of a face and the window to work in.

    Args:
        box: The detected box.
        region: Its region, not empty.
        keypoints: x y in frame pixels; NaN = not seen.
        height: Of the frame.
        width: Of the frame.
        size: Side of the crop in its own pixels.
        feather: Width of the blend around the region, in its longer sides.
        context: Side of the crop in longer sides of the box; 0 = as DeepPrivacy cuts.
    """
    degrees = pose.roll_degrees(keypoints)
    turned = degrees if abs(degrees) > ROLL_DEGREES else 0.0
    inside = turned == 0 and not context
    square = choose_square(
        box, region, height, width, inside=inside, context=context or CENTRED
    )
    to_crop = affine.square_to_crop(square, size=size, degrees=turned)

    margin = max(feather * (region[2:] - region[:2]).max(), 1) + 2
    corners = _corners(to_crop, size)
    low = np.floor(np.minimum(corners.min(0) - 2, region[:2] - margin))
    high = np.ceil(np.maximum(corners.max(0) + 2, region[2:] + margin))
    side = sample.window_side((high - low).max())
    x, y = (low - (side - (high - low)) // 2).astype(int).tolist()
    return Placement(to_crop, x, y, side)


def choose_square(
    box: Float[np.ndarray, "4"],
    region: Int[np.ndarray, "4"],
    height: int,
    width: int,
    *,
    inside: bool = True,
    context: float = CENTRED,
) -> Float[np.ndarray, "4"]:
    """Returns the square that is cut out around a box.

    It is DeepPrivacy's square where that leaves room around the region, else one that
    is centred on the whole face, also where it leaves the frame.

    Args:
        box: The detected box.
        region: Its region.
        height: Of the frame.
        width: Of the frame.
        inside: False asks for the centred one.
        context: Least side of the centred one in longer sides of the box.
    """
    whole = complete(box, height, width)
    known = boxes.clip(whole, height, width)
    if inside and (known == whole).all() and (known[2:] - known[:2]).min() > 0:
        square = boxes.expand_square(known, height, width, whole=False)
        room = ROOM * (square[2] - square[0])
        if (square[:2] + room <= region[:2]).all() and (
            square[2:] - room >= region[2:]
        ).all():
            return square
    centre = (whole[:2] + whole[2:]) / 2
    reach = np.maximum(centre - region[:2], region[2:] - centre).max()
    side = max(context * (whole[2:] - whole[:2]).max(), 2.8 * reach)
    return np.concatenate([centre - side / 2, centre + side / 2])


def complete(
    box: Float[np.ndarray, "4"], height: int, width: int
) -> Float[np.ndarray, "4"]:
    """Guesses the whole box of a face that the edge of the frame cuts through.

    A box at the edge that is too narrow, or too low, for a face grows across it.

    Args:
        box: The detected box.
        height: Of the frame.
        width: Of the frame.
    """
    whole = np.array(box, np.float64)
    for axis, (limit, ratio) in enumerate([(width, SHAPE), (height, 1 / SHAPE)]):
        across, other = whole[axis::2], whole[1 - axis :: 2]
        extent, expected = across[1] - across[0], ratio * (other[1] - other[0])
        near = 0.03 * expected
        if extent < 0.8 * expected and across[0] <= near:
            across[0] = across[1] - expected
        elif extent < 0.8 * expected and across[1] >= limit - near:
            across[1] = across[0] + expected
    return whole


def _distance(region, grid):
    """Squared distance of ``grid``'s pixels from a region's centre, in its sizes."""
    low, high = region[:2], region[2:]
    centre, half = (low + high) / 2, np.maximum(high - low, 1) / 2
    x = (np.arange(grid[0], grid[2]) + 0.5 - centre[0]) / half[0]
    y = (np.arange(grid[1], grid[3]) + 0.5 - centre[1]) / half[1]
    return x[None] ** 2 + y[:, None] ** 2


def _corners(to_crop, size: int):
    """The corners of a crop in frame pixels."""
    crop = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    return (crop - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T
