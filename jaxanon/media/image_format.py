"""How a picture was encoded, and the settings that write one like it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, JpegImagePlugin

from jaxanon.errors import MediaError

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}

HOLDS = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P"),
    "AVIF": ("RGB", "RGBA"),
    "HEIF": ("RGB", "RGBA"),
}
"""The modes a format can hold."""

HOLDS_16_BITS = ("PNG", "TIFF")

# The luminance table of libjpeg's quality 95 sums to this; a finer one is high quality.
_FINE_LUMINANCE_SUM = 379
_QUALITY = 95
_TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
_FAX = ("group3", "group4", "tiff_ccitt")


def inspect(image: Image.Image, head: bytes) -> dict[str, Any]:
    """Notes how a file is encoded, in the words of Pillow's `save`.

    Args:
        image: Opened, not necessarily loaded.
        head: The first bytes of the file (some 64 KiB).
    """
    if image.format == "JPEG":
        return _inspect_jpeg(image)
    if image.format == "WEBP":
        return {"lossless": _is_lossless_webp(image)}
    if image.format == "TIFF":
        return {"compression": image.info.get("compression", "raw")}
    if image.format == "AVIF":
        return {"subsampling": av1_layout(head)[1]}
    return {}


def _is_lossless_webp(image: Image.Image) -> bool:
    """Walks over the chunks, of which a colour profile may be long."""
    with open(image.filename, "rb") as file:  # type: ignore[attr-defined]
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            if chunk[:4] in (b"VP8 ", b"VP8L"):
                return chunk[:4] == b"VP8L"
            size = int.from_bytes(chunk[4:], "little")
            file.seek(size + size % 2, 1)
    return False


def bmp_with_alpha(samples: UInt8[np.ndarray, "h w 4"]) -> bytes:
    """Makes a BMP file that says where its alpha is (Pillow's does not)."""
    height, width = samples.shape[:2]
    rows = samples[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack(
        "<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0
    )
    masks = struct.pack("<4I4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    header = (header + masks).ljust(108, b"\0")
    start = 14 + len(header)
    return struct.pack("<2sIII", b"BM", start + len(rows), 0, start) + header + rows


def _inspect_jpeg(image: Image.Image) -> dict[str, Any]:
    settings: dict[str, Any] = {
        # -1 is an odd layout (4:4:0, 4:1:1): then nothing is subsampled.
        "subsampling": max(0, JpegImagePlugin.get_sampling(image)),
        "progressive": bool(image.info.get("progressive")),
    }
    tables = getattr(image, "quantization", None) or {}
    in_order = [list(tables[index]) for index in sorted(tables)]
    if in_order and sum(in_order[0]) <= _FINE_LUMINANCE_SUM and max(tables) < 2:
        settings["qtables"] = in_order
    else:
        settings["quality"] = _QUALITY
    return settings


def av1_layout(head: bytes) -> tuple[int, str]:
    """Reads bit depth and subsampling from an AVIF's configuration boxes."""
    flags = [box[2] for box in head.split(b"av1C")[1:] if len(box) > 2]
    depths = [12 if flag & 0x20 else 10 for flag in flags if flag & 0x40]
    # A monochrome box among others is the alpha channel's.
    coloured = [flag for flag in flags if not flag & 0x10]
    if not coloured:
        return max(depths, default=8), "4:4:4"
    layouts = {0b11: "4:2:0", 0b10: "4:2:2"}
    return max(depths, default=8), layouts.get(coloured[0] >> 2 & 3, "4:4:4")


def bmp_notes(head: bytes) -> tuple[str, ...]:
    """Notes the colour space of a BMP's long header, which Pillow passes over."""
    size = int.from_bytes(head[14:18], "little")
    kind = head[70:74]
    is_calibrated = kind == b"\0\0\0\0" and any(head[74:122])
    if size >= 108 and (kind in (b"DEBM", b"KNIL") or is_calibrated):
        return ("the colour space of the BMP is left out",)
    return ()


def colour_box_notes(head: bytes) -> tuple[str, ...]:
    """Notes the colour space of an AVIF or HEIC that the decoder passes over."""
    boxes = [box[:4] for box in head.split(b"colrnclx")[1:]]
    # Primaries and transfer: BT.709 or unknown, and what all show like sRGB.
    odd = [box for box in boxes if box[1] not in (1, 2) or box[3] not in (1, 2, 6, 13)]
    if odd and b"colrprof" not in head and b"colrrICC" not in head:
        return (f"colour space (primaries {odd[0][1]}, transfer {odd[0][3]}) left out",)
    return ()


def target_format(path: Path, source: Path, source_format: str) -> str:
    """Chooses the format: by the target's suffix, or the source's where they agree."""
    suffix = Path(path).suffix.lower()
    if suffix == Path(source).suffix.lower():
        return source_format
    if suffix not in SUFFIXES:
        raise MediaError(
            f"{path}: pictures are written as {' '.join(SUFFIXES)}, not {suffix!r}."
        )
    return SUFFIXES[suffix]


def settings(format: str, mode: str, noted: dict[str, Any] | None) -> dict[str, Any]:
    """Gives the arguments for Pillow's `save`.

    Args:
        format: What is written.
        mode: Of the image that is written.
        noted: What `inspect` found, where the source had the same format.
    """
    noted = noted or {}
    if format == "JPEG":
        default = {"quality": _QUALITY, "subsampling": 0}
        return noted or default
    if format == "WEBP":
        # exact keeps the colours under transparent pixels.
        if noted.get("lossless", not noted):
            return {"lossless": True, "exact": True, "quality": 70}
        return {"quality": _QUALITY, "exact": True, "alpha_quality": 100}
    if format == "TIFF":
        compression = noted.get("compression", "tiff_adobe_deflate")
        if compression in _TIFF_COMPRESSIONS or (mode == "1" and compression in _FAX):
            return {"compression": None if compression == "raw" else compression}
        return {"compression": "tiff_adobe_deflate"}
    if format == "AVIF":
        return {"quality": 90, "subsampling": noted.get("subsampling", "4:4:4")}
    if format == "HEIF":
        return {"quality": 92}
    return {}
