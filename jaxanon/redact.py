"""The classical ways to hide a face, on the host: what other tools do, to compare with.

Each takes the pixels of one face region and returns as many. Black hides everything but
the place. Blur and pixelate cannot have the privacy property of this library: what they
return is computed from the face, and faces have been recognised again, and even
restored, from such pictures.
"""

import numpy as np
from jaxtyping import Float, UInt

TILES = 8
"""Tiles along the longer side of a pixelated face."""

SIGMA = 0.15
"""Of the blur, in longer sides of the region: wider than an eye, nose or mouth."""

Region = UInt[np.ndarray, "h w 3"]


def black(region: Region) -> Region:
    """Returns black."""
    return np.zeros_like(region)


def pixelate(region: Region) -> Region:
    """Averages square tiles, ``TILES`` along the longer side and never under 4 pixels.

    A tiny face gets fewer tiles, so that no tile is a copy of one pixel.
    """
    height, width = region.shape[:2]
    tile = max(max(height, width) / TILES, 4.0)
    rows, columns = _tiles(height, tile), _tiles(width, tile)
    means = rows @ region.astype(np.float32).transpose(2, 0, 1) @ columns.T
    spread = (rows > 0).T.astype(np.float32) @ means @ (columns > 0)
    return _quantise(spread, region)


def blur(region: Region) -> Region:
    """Blurs by a Gaussian of ``SIGMA`` sides; only pixels of the region take part."""
    height, width = region.shape[:2]
    sigma = max(SIGMA * max(height, width), 1.0)
    rows, fine_rows = _gaussian(height, sigma)
    columns, fine_columns = _gaussian(width, sigma)
    coarse = rows @ region.astype(np.float32).transpose(2, 0, 1) @ columns.T
    return _quantise(fine_rows @ coarse @ fine_columns.T, region)


def _tiles(size: int, tile: float) -> Float[np.ndarray, "t n"]:
    """Returns the matrix that averages ``size`` pixels in tiles of about equal size."""
    count = max(int(size // tile), 1)
    index = np.arange(size) * count // size
    members = (index[None] == np.arange(count)[:, None]).astype(np.float32)
    return members / members.sum(1, keepdims=True)


def _gaussian(size: int, sigma: float):
    """Returns matrices that blur to samples sigma / 4 apart, and back to pixels."""
    pixels = np.arange(size, dtype=np.float32) + 0.5
    samples = np.linspace(0.5, size - 0.5, max(int(4 * size / sigma), 2))
    weights = np.exp(-0.5 * ((samples[:, None] - pixels) / sigma) ** 2)
    weights /= weights.sum(1, keepdims=True)
    step = max(samples[1] - samples[0], 1e-6)
    tents = np.maximum(1 - np.abs(pixels[:, None] - samples) / step, 0)
    tents /= tents.sum(1, keepdims=True)
    return weights.astype(np.float32), tents.astype(np.float32)


def _quantise(planes, like: Region) -> Region:
    limit = np.iinfo(like.dtype).max
    pixels = np.clip(np.rint(planes.transpose(1, 2, 0)), 0, limit)
    return pixels.astype(like.dtype)
