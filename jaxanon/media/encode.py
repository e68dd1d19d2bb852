"""Videos, written: upright frames to a file that appears when it is whole.

Times stay as they are, variable frame rates too. No metadata, chapter, subtitle, data
or cover picture is ever written.
"""

import heapq
import io
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
    whole = f"file:{target.absolute()}"
    with decode.blaming(target, "written"), av.open(whole, "w") as container:
        if info.has_alpha and chosen == "vp9":
            raise MediaError(f"{target}: transparency is not kept with --resume.")
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
    return codecs.choose_codec(
        Path(target), coding.codec, bits=bits, has_alpha=info.has_alpha
    )


def notes(
    target: Path,
    info: video.Info,
    coding: Coding = USUAL,
    audio_from: Path | None = None,
) -> list[str]:
    """Says what of the source is not written; raises what ``write`` does for it."""
    codec, found = _choose_codec(target, info, coding), []
    if info.field_order and not _keeps_fields(info, codec):
        found.append("interlaced: written as whole pictures, with the comb.")
    if (info.mastering or info.light) and codec in ("vp9", "gif", "prores"):
        found.append(f"HDR: the light of the screen it was made on is lost in {codec}.")
    if info.has_alpha and codec == "gif" and info.pixel_format != "bgra":
        found.append("transparency: a GIF knows it whole or not at all.")
    if info.loops is not None and codec != "gif":
        found.append(f"a GIF that is repeated; {target.suffix} is played once.")
    if audio_from is not None:
        with decode.opened(audio_from) as source:
            for stream in source.streams.audio:
                if why := _refuses(target, stream):
                    found.append(f"sound track {stream.index} is left out: {why}.")
    return found


def _keeps_fields(info: video.Info, codec: str) -> bool:
    is_known = info.field_order in ("tff", "bff")
    return is_known and codec == "h264" and info.height % 4 == 0


def _refuses(target: Path, stream) -> str:
    """Says why a container takes no copy of a sound track; empty if it does."""
    if stream.codec_context is None:
        return "its kind is unknown"
    suffix = Path(target).suffix.lower()
    format = _FORMATS.get(suffix, suffix[1:])
    try:
        with av.open(io.BytesIO(), "w", format=format) as scratch:
            scratch.add_stream_from_template(stream)
            scratch.start_encoding()
    except (av.FFmpegError, ValueError):
        return f"{suffix} does not hold {stream.codec_context.name}"
    return ""


_FORMATS = {".mkv": "matroska", ".m4v": "mp4"}


def _write(target, encoded, info, coding, audio_from, extra=None) -> int:
    """Writes the packets that ``encoded`` yields for a stream."""
    target = Path(target)
    codec = _choose_codec(target, info, coding)
    # Bit-exact: no date, no software's name and no random numbers in the file.
    options = {"fflags": "+bitexact"}
    if codec == "gif":
        options["loop"] = "-1" if info.loops is None else str(info.loops)
    with atomic.replacing(target) as part, decode.blaming(target, "written"):
        with av.open(f"file:{part}", "w", container_options=options) as container:
            if target.suffix.lower() in (".mkv", ".webm"):
                container.metadata.update(coding.tags)
            stream = _add_stream(container, info, codec, coding.crf, extra)
            begin = _zero_seconds(info, coding.span)
            count = _mux(container, encoded(stream), audio_from, coding.span, begin)
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
            return _mux(container, _encode(stream, frames, info, 0), None, WHOLE, 0.0)


def _zero_seconds(info: video.Info, span: Span) -> float:
    """Gives the time on the source's clock that is written as 0."""
    if span.start_seconds > 0 or info.counts_from_start:
        return info.start_seconds + max(span.start_seconds, 0.0)
    return 0.0


def _shift(info: video.Info, span: Span) -> int:
    return round(_zero_seconds(info, span) / info.time_base)


def _add_stream(
    container,
    info: video.Info,
    codec: str,
    crf: int | None,
    extra: dict[str, str] | None = None,
):
    chosen = codecs.CODECS[codec]
    options = chosen.options | (extra or {})
    for name, words in _said(info, codec).items():
        options[name] = ":".join(filter(None, [options.get(name), words]))
    if info.has_alpha and codec == "vp9":
        options["auto-alt-ref"] = "0"
    if chosen.crf is not None:
        options["crf"] = str(chosen.crf if crf is None else crf)
    os.environ.setdefault("SVT_LOG", "1")  # The AV1 encoder talks; errors only.
    stream = container.add_stream(chosen.encoder, rate=info.rate, options=options)
    stream.height, stream.width = info.height, info.width
    stream.pix_fmt = codecs.choose_pixel_format(
        codec,
        info.pixel_format,
        height=info.height,
        width=info.width,
        has_alpha=info.has_alpha,
    )
    context = stream.codec_context
    context.time_base = stream.time_base = info.time_base
    context.sample_aspect_ratio = info.aspect
    matrix, color_range, primaries, transfer = info.color
    context.colorspace = _MATRIX_UNKNOWN if matrix == _MATRIX_RGB else matrix
    context.color_range = color_range
    context.color_primaries, context.color_trc = primaries, transfer
    return stream


def _said(info: video.Info, codec: str) -> dict[str, str]:
    """Gives what encoders are told of light and fields, by the name of their option."""
    light = ",".join(map(str, info.light))
    if codec == "av1":
        words = [f"mastering-display={_screen(info, 1, 1)}" if info.mastering else ""]
        words += [f"content-light={light}" if light else ""]
        return {"svtav1-params": ":".join(filter(None, words))}
    if codec not in ("h264", "h265"):
        return {}
    screen = _screen(info, 50000, 10000) if info.mastering else ""
    if codec == "h265":
        words = [f"master-display={screen}" if screen else ""]
        words += [f"max-cll={light}" if light else ""]
        return {"x265-params": ":".join(filter(None, words))}
    words = [f"mastering-display={screen}" if screen else ""]
    words += [f"cll={light}" if light else ""]
    words += [f"{info.field_order}=1" if _keeps_fields(info, codec) else ""]
    return {"x264-params": ":".join(filter(None, words))}


