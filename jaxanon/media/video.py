"""Videos, read as a stream of upright frames.

A phone's rotation is applied to the pixels, so that boxes are those of the picture that
is seen. One frame at a time is held, whatever the length. A file that is damaged or
ends early raises; what lies before the damage is never passed off as the whole.
"""

import itertools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.stream
import numpy as np
from jaxtyping import UInt8, UInt16

from jaxanon.errors import MediaError
from jaxanon.media import codecs

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

# Containers whose length is known from their headers, not guessed from their size.
_TELLS_LENGTH = ("matroska", "mov", "flv", "avi")


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
    with opened(path) as container, blaming(path):
        stream = _video_stream(container, path)
        frame = next(_decode(container, stream), None)
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
    last_pts = None
    with opened(path) as container, blaming(path):
        stream = _video_stream(container, path)
        if start_seconds > 0:
            container.seek(int(begin * av.time_base), backward=True)
        for number, frame in enumerate(
            _decode(container, stream, to_the_end=start_seconds <= 0)
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
            pixels = _to_rgb(frame)
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
    with blaming(name):
        container = av.open(source, format=format)
        stream = _video_stream(container, name)
        decoded = _decode(container, stream)
        first = next(decoded, None)
    if first is None:
        raise MediaError(f"{name}: holds no picture that can be decoded.")
    info = _describe(container, stream, first)

    def frames():
        last_pts = -1
        with container, blaming(name):
            for frame in itertools.chain([first], decoded):
                pts = last_pts + 1 if frame.pts is None else frame.pts
                last_pts = max(pts, last_pts + 1)
                yield Frame(_to_rgb(frame), last_pts, frame.duration or 0)

    return info, frames()


@contextmanager
def opened(path: Path):
    """Opens a file, with errors told instead of papered over."""
    with blaming(path):
        container = av.open(str(path), options={"err_detect": "explode"})
    with container:
        yield container


@contextmanager
def blaming(path: Path, what: str = "read"):
    """Turns what FFmpeg and the system say into an error that names the file."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path}: cannot be {what}: {reason}.") from error


def _describe(container, stream, frame) -> Info:
    turned = bool(_orientation(frame)[0])
    height, width = frame.height, frame.width
    aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    begin = (container.start_time or 0) / av.time_base
    end = _end_seconds(container)
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
    )


def _video_stream(container, path: Path):
    for stream in container.streams.video:
        # A cover picture is a video stream too.
        if not stream.disposition & av.stream.Disposition.attached_pic:
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"err_detect": "explode"}
            return stream
    raise MediaError(f"{path}: holds no video.")


def _decode(container, stream, *, to_the_end: bool = False) -> Iterator[av.VideoFrame]:
    """Yields decoded frames and raises for damage, which FFmpeg would paper over.

    Args:
        container: The open file.
        stream: Its video.
        to_the_end: Whether the file is read from its beginning, so that it can be
            told at its end whether something is missing.
    """
    packets, frames, end_seconds = 0, 0, 0.0
    for packet in container.demux():
        if packet.is_corrupt:
            raise MediaError(f"{container.name}: is damaged or ends early.")
        if packet.pts is not None and packet.time_base:
            until = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end_seconds = max(end_seconds, until)
        if packet.stream is not stream:
            continue
        packets += packet.size > 0
        for frame in packet.decode():
            if frame.is_corrupt:
                raise MediaError(f"{container.name}: frame {frames} is damaged.")
            frames += 1
            yield frame
    if to_the_end:
        _check_whole(container, stream, packets, frames, end_seconds)


def _check_whole(container, stream, packets: int, frames: int, end_seconds: float):
    name, kind = container.name, container.format.name
    rate = stream.average_rate or 25
    promised = _end_seconds(container) or 0.0
    if kind == "avi":
        promised = float(stream.frames / rate)
    if not frames or (kind.startswith("mov") and packets < stream.frames):
        raise MediaError(f"{name}: {packets} of {stream.frames} pictures are there.")
    slack = max(0.1, float(2 / rate))
    if kind.startswith(_TELLS_LENGTH) and end_seconds < promised - slack:
        raise MediaError(f"{name}: ends after {end_seconds:.2f} s of {promised:.2f} s.")
    with open(name, "rb") as file:
        size = file.seek(0, 2)
        file.seek(-1, 2)
        if kind == "gif" and file.read(1) != b";":
            raise MediaError(f"{name}: this GIF ends early.")
        # Whole packets of plain, time-stamped or error-corrected transport streams.
        if kind == "mpegts" and all(size % packet for packet in (188, 192, 204)):
            raise MediaError(f"{name}: this transport stream ends early.")


def _end_seconds(container) -> float | None:
    """Says when the file claims to end, on its own clock; None if it doesn't."""
    if container.duration is None:
        return None
    # Matroska and FLV count from 0, the others from their first packet.
    from_zero = container.format.name.startswith(("matroska", "flv"))
    begin = 0 if from_zero else container.start_time or 0
    return (container.duration + begin) / av.time_base


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


def _to_rgb(frame) -> np.ndarray:
    deep = codecs.bit_depth(frame.format.name) > 8
    pixels = frame.to_ndarray(
        format="rgb48le" if deep else "rgb24",
        interpolation=SCALER,
        src_colorspace=swscale_matrix(frame.colorspace, frame.height),
    )
    transposed, mirrored, flipped = _orientation(frame)
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
