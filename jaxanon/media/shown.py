"""How a player shows a film, as far as its container says so and FFmpeg does not.

MP4 and Matroska can cut off the borders of a picture, play a part at another speed or
play the parts in another order; a GIF says how often it is played.
"""

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import NamedTuple

_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CHAPTERS, _EDITION, _IS_ORDERED, _TRACK_TYPE = 0x1043A770, 0x45B9, 0x45DD, 0x83
_CROPS = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # Left, top, right, bottom.
_HEADER_BYTES = 1 << 24
"""What is read of a header at most."""


class Shown(NamedTuple):
    """What a player does with the pictures."""

    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Columns and rows that it hides: left, top, right, bottom, before any turn."""
    refusal: str = ""
    """Why its timeline cannot be followed; empty if it can."""
    is_fragmented: bool = False
    """Whether it may be a piece of a stream, whose clock began long before."""
    loops: int | None = None
    """How often a GIF is repeated, 0 = for ever; None = it is played once."""


def read(path: Path, kind: str, track: int, size: tuple[int, int]) -> Shown:
    """Reads how a film is shown.

    Args:
        path: The file.
        kind: FFmpeg's name of its format.
        track: The film's number: its id in an MP4, which of the films in Matroska.
        size: Height and width of its pictures.
    """
    with path.open("rb") as file:
        if kind.startswith("mov"):
            return _read_mov(file, track, size)
        if kind.startswith("matroska"):
            return _read_matroska(file, track)
        if kind == "gif":
            return Shown(loops=_read_loops(file))
    return Shown()


def is_whole(path: Path, kind: str) -> bool:
    """Says whether the parts of a file end where it ends, as far as its kind tells."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(end - 64, 0))
        if not any(file.read()):  # Room that was never filled.
            return False
        if kind.startswith("matroska"):
            place = 0
            for number, place, size in _places(file):
                place += 0 if number == _SEGMENT else size or end
            return place == end
        place = 0
        while kind == "avi" and place < end:
            file.seek(place)
            head = file.read(8)
            if head[:4] != b"RIFF":
                return False
            size = int.from_bytes(head[4:], "little")
            place += 8 + size + size % 2
        return kind == "avi" and place == end


def _read_mov(file: io.BufferedIOBase, track: int, size: tuple[int, int]) -> Shown:
    moov = _read_moov(file)
    found = Shown(is_fragmented=any(n == b"mvex" for n, _ in _within(moov)))
    for name, body in _within(moov):
        if name == b"trak" and _track_id(body) == track:
            for apertures in _find(body, b"mdia", b"minf", b"stbl", b"stsd"):
                found = found._replace(crop=_clean_aperture(apertures, size))
            for edits in _find(body, b"edts", b"elst"):
                if _changes_speed(edits):
                    why = "a part of it is played at another speed, or nothing is"
                    found = found._replace(refusal=f"{why} (edit list)")
    return found


def _read_moov(file: io.BufferedIOBase) -> bytes:
    end, place = file.seek(0, 2), 0
    while place + 8 <= end:
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = int.from_bytes(file.read(8)), 16
        if name == b"moov":
            return file.read(min(size or end, end) - head)
        if size < head:
            break
        place += size
    return b""