def _screen(info: video.Info, colours: int, light: int) -> str:
    """Writes what a film was made on as encoders read it, in parts of a unit."""

    def part(value: float, units: int) -> str:
        return str(round(value * units)) if units > 1 else f"{value:.5f}"

    red_green_blue_white = info.mastering[:8]
    pairs = [
        f"({part(x, colours)},{part(y, colours)})"
        for x, y in zip(*[iter(red_green_blue_white)] * 2, strict=True)
    ]
    red, green, blue, white = pairs
    least, most = (part(value, light) for value in info.mastering[8:])
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"


def _encode(
    stream, frames: Iterable[video.Frame], info: video.Info, shift: int
) -> Iterator[av.Packet]:
    """Encodes lazily, and puts the frames' durations on the packets."""
    timed = _Durations(is_mov=stream.container.format.name in ("mp4", "mov"))
    coloured = palette.Palette(info) if stream.pix_fmt == "pal8" else None
    for frame in frames:
        if coloured:
            picture = coloured(frame)
        else:
            picture = _from_rgb(frame, stream.pix_fmt, info.color)
        picture.pts, picture.time_base = frame.pts - shift, info.time_base
        timed.expected[picture.pts] = frame.duration
        yield from timed(stream.encode(picture))
    yield from timed(stream.encode(None), is_last=True)


class _Durations:
    """Puts the frames' durations on packets, which come in another order."""

    def __init__(self, *, is_mov: bool):
        self.expected: dict[int, int] = {}
        """Of frames, by their time."""
        self._is_mov = is_mov
        self._lag, self._end = None, 0

    def __call__(self, packets, *, is_last: bool = False) -> Iterator[av.Packet]:
        """Yields the packets that an encoder gives, the last ones if it is flushed."""
        packets = list(packets)
        for index, packet in enumerate(packets):
            packet.duration = self.expected.pop(packet.pts, 0) or packet.duration
            if packet.pts is not None and packet.dts is not None:
                self._lag = packet.pts - packet.dts if self._lag is None else self._lag
                self._end = max(self._end, packet.pts + (packet.duration or 0))
                # MP4 ends when the last picture to be decoded does, and it may not be
                # the last one that is shown.
                rest = self._end - self._lag - packet.dts
                if is_last and self._is_mov and index == len(packets) - 1:
                    packet.duration = max(packet.duration or 0, rest)
            yield packet


def _mux(container, encoded, audio_from, span: Span, begin_seconds: float) -> int:
    """Writes packets in the order of time; returns the number of pictures."""
    count = 0
    if audio_from is None:
        for packet in encoded:
            count += 1
            container.mux(packet)
        return count
    with decode.opened_film(audio_from) as source:
        copies = {}
        for stream in source.container.streams.audio:
            if not _refuses(Path(container.name), stream):
                copy = container.add_stream_from_template(stream)
                copy.metadata.clear()
                if copy.codec_context.name == "vorbis":
                    copy.codec_context.extradata = _bare(stream.codec_context.extradata)
                copies[stream.index] = copy
        sound = _copied(source, copies, span, begin_seconds)
        # Nothing is held back: each side is asked for its next packet when needed.
        for packet in heapq.merge(encoded, sound, key=_seconds):
            count += packet.stream.type == "video"
            container.mux(packet)
    return count


def _bare(headers: bytes) -> bytes:
    """Empties the second of Vorbis' three headers: a title, a place, a picture."""
    if headers[:1] != b"\2":
        raise MediaError("The headers of a Vorbis sound track are damaged.")
    place, lengths = 1, []
    for _ in range(2):
        length = 0
        while headers[place] == 255:
            length, place = length + 255, place + 1
        lengths.append(length + headers[place])
        place += 1
    first = headers[place : place + lengths[0]]
    third = headers[place + sum(lengths) :]
    second = b"\3vorbis" + bytes(8) + b"\1"
    return bytes([2, len(first), len(second)]) + first + second + third


def _seconds(packet: av.Packet) -> float:
    return float(packet.dts * packet.time_base) if packet.dts is not None else 0.0


def _copied(
    source: decode.Film, copies: dict[int, Any], span: Span, begin_seconds: float
) -> Iterator[av.Packet]:
    zero = (source.container.start_time or 0) / av.time_base
    last: dict[int, int] = {}
    for packet in decode.on_one_clock(source):
        index = packet.stream.index
        if index not in copies or packet.dts is None or packet.pts is None:
            continue
        seconds = _seconds(packet) - zero
        if span.start_seconds > 0 and seconds < span.start_seconds:
            continue
        if span.end_seconds is not None and seconds >= span.end_seconds:
            continue
        # What an edit list leaves out, but for what an encoder begins with.
        is_cut = packet.is_discard and index in last
        if is_cut or packet.dts <= last.get(index, packet.dts - 1):
            continue
        last[index] = packet.dts
        shift = round(begin_seconds / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = copies[index]
        yield packet


def _from_rgb(frame: video.Frame, pixel_format: str, color) -> av.VideoFrame:
    pixels = frame.pixels
    names = ("rgb24", "rgb48le")
    if frame.alpha is not None:
        names = ("rgba", "rgba64le")
        pixels = np.concatenate([pixels, frame.alpha[..., None]], -1)
    name = names[pixels.dtype != np.uint8]
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
