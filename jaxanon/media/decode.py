"""Decodes the film of an open file, and tells damage that FFmpeg would paper over."""

import collections
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.codec
import av.format
import av.stream

from jaxanon.errors import MediaError
from jaxanon.media import ebml, shown

# Containers whose length is known from their headers, not guessed from their size.
_TELLS_LENGTH = ("matroska", "mov", "flv", "avi")

# What holds pictures itself: a playlist would have other files opened.
_FORMATS = (
    "matroska,webm,mov,mp4,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,mxf,dv,h264,"
    "hevc,vvc,obu,ivf,nut,rm,yuv4mpegpipe,wtv,vc1,h263,swf,gxf,mpegtsraw,live_flv,av1,"
    "mjpeg,cavsvideo,dirac,dnxhd,amv,nsv,pva,lxf,roq,smk,bink,ea,flic,apng"
)

_BACK_SECONDS, _FORTH_SECONDS = Fraction(1, 10), 10
"""A recorder's clock that leaps farther begins again, as FFmpeg's players take it."""

_BACK_ANYWHERE_SECONDS = 1
"""Other clocks may be told in a wrong order, and do not leap forward."""

_MAY_LEAP = av.format.Flags.ts_discont.value

_RUN_UP_SECONDS, _RUN_UP_KEYS = 2, 3
"""How long before the part that is asked for decoding begins, and how many key frames:
pictures right after a key frame may need those before it."""


class Film:
    """The video of an open file."""

    def __init__(self, path: Path, container: Any, stream: Any, others: list[str]):
        self.path, self.container, self.stream = path, container, stream
        self.others = others
        """The file's other videos, in words."""
        self.kind: str = container.format.name
        self.number = [s for s in container.streams.video if not is_cover(s)].index(
            stream
        )
        """Which of the file's videos it is."""
        self.promised_seconds = None
        """When the file ends, on its clock, if its headers say."""
        # An MP4's says when each picture ends, and all that are there.
        has_index = self.kind.startswith("mov") and stream.frames
        if self.kind.startswith(_TELLS_LENGTH) and not has_index:
            self.promised_seconds = end_seconds(container)
        if self.kind == "avi":
            self.promised_seconds = float(stream.frames / (stream.average_rate or 25))
        self.until_seconds = 0.0
        """When what has been read ends, on the file's clock; sound counts too."""
        self.decode = _decoder(stream)


@contextmanager
def opened(path: Path):
    """Opens a file, with errors told instead of papered over."""
    options = {"err_detect": "explode"}
    safety = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    with blaming(path):
        if is_text(path):
            raise MediaError(f"{path}: is a text, as a playlist is, and no video.")
        # A whole path is no address, though there may be a colon in its name.
        whole = f"file:{path.absolute()}"
        container = av.open(
            whole,
            options=options,
            container_options=safety,
            metadata_errors="replace",
        )
    with container:
        yield container


@contextmanager
def opened_film(path: Path) -> Iterator[Film]:
    """Opens a file and finds its film, the longest moving picture."""
    with opened(path) as container, blaming(path):
        streams = [s for s in container.streams.video if not is_cover(s)]
        stream = choose(streams, _measure(path) if len(streams) > 1 else {}, path)
        others = [_describe(other) for other in streams if other is not stream]
        yield Film(path, container, stream, others)


@contextmanager
def blaming(path: Path, what: str = "read"):
    """Turns what FFmpeg and the system say into an error that names the file."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path}: cannot be {what}: {reason}.") from error


def is_text(path: Path) -> bool:
    """Says whether a file begins as a text does, which no video does."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    return bool(start) and not start.translate(None, _TEXT)


_TEXT = bytes({9, 10, 12, 13, *range(32, 127), *range(128, 256)})


def is_cover(stream) -> bool:
    """Says whether a video stream is a picture beside the film."""
    kinds = av.stream.Disposition
    aside = kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image
    return bool(stream.disposition & aside)