def _within(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(body):
        size, name = struct.unpack_from(">I4s", body, place)
        if size == 0:
            size = len(body) - place
        if size < 8:
            return
        yield name, body[place + 8 : place + size]
        place += size


def _find(body: bytes, *names: bytes) -> list[bytes]:
    """Finds the bodies of the boxes that lie at the end of a path of names."""
    found = [body]
    for name in names:
        found = [b for each in found for n, b in _within(each) if n == name]
    return found


def _track_id(trak: bytes) -> int | None:
    for header in _find(trak, b"tkhd"):
        place = 20 if header[:1] == b"\1" else 12
        if len(header) >= place + 4:
            return int.from_bytes(header[place : place + 4])
    return None


def _clean_aperture(stsd: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Reads the first sample description's ``clap``; parts of pixels are hidden."""
    for _, entry in _within(stsd[8:]):
        # An entry begins with 78 bytes of fields.
        for name, body in _within(entry[78:]):
            if name == b"clap" and len(body) >= 32:
                numbers = struct.unpack(">IiIiiIiI", body[:32])
                if not all(numbers[1::2]):
                    break
                wide, high, right, down = (
                    Fraction(numbers[i], numbers[i + 1]) for i in (0, 2, 4, 6)
                )
                x0, x1 = _edges(size[1], wide, right)
                y0, y1 = _edges(size[0], high, down)
                return x0, y0, size[1] - x1, size[0] - y1
        break
    return 0, 0, 0, 0


def _edges(length: int, clean: Fraction, offset: Fraction) -> tuple[int, int]:
    """Gives where the clean part of a side begins and ends, in whole pixels."""
    middle = Fraction(length, 2) + offset
    return (
        max(ceil(middle - clean / 2), 0),
        min(floor(middle + clean / 2), length),
    )


def _changes_speed(elst: bytes) -> bool:
    is_long = elst[:1] == b"\1"
    form = ">qqi" if is_long else ">iii"
    step = struct.calcsize(form)
    count = int.from_bytes(elst[4:8])
    places = range(8, min(8 + count * step, len(elst) - step + 1), step)
    edits = [struct.unpack_from(form, elst, place) for place in places]
    starts = [start for _, start, _ in edits]
    begin = next((i for i, start in enumerate(starts) if start != -1), len(starts))
    has_gap = -1 in starts[begin:]
    return has_gap or any(start != -1 and rate != 1 << 16 for _, start, rate in edits)


def _read_matroska(file: io.BufferedIOBase, track: int) -> Shown:
    found, films = Shown(), 0
    for name, body in _segment(file):
        if name == _TRACKS:
            for entry in (
                dict(_elements(b)) for n, b in _elements(body) if n == _ENTRY
            ):
                if int.from_bytes(entry.get(_TRACK_TYPE, b"")) != 1:
                    continue
                if films == track:
                    fields = dict(_elements(entry.get(_VIDEO, b"")))
                    left, top, right, bottom = (
                        int.from_bytes(fields.get(each, b"")) for each in _CROPS
                    )
                    found = found._replace(crop=(left, top, right, bottom))
                films += 1
        for number, edition in _elements(body) if name == _CHAPTERS else ():
            flags = dict(_elements(edition)) if number == _EDITION else {}
            if int.from_bytes(flags.get(_IS_ORDERED, b"")):
                why = "its chapters say in which order its parts are played"
                found = found._replace(refusal=why)
    return found


def _segment(file: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """Yields the tracks and the chapters of the first segment."""
    for number, place, size in _places(file):
        if number in (_TRACKS, _CHAPTERS) and size is not None:
            file.seek(place)
            yield number, file.read(min(size, _HEADER_BYTES))


def _places(file: io.BufferedIOBase) -> Iterator[tuple[int, int, int | None]]:
    """Yields name, place and size of a segment's parts, as far as sizes are known."""
    end, place = file.seek(0, 2), 0
    while place < end:
        file.seek(place)
        head = io.BytesIO(file.read(12))
        number, size = _number(head, keep=True), _number(head)
        place += head.tell()
        if number is None:
            return
        yield number, place, size
        if number == _SEGMENT:
            continue
        if size is None:  # A recorder's cluster: what came before it is all there is.
            return
        place += size


def _elements(body: bytes) -> Iterator[tuple[int, bytes]]:
    file = io.BytesIO(body)
    while file.tell() < len(body):
        number, size = _number(file, keep=True), _number(file)
        if number is None or size is None:
            return
        yield number, file.read(size)


def _number(file: io.BufferedIOBase, *, keep: bool = False) -> int | None:
    """Reads a number of variable length; None if there is none, or an unknown size.

    Args:
        file: Where it begins.
        keep: Whether the mark of its length belongs to it, as in names.
    """
    first = int.from_bytes(file.read(1))
    more = 8 - first.bit_length()
    rest = file.read(more)
    if not first or len(rest) < more:
        return None
    value = (first << 8 * more) | int.from_bytes(rest)
    if keep:
        return value
    value -= 1 << 7 * (more + 1)
    return None if value == (1 << 7 * (more + 1)) - 1 else value


def _read_loops(file: io.BufferedIOBase) -> int | None:
    """Reads how often a GIF is repeated."""
    start = file.read(_HEADER_BYTES)
    place = start.find(b"\x21\xff\x0bNETSCAPE2.0\x03\x01")
    if place < 0:
        return None
    return int.from_bytes(start[place + 16 : place + 18], "little")
