"""Looks for faces in the frames of a video; what ``hide`` does with them is there."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxanon import paint, pipeline, seek, track
from jaxanon.detect import Detector, complete, json_format, take, validate
from jaxanon.detect.json_format import FileDetections
from jaxanon.errors import ConfigError, MediaError
from jaxanon.media import encode, video
from jaxanon.ops import boxes, shots
from jaxanon.types import Detections
from jaxanon.weights import Weights

UNSURE = 0.1
"""Detections from this score on are kept where a track supports them."""

SEARCH_EVERY = 10
"""In so many frames the thorough detector looks once, if there is a quicker one."""

SAME_IOU = 0.5
"""A face that is seen in the colours and in what is transparent is one."""

COMPLETE_EVERY = 3
"""In so many frames the keypoint network looks once; between them it is smooth."""


@dataclass(frozen=True)
class VideoOptions:
    """What only videos have; the command line has the same defaults."""

    audio: str = "drop"
    """``drop``, because a voice tells who is speaking, or ``keep``."""
    start: float | None = None
    """Where to begin, in seconds; None = at the beginning."""
    end: float | None = None
    """Where to end, in seconds; None = at the end."""
    identity: str = "track"
    """``track``: one new face per person and shot; ``frame``: one in every frame."""
    preview: float | None = None
    """Only so many seconds; None = all."""
    codec: str | None = None
    """One of ``media.codecs.CODECS``; None = what the container usually holds."""
    crf: int | None = None
    """The encoder's quality, less is better; None = a good one."""
    detect_every: int = 1
    """Faces are looked for in every so many frames and tracked between."""
    resume: bool = False
    """Whether an interrupted run is kept beside the output, to be gone on with."""

    def __post_init__(self):
        """Raises ``ConfigError`` for a value that is not allowed."""
        if self.audio not in ("drop", "keep"):
            raise ConfigError(f"audio is {self.audio!r}, but must be drop or keep.")
        if self.identity not in ("track", "frame"):
            raise ConfigError(
                f"identity is {self.identity!r}, but must be track or frame."
            )
        if self.detect_every < 1:
            raise ConfigError(f"detect_every is {self.detect_every}, but at least 1.")
        if self.end is not None and self.end <= (self.start or 0):
            raise ConfigError(f"The part ends at {self.end} s, before it starts.")

    def check_live(self) -> None:
        """Raises ``ConfigError`` for what a camera or a pipe cannot have."""
        for name in ("audio", "start", "end", "resume"):
            if getattr(self, name) != getattr(DEFAULTS, name):
                raise ConfigError(f"Live pictures know no --{name}.")

    def span(self, info: video.Info) -> encode.Span:
        """The part of the video that is asked for."""
        start, end = self.start or 0.0, self.end
        if self.preview is not None:
            # Some files begin with sound: what is wanted is so much of the picture.
            last = max(start, info.first_seconds) + self.preview
            end = min(last, np.inf if end is None else end)
        return encode.Span(float(start), None if end is None else float(end))


DEFAULTS = VideoOptions()


class Tools(NamedTuple):
    """What is loaded once for all videos."""

    weights: Weights | None
    detector: Detector | None
    keypointer: Weights | None
    options: pipeline.Options
    glance: Detector | None = None
    """A quicker detector for most frames; see SEARCH_EVERY."""


Recall = Callable[[int, Callable[[], Detections | None]], Detections | None]
"""Gives what was found in a frame, by its index; or finds and remembers it."""


def see(
    frames: Iterable[video.Frame],
    info: video.Info,
    tools: Tools,
    settings: VideoOptions,
    given: FileDetections | None,
    *,
    is_live: bool = False,
    recall: Recall = lambda _, find: find(),
) -> Iterator[track.Seen]:
    """Looks for faces in frames, and for cuts between them.

    Between the frames that are looked at, those on both sides of a cut and the last one
    are, too, and thoroughly: nothing can be filled in across. So a frame is known one
    frame later, except live. What ``recall`` knows is not looked for again.
    """
    find = _finder(info, tools, given, settings.detect_every)
    at_once = tools.options.batch_size or paint.default_batch_size()
    looks = _looks(frames, is_live=is_live)
    while group := list(itertools.islice(looks, 1 if is_live else min(at_once, 8))):
        results: dict[int, Detections | None] = {}
        for number, look in enumerate(group):

            def find_this(look=look, others=group[number:], results=results):
                if not results:  # The first that is not known finds all that follow.
                    results.update((each.index, d) for each, d in find(others))
                return results[look.index]

            found = recall(look.index, find_this)
            yield track.Seen(found, look.is_cut, look.frame)


