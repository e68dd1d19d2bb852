"""Videos, read as a stream of upright frames.

A phone's rotation is applied to the pixels and what players hide is cut off, so that
boxes are those of the picture that is seen. One frame at a time is held, whatever the
length. A file that is damaged or ends early raises; what lies before the damage is
never passed off as the whole.
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
from jaxanon.media import codecs, decode, shown

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
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """What no player shows: columns and rows at left, top, right and bottom, as stored.
    It is cut off before a picture is turned upright."""
    has_alpha: bool = False
    """Whether a part of a picture is transparent."""
    field_order: str = ""
    """"tff" or "bff" if it is interlaced: the upper or the lower field is first; or
    "unknown"; empty if it is not."""
    mastering: tuple[float, ...] = ()
    """Of the screen it was made on: x and y of red, green, blue and white, least and
    most light; empty if the file doesn't say."""
    light: tuple[int, ...] = ()
    """The brightest pixel and the brightest picture; empty if unknown."""
    loops: int | None = None
    """How often a GIF is repeated, 0 = for ever; None = it is played once."""
    counts_from_start: bool = False
    """Whether the clock began before, as a recorder's does; players count anew."""
    notes: tuple[str, ...] = ()
    """What of the file is left out."""


class Frame(NamedTuple):
    """One picture of a video."""

    pixels: np.ndarray
    """[h w 3], RGB, upright; uint8, or uint16 if the video has more than 8 bits."""
    pts: int
    """When it is shown, in units of Info.time_base."""
    duration: int
    """For how long, in the same unit; 0 = until the next one."""
    alpha: np.ndarray | None = None
    """[h w], of the pixels' type, full = opaque; None if the video is opaque."""


def probe(path: Path) -> Info:
    """Reads what a video is, by its headers and first frame.

    Raises:
        MediaError: The file cannot be read, or holds no video.
    """
    path = Path(path)
    with decode.opened_film(path) as film, decode.blaming(path):
        frames = decode.frames_of(film)
        frame = next(frames, None)
        if frame is None:
            raise MediaError(f"{path}: holds no picture that can be decoded.")
        info = _describe(film.container, film.stream, frame)
        info = _as_shown(info, film, frame)
        if codecs.has_alpha(info.pixel_format):
            every = itertools.chain([frame], frames)
            return info._replace(has_alpha=any(map(_is_transparent, every)))
        return info


def read(
    path: Path,
    *,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    info: Info | None = None,
    notes: list[str] | None = None,
) -> Iterator[Frame]:
    """Yields the frames of a video, one at a time, in the order they are shown.

    Args:
        path: The file.
        start_seconds: Frames shown before are left out; since the file's beginning.
        end_seconds: Frames shown from then on are left out.
        info: What ``probe`` says of it, if that is known.
        notes: Is told what is found on the way and cannot be kept.

    Raises:
        MediaError: The file is damaged, ends early or changes its size.
    """
    path = Path(path)
    info = probe(path) if info is None else info
    begin = info.start_seconds + start_seconds
    end = np.inf if end_seconds is None else info.start_seconds + end_seconds
    # The key frames of some videos need what is before them.
    for run_up in (begin, None) if start_seconds > 0 else (None,):
        given = False
        try:
            for frame in _read(path, info, begin, end, run_up, notes):
                given = True
                yield frame
            return
        except MediaError:
            if given or run_up is None:
                raise