def _measure(path: Path) -> dict[int, tuple[int, float]]:
    """Counts the pictures of each video, and the seconds from first to last."""
    counts, first, last = collections.Counter(), {}, {}
    with opened(path) as container:
        streams = tuple(s for s in container.streams.video if not is_cover(s))
        for packet in container.demux(streams):
            time = packet.pts if packet.pts is not None else packet.dts
            if not packet.size or packet.is_discard or time is None:
                continue
            index, seconds = packet.stream.index, float(time * packet.time_base)
            counts[index] += 1
            first[index] = min(first.get(index, seconds), seconds)
            last[index] = max(last.get(index, seconds), seconds)
    return {i: (count, last[i] - first[i]) for i, count in counts.items()}


def choose(streams, measured: dict[int, tuple[int, float]], path: Path):
    """Chooses the film: the longest, of equally long ones the one with more pictures.

    Args:
        streams: What moves, perhaps.
        measured: Pictures and seconds of each by its index, if there are several.
        path: The file.
    """
    if not streams:
        raise MediaError(f"{path}: holds no video.")

    def merit(stream):
        count, seconds = measured.get(stream.index, (0, 0.0))
        context = stream.codec_context
        area = context.width * context.height if context else 0
        is_default = bool(stream.disposition & av.stream.Disposition.default)
        moves, is_long = count > 1, seconds >= 0.9 * longest
        is_rich = is_long and count >= 0.5 * richest
        return moves, is_long, is_rich, area, is_default, -stream.index

    longest = max((seconds for _, seconds in measured.values()), default=0.0)
    richest = max(
        (count for count, s in measured.values() if s >= 0.9 * longest), default=0
    )
    stream = max(streams, key=merit)
    if stream.codec_context is None:
        raise MediaError(f"{path}: its video is of a kind that cannot be decoded.")
    return stream


def _describe(stream) -> str:
    context = stream.codec_context
    if context is None:
        return f"track {stream.index} (unknown)"
    return f"track {stream.index} ({context.name}, {context.width}x{context.height})"


def _decoder(stream):
    """Sets up what decodes a stream; VP8 and VP9 know of transparency by one only."""
    context, decode = stream.codec_context, None
    if stream.metadata.get("alpha_mode", "0") != "0" and context.name in ("vp8", "vp9"):
        name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[context.name]
        knowing: Any = av.codec.CodecContext.create(name, "r")
        knowing.color_primaries = context.color_primaries
        knowing.color_trc = context.color_trc
        context, decode = knowing, knowing.decode
    context.thread_type = "AUTO"
    context.options = {"err_detect": "explode"}
    return decode or (lambda packet: packet.decode())


def frames_of(
    film: Film, *, begin_seconds: float | None = None, to_the_end: bool = True
) -> Iterator[av.VideoFrame]:
    """Yields decoded frames and raises for damage, which FFmpeg would paper over.

    Args:
        film: The open file's.
        begin_seconds: Frames long before may be left out; None = none is. What needs
            one of those raises as damage does.
        to_the_end: Whether it is told at the end if something is missing.
    """
    packets, frames = 0, 0
    slots: list[int] | None = [] if film.kind == "avi" else None
    coming = _decodable(film)
    if begin_seconds is not None and slots is None:
        coming = _run_up(film, coming, begin_seconds)
    for packet in coming:
        packets += packet.size > 0
        if slots is not None and packet.dts is not None and not packet.is_discard:
            heapq.heappush(slots, packet.dts)
        for frame in film.decode(packet):
            if frame.is_corrupt:
                raise MediaError(f"{film.path}: frame {frames} is damaged.")
            if slots:
                # AVI knows when a picture is decoded, not when it is shown: the next
                # one that is shown has the earliest time that is left.
                frame.pts = heapq.heappop(slots)
            frames += 1
            yield frame
    if to_the_end and begin_seconds is None:
        _check_whole(film, packets, frames)