class _Look(NamedTuple):
    """A frame that may be looked at."""

    index: int
    frame: video.Frame
    is_cut: bool
    """Whether it begins a shot."""
    at_edge: bool
    """Whether it begins or ends one, or the video."""


def _looks(frames: Iterable[video.Frame], *, is_live: bool) -> Iterator[_Look]:
    held, before = None, None
    for index, frame in enumerate(frames):
        small = shots.thumbnail(frame.pixels)
        is_cut = before is not None and shots.is_cut(before, small)
        before = small
        if held is not None:
            yield held._replace(at_edge=held.is_cut or is_cut)
        held = _Look(index, frame, is_cut, is_cut)
        if is_live:
            yield held
            held = None
    if held is not None:
        yield held._replace(at_edge=True)


def _finder(info: video.Info, tools: Tools, given: FileDetections | None, every: int):
    """Makes the function that finds the faces of frames, unsure ones included.

    It yields each look with what it found, None where the frame is passed over.
    """
    if given is not None:
        _check_given(info, given)
        return functools.partial(_look_up, info, given, every)
    if tools.detector is None:
        raise ValueError("Give a detector or the faces.")
    thorough, keypointer = tools.detector, tools.keypointer
    glance = tools.glance or thorough
    unsure = min(UNSURE, tools.options.score)
    rarely = max(SEARCH_EVERY // every, 1)

    def find(looks: Sequence[_Look]) -> Iterator[tuple[_Look, Detections | None]]:
        searched, glanced = [], []
        for look in looks:
            if look.at_edge or look.index % (every * rarely) == 0:
                searched.append(look)
            elif look.index % every == 0:
                glanced.append(look)
            else:
                yield look, None
        for detector, chosen in ((thorough, searched), (glance, glanced)):
            plain = [seek.to_uint8(look.frame.pixels) for look in chosen]
            results = validate(plain, detector(plain)) if plain else []
            for look, found in zip(chosen, results, strict=True):
                found = _join(found, _find_in_alpha(look.frame.alpha, detector))
                yield look, complete(look, seek.select(found, score=unsure))

    def complete(look: _Look, found: Detections) -> Detections:
        is_due = look.at_edge or look.index // every % COMPLETE_EVERY == 0
        if keypointer is None or not is_due:
            return found
        return seek.complete_keypoints(look.frame.pixels, found, keypointer)

    return find


def _find_in_alpha(alpha: np.ndarray | None, detector: Detector) -> Detections | None:
    """Finds faces that are seen in what is transparent, as in a stencil."""
    if alpha is None or alpha.min() == alpha.max():
        return None
    picture = seek.to_uint8(np.repeat(alpha[..., None], 3, -1))
    return validate([picture], detector([picture]))[0]


def _join(found: Detections, more: Detections | None) -> Detections:
    """Adds faces that are not among those found."""
    if more is None:
        return found
    new = np.ones(len(more.boxes), bool)
    if len(found.boxes) and len(more.boxes):
        new = boxes.iou(more.boxes, found.boxes).max(1) < SAME_IOU
    parts: Any = zip(complete(found), take(more, new), strict=True)
    return Detections(*map(np.concatenate, parts))


def _check_given(info: video.Info, given: FileDetections) -> None:
    if given.frames is None:
        raise MediaError("The detections are a picture's.")
    if (given.width, given.height) != (info.width, info.height):
        raise MediaError(
            f"The video is {info.width}x{info.height}, but the detections are of "
            f"{given.width}x{given.height}."
        )
    json_format.check_hides(given, "The detections")


def _look_up(info: video.Info, given: FileDetections, every: int, looks):
    """Does what ``_finder`` promises with faces that are known."""
    by_time = {round(f.time_seconds, 4): f.faces for f in given.frames or ()}
    for look in looks:
        seconds = round(float(look.frame.pts * info.time_base), 4)
        if seconds not in by_time:
            raise MediaError(f"No faces are given for the frame at {seconds} s.")
        is_due = look.at_edge or look.index % every == 0
        yield look, by_time[seconds] if is_due else None
