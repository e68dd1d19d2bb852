"""A decoded picture: what is painted, and all that is needed to write it back."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxanon.media import tags
from jaxanon.media.density import Density
from jaxanon.media.metadata import Metadata


class Picture(NamedTuple):
    """A decoded picture, upright."""

    pixels: np.ndarray
    """[h w 3] RGB, uint8 or uint16."""
    alpha: np.ndarray | None
    """[h w], same type; None = opaque."""
    samples: np.ndarray
    """[h w] or [h w c], as the file has them."""
    mode: str
    """What the samples are: "1", "L", "LA", "P", "RGB", "RGBA" or "CMYK"."""
    palette: np.ndarray | None
    """uint8 [256 3] for mode "P"."""
    transparency: bytes | int | None
    """Which palette entries are how transparent, as Pillow has it."""
    source: Path
    format: str
    icc: bytes | None
    gamma: dict[bytes, bytes]
    """PNG chunks that say how bright and of which colour the samples are."""
    primaries: dict[int, tags.Tag]
    """TIFF tags that say of which colour the samples are."""
    density: Density | None
    """Pixels per unit of length."""
    encoding: dict[str, Any]
    metadata: Metadata
    notes: tuple[str, ...]
    """What could not be carried over, to be told."""
