"""16 bits a channel: what Pillow opens with 8, read and written whole.

Pillow has no mode for 16-bit colour and keeps the upper byte only. Its unpackers can
take either byte of each sample, though, so reading twice gives both, with Pillow's own
decoders and checks. Writing needs a few lines per format (PNG, TIFF).
"""

import struct
import sys
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt16
from PIL import Image

_OTHER_BYTE = {";16B": ";16L", ";16L": ";16B"}
# Rows of about a megabyte: what readers hold in memory at once.
_STRIP_BYTES = 1 << 20


def raw_mode(image: Image.Image) -> str:
    """Gives the samples' layout in the file, as Pillow names it; "" if unknown."""
    tiles = getattr(image, "tile", None) or []
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def is_deep(image: Image.Image) -> bool:
    """Is true where the file holds 16 bits a channel (the image not yet loaded)."""
    return ";16" in raw_mode(image) and image.mode in ("RGB", "RGBA")


def read(path: str) -> UInt16[np.ndarray, "h w c"]:
    """Reads every bit of a picture for which `is_deep` holds: LA, RGB or RGBA."""
    with Image.open(path) as image:
        mode = raw_mode(image)
    if mode == "LA;16B":
        # The same four bytes a pixel, as they stand: grey high, low, alpha high, low.
        samples = _load(path, "RGBA")
        return (
            samples.reshape(*samples.shape[:2], 2, 2).view(">u2")[..., 0].astype("u2")
        )
    native = ";16L" if sys.byteorder == "little" else ";16B"
    ending = native if mode.endswith("N") else mode[-4:]
    # Premultiplied colours are read as they stand: half a sample divides to nonsense.
    base = mode.split(";")[0].replace("a", "A")
    high = _load(path, base + ending).astype(np.uint16)
    return high << 8 | _load(path, base + _OTHER_BYTE[ending])


def straighten(samples: UInt16[np.ndarray, "h w c"]) -> UInt16[np.ndarray, "h w c"]:
    """Divides premultiplied colours by their alpha, the last channel."""
    limit = np.iinfo(samples.dtype).max
    alpha = samples[..., -1:].astype(np.uint64)
    colours = samples[..., :-1].astype(np.uint64)
    straight = (colours * limit + alpha // 2) // np.maximum(alpha, 1)
    straight = np.where(alpha > 0, np.minimum(straight, limit), colours)
    return np.concatenate([straight, alpha], -1).astype(samples.dtype)


def _load(path: str, mode: str) -> np.ndarray:
    with Image.open(path) as image:
        tiles = []
        for name, extents, offset, arguments in image.tile:  # type: ignore[attr-defined]
            rest = arguments[1:] if isinstance(arguments, tuple) else None
            new = mode if rest is None else (mode, *rest)
            tiles.append((name, extents, offset, new))
        tile_type = type(image.tile[0])  # type: ignore[attr-defined]
        image.tile = [tile_type(*tile) for tile in tiles]  # type: ignore[attr-defined]
        return np.array(image)


def write_png(
    file: BinaryIO,
    samples: UInt16[np.ndarray, "h w c"],
    *,
    chunks: list[tuple[bytes, bytes]],
) -> None:
    """Writes a 16-bit PNG of 1 (grey), 2, 3 or 4 channels.

    Args:
        file: Open for binary writing.
        samples: [h w c], the last channel alpha where c is even.
        chunks: Further chunks, name and content, put before the pixels.
    """
    height, width, channels = samples.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # Filter "up": each byte minus the one above, modulo 256.
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    file.write(b"\x89PNG\r\n\x1a\n")
    pixels = zlib.compress(filtered.data, 6)
    for name, content in [
        (b"IHDR", header),
        *chunks,
        (b"IDAT", pixels),
        (b"IEND", b""),
    ]:
        file.write(_png_chunk(name, content))


def insert_png_chunks(path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    """Puts chunks, name and content, behind the header of a PNG file."""
    if not chunks:
        return
    data, start = path.read_bytes(), 33
    packed = b"".join(_png_chunk(name, content) for name, content in chunks)
    path.write_bytes(data[:start] + packed + data[start:])


def read_png_chunks(path: Path) -> dict[bytes, bytes]:
    """Reads the chunks in front of a PNG's pixels, those of them that are short."""
    found = {}
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            size = int.from_bytes(head[:4])
            if size <= 64:
                found.setdefault(head[4:], file.read(size))
                size = 0
            file.seek(size + 4, 1)
    return found


def _png_chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def write_tiff(
    file: BinaryIO,
    samples: UInt16[np.ndarray, "h w c"],
    *,
    icc: bytes | None,
) -> None:
    """Writes a 16-bit TIFF (little-endian, deflate with horizontal differences).

    Args:
        file: Open for binary writing.
        samples: [h w c] of 1 (grey), 2, 3 or 4 channels, alpha last where c is even.
        icc: Colour profile.
    """
    height, width, channels = samples.shape
    differences = samples.astype("<u2")
    differences[:, 1:] -= samples[:, :-1]
    rows = max(1, _STRIP_BYTES // (2 * width * channels))
    strips = [
        zlib.compress(differences[top : top + rows].tobytes(), 6)
        for top in range(0, height, rows)
    ]
    ends = 8 + np.cumsum([0] + [len(strip) for strip in strips])
    short, long = "H", "I"
    # Tag: type, values. Order is ascending, as the format asks.
    tags: dict[int, tuple[str, list[int] | bytes]] = {
        256: (long, [width]),
        257: (long, [height]),
        258: (short, [16] * channels),
        259: (short, [8]),  # Adobe deflate.
        262: (short, [2 if channels >= 3 else 1]),
        273: (long, [int(offset) for offset in ends[:-1]]),
        277: (short, [channels]),
        278: (long, [rows]),
        279: (long, [len(strip) for strip in strips]),
        284: (short, [1]),
        317: (short, [2]),  # Horizontal differences.
    }
    if channels % 2 == 0:
        tags[338] = (short, [2])  # Alpha, not premultiplied.
    if icc:
        tags[34675] = ("B", icc)
    start = int(ends[-1]) + int(ends[-1]) % 2
    file.write(b"II*\0" + struct.pack("<I", start))
    file.writelines(strips)
    file.write(b"\0" * (start - int(ends[-1])))
    file.write(_directory(tags, start))


def _directory(tags: dict[int, tuple[str, list[int] | bytes]], start: int) -> bytes:
    """Lays out a TIFF directory at file offset `start`, long values behind it."""
    kinds = {"B": 7, "H": 3, "I": 4}
    entries, behind = b"", b""
    values_at = start + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in tags.items():
        content = struct.pack(f"<{len(values)}{kind}", *values)
        if len(content) > 4:
            field = struct.pack("<I", values_at + len(behind))
            behind += content + b"\0" * (len(content) % 2)
        else:
            field = content.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kinds[kind], len(values)) + field
    return struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + behind
