"""What a file says beside its pixels: dropped, or kept by choice without thumbnails.

Only the colour profile and the samples' gamma always stay. What is kept by choice is
kept in a form that holds no second picture: no EXIF thumbnail, no maker's notes (they
hold previews), no Photoshop resources but the IPTC text, no XMP with embedded images.
"""

import re
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image

_ORIENTATION = int(ExifTags.Base.Orientation)
_MAKER_NOTE = 0x927C
_WIDTH, _HEIGHT = 0xA002, 0xA003
# Tags that hold pictures, pointers into the old file or its layout.
_LAYOUT = (
    *range(254, 267), 273, 277, 278, 279, 284, 285, 297, 317, 318, 319, 320,
    *range(322, 326), 330, 338, 339, *range(512, 522), 529, 530, 531, 532,
    700, 33723, 34377, 34675, 37724, 40092, 50341, 50706, 50740,
)  # fmt: skip
_PICTURES_IN_XMP = re.compile(rb"xapGImg|xmpGImg|GDepth|GImage|GAudio|Thumbnails", re.I)
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=\"|>))\d")


class Metadata(NamedTuple):
    """What may be kept by choice: no second pictures, orientation reset."""

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    text: dict[str, str] = {}  # noqa: RUF012
    dpi: tuple[float, float] | None = None


def orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation, 1 to 8, of a loaded image; 1 where there is none."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # A broken EXIF block is no orientation, as in every viewer.
        return 1
    return value if value in range(1, 9) else 1


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turns samples [h w ...] as the EXIF orientation asks."""
    if orientation in (2, 5, 7, 4):
        samples = samples[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(samples, turns))


def collect(image: Image.Image, size: tuple[int, int]) -> Metadata:
    """Gathers what a loaded image says, for an upright picture of (width, height)."""
    info = image.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    text = getattr(image, "text", None) or {}
    return Metadata(
        exif=_exif(image, size),
        xmp=_xmp(xmp),
        iptc=_iptc(info.get("photoshop")),
        comment=_as_bytes(info.get("comment")),
        text={k: str(v) for k, v in text.items() if _is_plain(k, str(v))},
        dpi=_dpi(info.get("dpi")),
    )


def _exif(image: Image.Image, size: tuple[int, int]) -> bytes | None:
    try:
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        exif.get_ifd(ExifTags.IFD.GPSInfo)
        for tag in (_ORIENTATION, *_LAYOUT):
            exif.pop(tag, None)
        details.pop(_MAKER_NOTE, None)
        for tag, value in zip((_WIDTH, _HEIGHT), size, strict=True):
            if tag in details:
                details[tag] = value
        # tobytes leaves IFD1, the thumbnail's, behind.
        return exif.tobytes() if len(exif) else None
    except Exception:  # What cannot be read cannot be kept.
        return None


def _xmp(xmp: Any) -> bytes | None:
    data = _as_bytes(xmp)
    if not data or _PICTURES_IN_XMP.search(data):
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", data)


def _iptc(resources: Any) -> bytes | None:
    """Packs the IPTC record alone into a Photoshop segment (1036 is a thumbnail)."""
    record = resources.get(0x0404) if isinstance(resources, dict) else None
    if not isinstance(record, bytes):
        return None
    body = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(record)) + record
    body += b"\0" * (len(record) % 2)
    return b"Photoshop 3.0\0" + body


def _is_plain(keyword: str, text: str) -> bool:
    """Leaves out XMP (kept apart) and EXIF profiles as hexadecimal text."""
    return not keyword.startswith(("XML:", "Raw profile")) and len(text) < 10_000


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(number) for number in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def _as_bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None
