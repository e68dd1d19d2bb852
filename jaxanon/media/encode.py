"""Videos, written: upright frames to a file that appears when it is whole.

Times stay as they are, variable frame rates too. No metadata, chapter, subtitle, data
or cover picture is ever written.
"""

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from jaxanon.errors import MediaError
from jaxanon.media import atomic, codecs, decode, palette, video

_MATRIX_RGB, _MATRIX_UNKNOWN = 0, 2


class Span(NamedTuple):
    """The part of the source that is written, moved to time 0 if it starts later."""

    start_seconds: float = 0.0
    end_seconds: float | None = None


WHOLE = Span()


class Coding(NamedTuple):
    """How frames become a video."""

    codec: str | None = None
    """One of codecs.CODECS, or None for the container's usual one."""
    crf: int | None = None
    """The encoder's quality, lower is better; None for a good one."""
    span: Span = WHOLE
    """Where the frames lie in the source."""
    tags: Mapping[str, str] = {}
    """What the header of a Matroska file says."""
    finish: Callable[[Path], None] | None = None
    """Is given the whole file before it gets its name."""


USUAL = Coding()


def write(
    target: Path,
    frames: Iterable[video.Frame],
    info: video.Info,
    coding: Coding = USUAL,
    *,
    audio_from: Path | None = None,
) -> int:
    """Writes a video that appears under its name only when it is whole.

    Args:
        target: The file; its suffix names the container. It is replaced if it exists.
        frames: Upright frames of one size, in order.
        info: Of the source: clock, colour and pixel format are taken from it.
        coding: Codec, quality and part of the source.
        audio_from: Copies the sound of this file, bit for bit; None drops it.

    Returns:
        The number of frames.

    Raises:
        MediaError: The file cannot be written or the container can't hold it.
        ConfigError: The container doesn't hold this codec.
    """

    def encoded(stream):
        return _encode(stream, frames, info, _shift(info, coding.span))

    return _write(target, encoded, info, coding, audio_from)


def encode_part(
    target: Path,
    frames: Iterable[video.Frame],
    info: video.Info,
    coding: Coding = USUAL,
) -> list[av.Packet]:
    """Encodes a part of a video that depends on no other part, for ``join``.

    The arguments are those of ``write``; nothing is written.
    """
    chosen = _choose_codec(target, info, coding)
    with decode.blaming(target, "written"), av.open(str(target), "w") as container:
        extra = codecs.CODECS[chosen].in_order
        stream = _add_stream(container, info, chosen, coding.crf, extra)
        return list(_encode(stream, frames, info, _shift(info, coding.span)))


def join(
    target: Path,
    packets: Iterable[av.Packet],
    info: video.Info,
    coding: Coding = USUAL,
    *,
    audio_from: Path | None = None,
) -> int:
    """Writes a video of parts that ``encode_part`` made with the same arguments.

    The pictures are copied, bit for bit. Raises and returns what ``write`` does.
    """

    def encoded(stream):
        for packet in packets:
            packet.stream, packet.time_base = stream, info.time_base
            yield packet

    in_order = codecs.CODECS[_choose_codec(target, info, coding)].in_order
    return _write(target, encoded, info, coding, audio_from, in_order)


def _choose_codec(target: Path, info: video.Info, coding: Coding) -> str:
    bits = codecs.bit_depth(info.pixel_format)
    return codecs.choose_codec(Path(target), coding.codec, bits=bits)


def _write(target, encoded, info, coding, audio_from, extra=None) -> int:
    """Writes the packets that ``encoded`` yields for a stream."""
    target = Path(target)
    codec = _choose_codec(target, info, coding)
    # Bit-exact: no date, no software's name and no random numbers in the file.
    options = {"fflags": "+bitexact"}
    with atomic.replacing(target) as part, decode.blaming(target, "written"):
        with av.open(str(part), "w", container_options=options) as container:
            if target.suffix.lower() in (".mkv", ".webm"):
                container.metadata.update(coding.tags)
            stream = _add_stream(container, info, codec, coding.crf, extra)
            count = _mux(container, encoded(stream), audio_from, coding.span)
        if not count:
            raise MediaError(f"{target}: no frame lies in the part asked for.")
        if coding.finish:
            coding.finish(part)
    return count


def write_live(
    sink: Any,
    frames: Iterable[video.Frame],
    info: video.Info,
    *,
    crf: int = 23,
    tags: Mapping[str, str] = {},
) -> int:
    """Writes frames as they come to a pipe or an open binary file, as Matroska.

    Args:
        sink: An object with a write method.
        frames: Upright frames of one size.
        info: Clock, colour and pixel format.
        crf: H.264's quality, lower is better.
        tags: What the header says.

    Returns:
        The number of frames.

    Raises:
        MediaError: The sink can't be written to.
    """
    options = {"fflags": "+bitexact+flush_packets", "live": "1"}
    with decode.blaming(Path("live output"), "written"):
        with av.open(
            sink, "w", format="matroska", container_options=options
        ) as container:
            container.metadata.update(tags)
            stream = _add_stream(container, info, "h264", crf, {"tune": "zerolatency"})
            return _mux(container, _encode(stream, frames, info, 0), None, WHOLE)