def _read(
    path: Path,
    info: Info,
    begin: float,
    end: float,
    run_up: float | None,
    notes: list[str] | None,
) -> Iterator[Frame]:
    """Reads from `begin` to `end`; decoding starts a while before `run_up`."""
    held, turns, aspect = None, {}, None
    with decode.opened_film(path) as film, decode.blaming(path):
        for frame in decode.frames_of(film, begin_seconds=run_up):
            pts = frame.pts
            if pts is None:
                step = (held and held.duration) or round(1 / info.rate / info.time_base)
                pts = 0 if held is None else held.pts + step
            seconds = float(pts * info.time_base)
            if begin > info.start_seconds and seconds < begin - 1e-6:
                continue
            pts = pts if held is None else max(pts, held.pts + 1)
            if seconds >= end - 1e-6:
                break
            if held is not None:
                yield held
            pixels, alpha = _to_pixels(frame, info, turns, path)
            if pixels.shape != (info.height, info.width, 3):
                raise MediaError(f"{path}: the picture's size changes at {seconds} s.")
            held = Frame(pixels, pts, frame.duration or 0, alpha)
            found = film.stream.codec_context.sample_aspect_ratio or aspect
            aspect = aspect or found
            for is_so, note in (
                (frame.interlaced_frame and not info.field_order, _LATE_FIELDS),
                (found != aspect, _LATE_ASPECT),
            ):
                if is_so and notes is not None and note not in notes:
                    notes.append(note)
        # The last picture is shown until the film, its sound or the part ends.
        until = max(film.until_seconds, film.promised_seconds or 0.0)
        if held is not None:
            rest = round(min(until, end) / info.time_base) - held.pts
            if rest * info.time_base > held.duration * info.time_base + _HELD_SECONDS:
                held = held._replace(duration=rest)
            most = held.duration if end == np.inf else max(rest, 1)
            yield held._replace(duration=min(held.duration, most))


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
        streams = [s for s in container.streams.video if not decode.is_cover(s)]
        stream = decode.choose(streams, {}, name)
        film = decode.Film(name, container, stream, [])
        decoded = decode.frames_of(film, to_the_end=False)
        first = next(decoded, None)
    if first is None:
        raise MediaError(f"{name}: holds no picture that can be decoded.")
    info = _describe(container, stream, first)
    if name.is_file():
        info = _as_shown(info, film, first)

    def frames():
        last_pts, turns = -1, {}
        with container, decode.blaming(name):
            for frame in itertools.chain([first], decoded):
                pts = last_pts + 1 if frame.pts is None else frame.pts
                last_pts = max(pts, last_pts + 1)
                pixels, _ = _to_pixels(frame, info, turns, name)
                yield Frame(pixels, last_pts, frame.duration or 0)

    return info, frames()


def _describe(container, stream, frame) -> Info:
    turned = bool(_orientation(frame)[0])
    height, width = frame.height, frame.width
    # The container's word goes before the codec's.
    aspect = stream.sample_aspect_ratio or Fraction(1)
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
        aspect=1 / aspect if turned else aspect,
        color=(
            frame.colorspace,
            frame.color_range,
            frame.color_primaries,
            frame.color_trc,
        ),
        has_audio=bool(container.streams.audio),
        first_seconds=max(float((frame.pts or 0) * stream.time_base) - begin, 0.0),
    )


def _as_shown(info: Info, film: decode.Film, frame) -> Info:
    """Adds what a player does with the pictures, and what cannot be kept.

    Raises:
        MediaError: What a player shows cannot be told from the pictures.
    """
    is_mov = film.kind.startswith("mov")
    number = film.stream.id if is_mov else film.number
    size = (frame.height, frame.width)
    found = shown.read(film.path, film.kind, number, size)
    left, top, right, bottom = found.crop
    turned = bool(_orientation(frame)[0])
    across, down = (top + bottom, left + right)[:: 1 if turned else -1]
    if found.refusal:
        raise MediaError(f"{film.path}: {found.refusal}, which is not done.")
    if across >= info.width or down >= info.height:
        raise MediaError(f"{film.path}: its borders hide the whole picture.")
    is_clock = film.kind.startswith(_CLOCKS) or found.is_fragmented
    return info._replace(
        width=info.width - across,
        height=info.height - down,
        crop=found.crop,
        field_order=_FIELD_ORDERS.get(film.stream.codec_context.field_order, "")
        or ("unknown" if frame.interlaced_frame else ""),
        mastering=_mastering(frame),
        light=_light(frame),
        loops=found.loops,
        counts_from_start=is_clock or info.start_seconds > LATE_SECONDS,
        notes=(*_left_out(film), *_said_beside(frame)),
    )


LATE_SECONDS = 5.0
"""A film that begins later is a piece of a longer one."""

_CLOCKS = ("mpegts", "mpeg", "asf", "flv", "ogg", "wtv", "nut", "rm")
"""Formats whose clock may begin anywhere."""

_HELD_SECONDS = 0.1
"""What sound lasts longer than the pictures without a meaning."""

