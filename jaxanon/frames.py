"""Looks for faces in the frames of a video; what ``hide`` does with them is there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxanon import pipeline, track
from jaxanon.detect import Detector, validate
from jaxanon.detect.json_format import FileDetections
from jaxanon.errors import ConfigError, MediaError
from jaxanon.media import encode, video
from jaxanon.ops import shots
from jaxanon.types import Detections
from jaxanon.weights import Weights

UNSURE = 0.1
"""Detections from this score on are kept where a track supports them."""

SEARCH_EVERY = 10
"""In so many frames the thorough detector looks once, if there is a quicker one."""

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
    look = _looker(info, tools, given, settings.detect_every)
    held: tuple[int, video.Frame, bool] | None = None
    before = None

    def seen(index: int, frame: video.Frame, is_cut: bool, is_last: bool) -> track.Seen:
        at_edge = is_cut or is_last
        found = recall(index, lambda: look(frame, index, at_edge))
        return track.Seen(found, is_cut, frame)

    for index, frame in enumerate(frames):
        small = shots.thumbnail(frame.pixels)
        is_cut = before is not None and shots.is_cut(before, small)
        before = small
        if held is not None:
            yield seen(*held, is_cut)
        held = index, frame, is_cut
        if is_live:
            yield seen(*held, False)
            held = None
    if held is not None:
        yield seen(*held, True)


def _looker(info: video.Info, tools: Tools, given: FileDetections | None, every: int):
    """Makes the function that looks at a frame, unless it is to be passed over."""
    find = _finder(info, tools, given, every)

    def look(frame: video.Frame, index: int, at_edge: bool) -> Detections | None:
        if index % every and not at_edge:
            return None
        return find(frame, index // every, at_edge)

    return look


def _finder(info: video.Info, tools: Tools, given: FileDetections | None, every: int):
    """Makes the function that finds the faces of a frame, unsure ones included.

    It takes a frame, how many were looked at before, and whether it is to look
    thoroughly in any case.
    """
    if given is not None:
        return _lookup(info, given)
    if tools.detector is None:
        raise ValueError("Give a detector or the faces.")
    thorough, keypointer = tools.detector, tools.keypointer
    glance = tools.glance or thorough
    unsure = min(UNSURE, tools.options.score)
    rarely = max(SEARCH_EVERY // every, 1)

    def find(frame: video.Frame, number: int, at_edge: bool) -> Detections:
        pixels = frame.pixels
        plain = pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)
        searches = at_edge or number % rarely == 0
        detector = thorough if searches else glance
        (found,) = validate([plain], detector([plain]))
        found = pipeline.select(found, score=unsure)
        if keypointer is None or not (at_edge or number % COMPLETE_EVERY == 0):
            return found
        return pipeline.complete_keypoints(pixels, found, keypointer)

    return find


def _lookup(info: video.Info, given: FileDetections):
    if given.frames is None:
        raise MediaError("The detections are a picture's.")
    if (given.width, given.height) != (info.width, info.height):
        raise MediaError(
            f"The video is {info.width}x{info.height}, but the detections are of "
            f"{given.width}x{given.height}."
        )
    by_time = {round(f.time_seconds, 4): f.faces for f in given.frames}

    def find(frame: video.Frame, number: int, at_edge: bool) -> Detections:
        del number, at_edge
        seconds = round(float(frame.pts * info.time_base), 4)
        if seconds not in by_time:
            raise MediaError(f"No faces are given for the frame at {seconds} s.")
        return by_time[seconds]

    return find