def _shift(info: video.Info, span: Span) -> int:
    if span.start_seconds <= 0:
        return 0
    return round((info.start_seconds + span.start_seconds) / info.time_base)


def _add_stream(
    container,
    info: video.Info,
    codec: str,
    crf: int | None,
    extra: dict[str, str] | None = None,
):
    chosen = codecs.CODECS[codec]
    options = chosen.options | (extra or {})
    if chosen.crf is not None:
        options["crf"] = str(chosen.crf if crf is None else crf)
    os.environ.setdefault("SVT_LOG", "1")  # The AV1 encoder talks; errors only.
    stream = container.add_stream(chosen.encoder, rate=info.rate, options=options)
    stream.height, stream.width = info.height, info.width
    stream.pix_fmt = codecs.choose_pixel_format(
        codec, info.pixel_format, height=info.height, width=info.width
    )
    context = stream.codec_context
    context.time_base = stream.time_base = info.time_base
    context.sample_aspect_ratio = info.aspect
    matrix, color_range, primaries, transfer = info.color
    context.colorspace = _MATRIX_UNKNOWN if matrix == _MATRIX_RGB else matrix
    context.color_range = color_range
    context.color_primaries, context.color_trc = primaries, transfer
    return stream


def _encode(
    stream, frames: Iterable[video.Frame], info: video.Info, shift: int
) -> Iterator[av.Packet]:
    """Encodes lazily, and puts the frames' durations on the packets."""
    durations: dict[int, int] = {}
    coloured = palette.Palette(info) if stream.pix_fmt == "pal8" else None
    for frame in frames:
        if coloured:
            picture = coloured(frame.pixels, frame.pts - shift)
        else:
            picture = _from_rgb(frame.pixels, stream.pix_fmt, info.color)
        picture.pts, picture.time_base = frame.pts - shift, info.time_base
        durations[picture.pts] = frame.duration
        yield from _timed(stream.encode(picture), durations)
    yield from _timed(stream.encode(None), durations)


def _timed(packets, durations: dict[int, int]) -> Iterator[av.Packet]:
    for packet in packets:
        packet.duration = durations.pop(packet.pts, 0) or packet.duration
        yield packet


def _mux(container, encoded, audio_from: Path | None, span: Span) -> int:
    """Writes packets in the order of time; returns the number of pictures."""
    count = 0
    if audio_from is None:
        for packet in encoded:
            count += 1
            container.mux(packet)
        return count
    with decode.opened(audio_from) as source:
        copies = {}
        for stream in source.streams.audio:
            copies[stream.index] = container.add_stream_from_template(stream)
            copies[stream.index].metadata.clear()
        sound = _copied(source, copies, span)
        # Nothing is held back: each side is asked for its next packet when needed.
        for packet in heapq.merge(encoded, sound, key=_seconds):
            count += packet.stream.type == "video"
            container.mux(packet)
    return count


def _seconds(packet: av.Packet) -> float:
    return float(packet.dts * packet.time_base) if packet.dts is not None else 0.0


def _copied(source, copies: dict[int, Any], span: Span) -> Iterator[av.Packet]:
    zero = (source.start_time or 0) / av.time_base
    start, end = span
    for packet in source.demux(tuple(source.streams.audio)):
        if packet.dts is None or packet.pts is None:
            continue
        if packet.is_corrupt:
            raise MediaError(f"{source.name}: the sound is damaged or ends early.")
        seconds = _seconds(packet) - zero
        if start > 0:
            if seconds < start:
                continue
            shift = round((start + zero) / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if end is not None and seconds >= end:
            continue
        packet.stream = copies[packet.stream.index]
        yield packet


def _from_rgb(pixels: np.ndarray, pixel_format: str, color) -> av.VideoFrame:
    name = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
    picture = av.VideoFrame.from_ndarray(pixels, format=name)
    matrix, color_range, primaries, transfer = color
    converted = picture.reformat(
        format=pixel_format,
        dst_colorspace=video.swscale_matrix(matrix, pixels.shape[0]),
        dst_color_range=color_range,
        interpolation=video.SCALER,
    )
    converted.colorspace = _MATRIX_UNKNOWN if matrix == _MATRIX_RGB else matrix
    converted.color_range = color_range
    converted.color_primaries, converted.color_trc = primaries, transfer
    return converted