_FIELD_ORDERS = {2: "tff", 5: "tff", 3: "bff", 4: "bff"}
"""FFmpeg's numbers: the field that is shown first."""

_LATE_FIELDS = (
    "some pictures are interlaced; they are written as whole pictures, with the comb."
)


_LATE_ASPECT = (
    "the shape of the pixels changes on the way; all are written as the first."
)


def _left_out(film: decode.Film) -> list[str]:
    if not film.others:
        return []
    return [f"other videos in the file are left out: {', '.join(film.others)}."]


def _said_beside(frame) -> list[str]:
    """Lists what stands beside a picture and is not written."""
    kinds = {
        "DYNAMIC_HDR_PLUS": "HDR10+",
        "DOVI_METADATA": "Dolby Vision",
        "DYNAMIC_HDR_VIVID": "HDR Vivid",
        "SPHERICAL": "the mark of a 360 degree video",
        "STEREO3D": "the mark of a stereoscopic video",
        "ICC_PROFILE": "the colour profile",
    }
    names = [name for kind, name in kinds.items() if frame.side_data.get(kind)]
    return [f"{', '.join(names)}: not kept."] if names else []


def _mastering(frame) -> tuple[float, ...]:
    data = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if data is None:
        return ()
    # Ten fractions, and whether the colours and the light are known.
    numbers = struct.unpack("<22i", bytes(data)[:88])
    if not all(numbers[20:]) or not all(numbers[1:20:2]):
        return ()
    return tuple(n / d for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True))


def _light(frame) -> tuple[int, ...]:
    data = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    return () if data is None else struct.unpack("<2I", bytes(data)[:8])


def _orientation(frame) -> tuple[bool, bool, bool]:
    """Says whether to transpose, then mirror and then flip, to see it upright.

    Raises:
        MediaError: It is turned by another angle.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    # A point moves to (a x + c y, b x + d y).
    straight, across = abs(a) + abs(d), abs(b) + abs(c)
    if min(straight, across) > 0.01 * max(straight, across):
        raise MediaError("The picture is turned by an angle that is no quarter turn.")
    if straight >= across:
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _is_transparent(frame) -> bool:
    alpha = _convert(frame)[..., 3]
    # Conversion may lose the last bits of 16.
    return bool(alpha.min() < (0xFF if alpha.dtype == np.uint8 else 0xFF00))


def _convert(frame) -> np.ndarray:
    """Converts a frame to RGB or, where its format has alpha, to RGBA."""
    with_alpha = codecs.has_alpha(frame.format.name)
    names = ("rgba", "rgba64le") if with_alpha else ("rgb24", "rgb48le")
    return frame.to_ndarray(
        format=names[codecs.bit_depth(frame.format.name) > 8],
        interpolation=SCALER,
        src_colorspace=swscale_matrix(frame.colorspace, frame.height),
    )


def _to_pixels(
    frame, info: Info, turns: dict[int, tuple[bool, bool, bool]], path: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    """Converts a frame to upright RGB and, where the video has it, alpha."""
    # A frame that was asked for its side data lives until the next garbage collection.
    if frame.rotation not in turns:
        turns[frame.rotation] = _orientation(frame)
    pixels = _convert(frame)
    left, top, right, bottom = info.crop
    height, width = pixels.shape[:2]
    pixels = pixels[top : height - bottom, left : width - right]
    transposed, mirrored, flipped = turns[frame.rotation]
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    pixels = pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]
    colours = np.ascontiguousarray(pixels[..., :3])
    if info.has_alpha:
        opaque = np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)
        return colours, opaque if pixels.shape[2] == 3 else pixels[..., 3].copy()
    if pixels.shape[2] == 4 and _is_transparent(frame):
        raise MediaError(f"{path}: parts of the picture are transparent.")
    return colours, None


def swscale_matrix(matrix: int, height: int) -> int:
    """FFmpeg's number of a colour matrix for its scaler, which counts differently.

    Args:
        matrix: As the file says it.
        height: Of the frame: what says nothing is BT.709 in HD, BT.601 below.
    """
    if matrix in (1, 4, 7, 9):
        return matrix
    return 1 if matrix == 2 and height >= 720 else 5