def _decodable(film: Film) -> Iterator[Any]:
    """Yields the film's packets from the first on that needs none before it."""
    key = None
    is_stream = film.kind in ("mpegts", "mpeg")  # Recorded from any moment on.
    for packet in on_one_clock(film):
        if packet.stream is not film.stream:
            continue
        if is_stream and packet.size:
            if packet.is_keyframe:
                key = packet.pts
            elif key is None:
                continue
        yield packet


def on_one_clock(film: Film) -> Iterator[Any]:
    """Yields packets of film and sound on one clock.

    Where the file's own begins again or wraps, as it does where recordings were joined,
    it goes on.
    """
    container, offset, joints = film.container, Fraction(0), _Joints(film)
    due: dict[int, Fraction] = {}
    may_leap = bool(container.format.flags & _MAY_LEAP)
    back = _BACK_SECONDS if may_leap else _BACK_ANYWHERE_SECONDS
    heard = {film.stream.index, *(s.index for s in container.streams.audio)}
    for packet in container.demux():
        # A flush at the end has no number of its own.
        index, base = packet.stream.index, packet.time_base
        if index not in heard:
            continue
        if packet.dts is not None and base:
            time, latest = packet.dts * base + offset, max(due.values(), default=None)
            goes_back = index in due and time < due[index] - back
            leaps = may_leap and latest is not None and time > latest + _FORTH_SECONDS
            if goes_back or leaps:
                assert latest is not None
                offset += due.get(index, latest) - time
            shift, length = round(offset / base), packet.duration or 0
            packet.dts += shift
            packet.pts = None if packet.pts is None else packet.pts + shift
            due[index] = (packet.dts + length) * base
            if packet.pts is not None and not packet.is_discard:
                until = float((packet.pts + length) * base)
                film.until_seconds = max(film.until_seconds, until)
        joints.check(packet, offset)
        yield packet
    joints.check_end()


class _Joints:
    """Tells joined recordings from damage.

    FFmpeg suspects what comes before a break in the count of a transport stream's
    packets. Where recordings were joined, the break is between two pictures, the second
    is a key frame, and the clock or the tables begin anew.
    """

    def __init__(self, film: Film):
        self._film = film
        self._left, self._is_sound_in_doubt = 0, False
        self._steady, self._place = Fraction(0), None

    def check(self, packet, offset: Fraction) -> None:
        """Looks at the next packet; the offset is that of the clock."""
        film, is_film = self._film, packet.stream is self._film.stream
        if is_film and packet.size:
            is_new = packet.is_keyframe and (self._left or self._is_sound_in_doubt)
            if is_new and (offset != self._steady or self._begins_anew()):
                self._left, self._is_sound_in_doubt = 0, False
            elif self._left:
                # The suspect, or the one before it, is the last before the key frame.
                self._left -= 1
                if not self._left:
                    self._raise()
            elif is_new:
                self._raise()
            if not self._left:
                self._steady = offset
            self._place = packet.pos
        if packet.is_corrupt or (self._left and is_film and packet.size):
            is_sought = film.kind == "mpegts" and film.path.is_file()
            if not is_sought or _lacks_something(film.path, packet.pos):
                self._raise()
            if is_film and packet.is_corrupt:
                self._left = 2
            elif not is_film and offset == 0:
                self._is_sound_in_doubt = True

    def check_end(self) -> None:
        """Raises if it ends in doubt."""
        if self._left or self._is_sound_in_doubt:
            self._raise()

    def _begins_anew(self) -> bool:
        return _tables_begin_anew(self._film.path, self._place)

    def _raise(self):
        raise MediaError(f"{self._film.path}: is damaged or ends early.")


