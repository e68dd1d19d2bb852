"""Decodes the video of an open file, and tells damage that FFmpeg would paper over."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.stream

from jaxanon.errors import MediaError
from jaxanon.media import ebml

# Containers whose length is known from their headers, not guessed from their size.
_TELLS_LENGTH = ("matroska", "mov", "flv", "avi")


@contextmanager
def opened(path: Path):
    """Opens a file, with errors told instead of papered over."""
    with blaming(path):
        container = av.open(
            str(path), options={"err_detect": "explode"}, metadata_errors="replace"
        )
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


def video_stream(container, path: Path):
    """Finds the video of an open file and sets it up to be decoded."""
    for stream in container.streams.video:
        # A cover picture is a video stream too.
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise MediaError(f"{path}: its video is of an unknown codec.")
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"err_detect": "explode"}
            return stream
    raise MediaError(f"{path}: holds no video.")


def frames_of(
    container, stream, *, to_the_end: bool = False
) -> Iterator[av.VideoFrame]:
    """Yields decoded frames and raises for damage, which FFmpeg would paper over.

    Args:
        container: The open file.
        stream: Its video.
        to_the_end: Whether the file is read from its beginning, so that it can be
            told at its end whether something is missing.
    """
    packets, frames, last_seconds = 0, 0, 0.0
    for packet in container.demux():
        if packet.is_corrupt:
            raise MediaError(f"{container.name}: is damaged or ends early.")
        if packet.pts is not None and packet.time_base:
            until = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            last_seconds = max(last_seconds, until)
        if packet.stream is not stream:
            continue
        packets += packet.size > 0
        for frame in packet.decode():
            if frame.is_corrupt:
                raise MediaError(f"{container.name}: frame {frames} is damaged.")
            frames += 1
            yield frame
    if to_the_end:
        _check_whole(container, stream, packets, frames, last_seconds)


def _check_whole(container, stream, packets: int, frames: int, last_seconds: float):
    name, kind = container.name, container.format.name
    rate = stream.average_rate or 25
    promised = end_seconds(container) or 0.0
    if kind == "avi":
        promised = float(stream.frames / rate)
    if not frames or (kind.startswith("mov") and packets < stream.frames):
        raise MediaError(f"{name}: {packets} of {stream.frames} pictures are there.")
    slack = max(0.1, float(2 / rate))
    if kind.startswith(_TELLS_LENGTH) and last_seconds < promised - slack:
        raise MediaError(
            f"{name}: ends after {last_seconds:.2f} s of {promised:.2f} s."
        )
    with open(name, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if kind.startswith("matroska") and size < ebml.promised_bytes(file.read(128)):
            raise MediaError(f"{name}: ends early.")
        file.seek(-1, 2)
        if kind == "gif" and file.read(1) != b";":
            raise MediaError(f"{name}: this GIF ends early.")
        # Whole packets of plain, time-stamped or error-corrected transport streams.
        if kind == "mpegts" and all(size % packet for packet in (188, 192, 204)):
            raise MediaError(f"{name}: this transport stream ends early.")


def end_seconds(container) -> float | None:
    """Says when the file claims to end, on its own clock; None if it doesn't."""
    if container.duration is None:
        return None
    # Matroska and FLV count from 0, the others from their first packet.
    from_zero = container.format.name.startswith(("matroska", "flv"))
    begin = 0 if from_zero else container.start_time or 0
    return (container.duration + begin) / av.time_base
