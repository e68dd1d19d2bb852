"""Tells pictures from videos from everything else, by content first, then by name."""

from pathlib import Path
from typing import BinaryIO

_PICTURES = (
    # Read and written here:
    "jpg jpeg jpe jfif png apng webp tif tiff bmp dib gif avif avifs heic heif hif "
    # Pictures too, though unsupported: to be refused by name, not passed over.
    "jp2 j2k jxl psd dng cr2 cr3 nef arw orf rw2 raf pef srw exr hdr ico tga"
).split()
_VIDEOS = (
    "mp4 m4v mov qt mkv webm avi mpg mpeg mpe m2v ts mts m2ts wmv asf flv f4v 3gp 3g2 "
    "ogv vob y4m mxf insv lrv"
).split()
_PICTURE_BRANDS = (
    b"avif avis mif1 mif2 msf1 miaf heic heix heim heis hevc hevx"
).split()
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")


def of(path: Path) -> str:
    """Says what a file is: "picture", "video" or "other".

    A GIF of several pictures is a video. Other animated pictures are pictures, which
    are refused when they are read, by name.

    Raises:
        OSError: The file cannot be opened.
    """
    with Path(path).open("rb") as file:
        start = file.read(4096)
        if start.startswith(b"GIF8"):
            return "video" if _is_animated_gif(file) else "picture"
    suffix = Path(path).suffix.lower().lstrip(".")
    if path.name.startswith("._") and start[:4] == b"\0\5\x16\7":
        return "other"  # Finder's notes beside a file, under that file's suffix.
    found = _by_content(start)
    if found:
        return found
    if suffix in _PICTURES:
        return "picture"
    return "video" if suffix in _VIDEOS else "other"


def _by_content(start: bytes) -> str:
    if start[4:8] == b"ftyp":
        if start[8:12] in _SOUND_BRANDS:
            return "other"
        return "picture" if start[8:12] in _PICTURE_BRANDS else "video"
    if start[:4] == b"RIFF":
        return {b"WEBP": "picture", b"AVI ": "video"}.get(start[8:12], "")
    pictures = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
    if start.startswith((*pictures, b"II+\0", b"MM\0+")):
        return "picture"
    if start[:2] == b"BM" and start[6:10] == b"\0\0\0\0":
        return "picture"
    videos = (b"\x1aE\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"0&\xb2u\x8ef\xcf\x11")
    if start.startswith((*videos, b"YUV4MPEG2 ")):
        return "video"
    return ""


def _is_animated_gif(file: BinaryIO) -> bool:
    """Walks over the blocks of a GIF until the second picture, or the end."""
    file.seek(10)
    _skip_colours(file, 2)
    pictures = 0
    while (block := file.read(1)) in (b"!", b","):
        if block == b"!":
            file.seek(1, 1)  # The extension's label.
        else:
            pictures += 1
            if pictures == 2:
                return True
            file.seek(8, 1)
            _skip_colours(file, 0)
            file.seek(1, 1)  # The code size.
        while size := int.from_bytes(file.read(1)):
            file.seek(size, 1)
    return False


def _skip_colours(file: BinaryIO, gap: int) -> None:
    """Reads a byte of flags and skips the colour table that it tells of."""
    flags = int.from_bytes(file.read(1))
    file.seek(gap + (3 * 2 ** (1 + flags % 8) if flags & 0x80 else 0), 1)
