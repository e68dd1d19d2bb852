"""Videos, read as a stream of upright frames.

A phone's rotation is applied to the pixels, so that boxes are those of the picture that
is seen. One frame at a time is held, whatever the length. A file that is damaged or
ends early raises; what lies before the damage is never passed off as the whole.
"""

import itertools
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import UInt8, UInt16

from jaxanon.errors import MediaError
from jaxanon.media import codecs, decode

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]

# Bicubic, exact rounding and full chroma: there and back costs 0.01 levels of luma on
# average, against 1.0 with FFmpeg's defaults. (Bilinear with full chroma, otherwise as
# good, spoils 4:2:0 of more than 8 bits in FFmpeg 8.1.)
SCALER = 0x4 | 0x2000 | 0x4000 | 0x40000

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".m2ts", ".3gp", ".flv", ".wmv", ".ogv", ".gif"),
)
"""Files that are taken for videos; a GIF with one picture reads as one too."""


class Info(NamedTuple):
    """What a video is, apart from its frames."""

    height: int
    """Of the upright frame."""
    width: int
    """Of the upright frame."""
    time_base: Fraction
    """Seconds per unit of time of a frame."""
    rate: Fraction
    """Frames a second, on average."""
    start_seconds: float
    """When the file begins, on its own clock."""
    duration_seconds: float | None
    """None if the file doesn't say."""
    frames: int | None
    """How many, about; None if unknown."""
    pixel_format: str
    """FFmpeg's name."""
    aspect: Fraction
    """Of one upright pixel, width by height."""
    color: tuple[int, int, int, int]
    """Matrix, range, primaries and transfer, in FFmpeg's numbers."""
    has_audio: bool
    first_seconds: float = 0.0
    """When the first picture is shown, since the file's beginning."""


class Frame(NamedTuple):
    """One picture of a video."""

    pixels: np.ndarray
    """[h w 3], RGB, upright; uint8, or uint16 if the video has more than 8 bits."""
    pts: int
    """When it is shown, in units of Info.time_base."""
    duration: int
    """For how long, in the same unit; 0 = until the next one."""


def probe(path: Path) -> Info:
    """Reads what a video is, by its headers and first frame.

    Raises:
        MediaError: The file cannot be read, or holds no video.
    """
    with decode.opened(path) as container, decode.blaming(path):
        stream = decode.video_stream(container, path)
        frame = next(decode.frames_of(container, stream), None)
        if frame is None:
            raise MediaError(f"{path}: holds no picture that can be decoded.")
        return _describe(container, stream, frame)


def read(
    path: Path, *, start_seconds: float = 0.0, end_seconds: float | None = None
) -> Iterator[Frame]:
    """Yields the frames of a video, one at a time, in the order they are shown.

    Args:
        path: The file.
        start_seconds: Frames shown before are left out; since the file's beginning.
        end_seconds: Frames shown from then on are left out.

    Raises:
        MediaError: The file is damaged, ends early or changes its size.
    """
    info = probe(path)
    begin = info.start_seconds + start_seconds
    last_pts, turns = None, {}
    with decode.opened(path) as container, decode.blaming(path):
        stream = decode.video_stream(container, path)
        if start_seconds > 0:
            container.seek(int(begin * av.time_base), backward=True)
        for number, frame in enumerate(
            decode.frames_of(container, stream, to_the_end=start_seconds <= 0)
        ):
            pts = frame.pts
            if pts is None:
                pts = round(number / info.rate / info.time_base)
            seconds = float(pts * info.time_base)
            if end_seconds is not None and seconds >= info.start_seconds + end_seconds:
                return
            if seconds < begin - 1e-6 and start_seconds > 0:
                continue
            pts = pts if last_pts is None else max(pts, last_pts + 1)
            last_pts = pts
            pixels = _to_rgb(frame, turns)
            if pixels.shape != (info.height, info.width, 3):
                raise MediaError(f"{path}: the picture's size changes at {seconds} s.")
            yield Frame(pixels, pts, frame.duration or 0)


def read_live(
    source: Any, *, format: str | None = None
) -> tuple[Info, Iterator[Frame]]:
    """Opens a camera, a stream or a pipe, which can be read once and not be sought.

    Args:
        source: An address or an open binary file.
        format: FFmpeg's name of the input's format; None = find out.

    Raises:
        MediaError: It cannot be read, now or later on.
    """
    name = Path(source if isinstance(source, str) else "live input")
    with decode.blaming(name):
        container = av.open(source, format=format)
        stream = decode.video_stream(container, name)
        decoded = decode.frames_of(container, stream)
        first = next(decoded, None)
    if first is None:
        raise MediaError(f"{name}: holds no picture that can be decoded.")
    info = _describe(container, stream, first)

    def frames():
        last_pts, turns = -1, {}
        with container, decode.blaming(name):
            for frame in itertools.chain([first], decoded):
                pts = last_pts + 1 if frame.pts is None else frame.pts
                last_pts = max(pts, last_pts + 1)
                yield Frame(_to_rgb(frame, turns), last_pts, frame.duration or 0)

    return info, frames()


def _describe(container, stream, frame) -> Info:
    turned = bool(_orientation(frame)[0])
    height, width = frame.height, frame.width
    aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    begin = (container.start_time or 0) / av.time_base
    end = decode.end_seconds(container)
    seconds = end - begin if end else None
    return Info(
        height=width if turned else height,
        width=height if turned else width,
        time_base=stream.time_base or 1 / rate,
        rate=rate,
        start_seconds=begin,
        duration_seconds=seconds,
        frames=stream.frames or (round(seconds * rate) if seconds else None),
        pixel_format=frame.format.name,
        aspect=1 / aspect if turned and aspect else aspect or Fraction(1),
        color=(
            frame.colorspace,
            frame.color_range,
            frame.color_primaries,
            frame.color_trc,
        ),
        has_audio=bool(container.streams.audio),
        first_seconds=max(float((frame.pts or 0) * stream.time_base) - begin, 0.0),
    )


def _orientation(frame) -> tuple[bool, bool, bool]:
    """Says whether to transpose, then mirror and then flip, to see it upright."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    # A point moves to (a x + c y, b x + d y).
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _to_rgb(frame, turns: dict[int, tuple[bool, bool, bool]]) -> np.ndarray:
    # A frame that was asked for its side data lives until the next garbage collection.
    if frame.rotation not in turns:
        turns[frame.rotation] = _orientation(frame)
    deep = codecs.bit_depth(frame.format.name) > 8
    pixels = frame.to_ndarray(
        format="rgb48le" if deep else "rgb24",
        interpolation=SCALER,
        src_colorspace=swscale_matrix(frame.colorspace, frame.height),
    )
    transposed, mirrored, flipped = turns[frame.rotation]
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    pixels = pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]
    return np.ascontiguousarray(pixels)


def swscale_matrix(matrix: int, height: int) -> int:
    """FFmpeg's number of a colour matrix for its scaler, which counts differently.

    Args:
        matrix: As the file says it.
        height: Of the frame: what says nothing is BT.709 in HD, BT.601 below.
    """
    if matrix in (1, 4, 7, 9):
        return matrix
    return 1 if matrix == 2 and height >= 720 else 5