def _heads(file, place: int | None) -> Iterator[bytes]:
    """Yields the first bytes of a transport stream's packets from a place on."""

    def head(place: int) -> bytes:
        file.seek(place)
        return file.read(4)

    if place is None:
        return
    for step, before in (188, 0), (192, 4), (192, 0), (204, 0):
        # Time stamps go before a packet, and its place may be theirs.
        at = place + before
        if head(at)[:1] == head(at + step)[:1] == b"G":
            while len(found := head(at)) == 4:
                yield found
                at += step
            return


def _name(head: bytes) -> int:
    return (head[1] & 31) << 8 | head[2]


def _lacks_something(path: Path, place: int | None) -> bool:
    """Says whether a picture or sound of a transport stream lost some of itself."""
    with path.open("rb") as file:
        heads = _heads(file, place)
        first = next(heads, None)
        if first is None:
            return True
        count = first[3]
        for head in heads:
            if head[0] != first[0]:
                return True
            if _name(head) != _name(first) or not head[3] & 16:
                continue
            if head[1] & 64:  # The next one begins.
                return False
            if (head[3] - count) % 16 > 1:
                return True
            count = head[3]
    return False


def _tables_begin_anew(path: Path, place: int | None) -> bool:
    """Says whether a transport stream's two tables are counted from 0 there."""
    with path.open("rb") as file:
        forwards = itertools.pairwise(_heads(file, place))
        after = next(((t, m) for t, m in forwards if not _name(t)), ())
        return len(after) == 2 and all(head[3] & 15 == 0 for head in after)


def _run_up(film: Film, coming, begin_seconds: float) -> Iterator[Any]:
    """Leaves out the packets that are long before the part that is asked for."""
    base = film.stream.time_base
    begin, enough = begin_seconds / base, (begin_seconds - _RUN_UP_SECONDS) / base
    kept, last = collections.deque([[]]), None
    for last in coming:
        if last.is_keyframe:
            kept.append([])
        # Pictures that follow the last key frame here may be shown before the part.
        if last.dts is None or last.dts >= begin:
            break
        kept[-1].append(last)
        while len(kept) > _RUN_UP_KEYS and kept[1] and kept[1][0].dts <= enough:
            kept.popleft()
    yield from itertools.chain.from_iterable(kept)
    if last is not None:
        yield last
    yield from coming


def _check_whole(film: Film, packets: int, frames: int):
    stream, kind = film.stream, film.kind
    rate = stream.average_rate or 25
    promised = film.promised_seconds or 0.0
    # An edit list may leave out pictures; the index has those that are left.
    due = stream.frames
    if kind.startswith("mov") and 0 < len(stream.index_entries) < due:
        due = len(stream.index_entries)
    if not frames or (kind.startswith("mov") and packets < due):
        raise MediaError(f"{film.path}: {packets} of {due} pictures are there.")
    slack = max(0.1, float(2 / rate))
    is_short = film.until_seconds < promised - slack
    # A last picture that is held has an end and no data.
    if (
        kind.startswith(_TELLS_LENGTH)
        and is_short
        and not shown.is_whole(film.path, kind)
    ):
        raise MediaError(
            f"{film.path}: ends after {film.until_seconds:.2f} s of {promised:.2f} s."
        )
    with film.path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if kind.startswith("matroska") and size < ebml.promised_bytes(file.read(128)):
            raise MediaError(f"{film.path}: ends early.")
        file.seek(-1, 2)
        if kind == "gif" and file.read(1) != b";":
            raise MediaError(f"{film.path}: this GIF ends early.")
        # Whole packets of plain, time-stamped or error-corrected transport streams.
        if kind == "mpegts" and all(size % packet for packet in (188, 192, 204)):
            raise MediaError(f"{film.path}: this transport stream ends early.")


def end_seconds(container) -> float | None:
    """Says when the file claims to end, on its own clock; None if it doesn't."""
    if container.duration is None:
        return None
    # Matroska and FLV count from 0, the others from their first packet.
    from_zero = container.format.name.startswith(("matroska", "flv"))
    begin = 0 if from_zero else container.start_time or 0
    return (container.duration + begin) / av.time_base
