"""Directories of tags: EXIF and more, put into a TIFF file that is otherwise done.

Pillow's encoders lose the directories for details and place, and our 16-bit ones have
none. So the file gets a new first directory at its end, with all the tags it had.
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_UNITS = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 5: 4, 10: 4, 12: 8}
"""Bytes that stand in the file's order, by type; where missing they are single."""

_DETAILS, _PLACE = 0x8769, 0x8825


class Tag(NamedTuple):
    """One tag's values, in little-endian order."""

    type: int
    count: int
    content: bytes


def short(*values: int) -> Tag:
    """Makes a tag of whole numbers below 65,536."""
    return Tag(3, len(values), struct.pack(f"<{len(values)}H", *values))


def rational(numerator: int, denominator: int) -> Tag:
    """Makes a tag of a fraction."""
    return Tag(5, 1, struct.pack("<II", numerator, denominator))


def undefined(content: bytes, type: int = 7) -> Tag:
    """Makes a tag of bytes."""
    return Tag(type, len(content), content)


def add(path: Path, new: dict[int, Tag], *, exif: bytes | None = None) -> None:
    """Adds tags to the little-endian TIFF file `path`.

    Args:
        path: Is changed; its picture stays where it is.
        new: Tags of the first directory; they replace those that are there.
        exif: A block as in a JPEG: its tags are added where the file has none, its
            directories of details and place too.

    Raises:
        ValueError: The block is none.
    """
    with path.open("rb+") as file:
        if file.read(4) != b"II*\0":
            raise ValueError("not a little-endian TIFF")
        (start,) = struct.unpack("<I", file.read(4))
        file.seek(start)
        (count,) = struct.unpack("<H", file.read(2))
        entries = {}
        for _ in range(count):
            entry = file.read(12)
            entries[int.from_bytes(entry[:2], "little")] = entry
        if exif:
            data = exif.removeprefix(b"Exif\0\0")
            root = _parse(data, _first(data))
            for pointer in (_DETAILS, _PLACE):
                if pointer in root:
                    at = int.from_bytes(root.pop(pointer).content[:4], "little")
                    inner = {
                        tag: _store(file, t) for tag, t in _parse(data, at).items()
                    }
                    where = _store_directory(file, _entries(inner))
                    entries[pointer] = _entry(pointer, (4, 1, struct.pack("<I", where)))
            for tag, content in root.items():
                if tag not in entries:
                    entries |= _entries({tag: _store(file, content)})
        entries |= _entries({tag: _store(file, t) for tag, t in new.items()})
        where = _store_directory(file, entries)
        file.seek(4)
        file.write(struct.pack("<I", where))


def _order(data: bytes) -> str:
    try:
        return {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]
    except KeyError:
        raise ValueError("not a block of EXIF") from None


def _first(data: bytes) -> int:
    return struct.unpack(_order(data) + "I", data[4:8])[0]


def _parse(data: bytes, at: int) -> dict[int, Tag]:
    """Reads a directory, with its values in little-endian order."""
    order, found = _order(data), {}
    (count,) = struct.unpack_from(order + "H", data, at)
    for start in range(at + 2, at + 2 + 12 * count, 12):
        tag, type, length = struct.unpack_from(order + "HHI", data, start)
        size = _SIZES.get(type, 0) * length
        where = start + 8
        if size > 4:
            (where,) = struct.unpack_from(order + "I", data, where)
        content = data[where : where + size]
        if size and len(content) == size:
            found[tag] = Tag(type, length, _to_little(content, type, order))
    return found


def _to_little(content: bytes, type: int, order: str) -> bytes:
    unit = _UNITS.get(type, 1)
    if order == "<" or unit == 1:
        return content
    parts = range(0, len(content), unit)
    return b"".join(content[i : i + unit][::-1] for i in parts)


def _store(file: BinaryIO, tag: Tag) -> tuple[int, int, bytes]:
    """Writes a tag's values at the file's end, if they are long."""
    if len(tag.content) <= 4:
        return tag.type, tag.count, tag.content.ljust(4, b"\0")
    return tag.type, tag.count, struct.pack("<I", _append(file, tag.content))


def _append(file: BinaryIO, content: bytes) -> int:
    end = file.seek(0, 2)
    if end % 2:  # Offsets are even.
        file.write(b"\0")
        end += 1
    file.write(content)
    return end


def _entry(tag: int, stored: tuple[int, int, bytes]) -> bytes:
    return struct.pack("<HHI", tag, *stored[:2]) + stored[2]


def _entries(stored: dict[int, tuple[int, int, bytes]]) -> dict[int, bytes]:
    return {tag: _entry(tag, values) for tag, values in stored.items()}


def _store_directory(file: BinaryIO, entries: dict[int, bytes]) -> int:
    content = struct.pack("<H", len(entries))
    content += b"".join(entry for _, entry in sorted(entries.items()))
    return _append(file, content + b"\0\0\0\0")
