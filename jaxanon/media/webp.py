"""Small WebP pictures in memory: what banks of donors hold."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxanon.errors import MediaError
from jaxanon.media import atomic

QUALITY = 85


def decode(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a picture.

    Raises:
        MediaError: It is damaged, or no WebP.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"A donor's picture cannot be decoded: {error}.") from error


def encode(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Encodes a picture, the same in every run."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()


def write_sheet(path: Path, pictures: Sequence[UInt8[np.ndarray, "s s 3"]]) -> None:
    """Draws pictures side by side, row by row, into a file.

    Raises:
        MediaError: It cannot be written.
    """
    columns = int(np.ceil(np.sqrt(1.5 * len(pictures))))
    size = min(160, len(pictures[0]))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * size, rows * size))
    for index, picture in enumerate(pictures):
        place = (index % columns * size, index // columns * size)
        sheet.paste(Image.fromarray(picture).resize((size, size)), place)
    try:
        with atomic.replacing(path) as temporary:
            kind = Image.registered_extensions().get(path.suffix.lower(), "PNG")
            sheet.save(temporary, kind)
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be written ({error}).") from error


def resample(
    pixels: UInt8[np.ndarray, "h w 3"],
    corner: Float[np.ndarray, "2"],
    side: float,
    size: int,
) -> UInt8[np.ndarray, "s s 3"]:
    """Cuts a square out of a photo; beyond its border the border is repeated.

    Args:
        pixels: The photo.
        corner: x y of the square's upper left corner in pixels.
        side: Of the square in pixels.
        size: Of the result.
    """
    margin = int(np.ceil(side))
    grown = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), "edge")
    x, y = np.asarray(corner, np.float64) + margin
    limit = np.array([grown.shape[1], grown.shape[0]], np.float64)
    if x < 0 or y < 0 or x + side > limit[0] or y + side > limit[1]:
        raise ValueError(f"The square at {x, y} of {side} is outside the photo.")
    kind = Image.Resampling.LANCZOS if side > size else Image.Resampling.BICUBIC
    box = (x, y, x + side, y + side)
    return np.asarray(Image.fromarray(grown).resize((size, size), kind, box=box))
