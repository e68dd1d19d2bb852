"""From the frames of a video to its anonymised frames: look, follow, paint."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxanon import models, pipeline, track
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

MOST_LATENTS = 256
"""Tracks whose latents are kept at hand; others are drawn again."""


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

    @property
    def span(self) -> encode.Span:
        """The part of the video that is asked for."""
        start, end = self.start or 0.0, self.end
        if self.preview is not None:
            end = min(start + self.preview, np.inf if end is None else end)
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


def see(
    frames: Iterable[video.Frame],
    info: video.Info,
    tools: Tools,
    settings: VideoOptions,
    given: FileDetections | None,
    *,
    is_live: bool = False,
) -> Iterator[track.Seen]:
    """Looks for faces in frames, and for cuts between them.

    Between the frames that are looked at, those on both sides of a cut and the last one
    are, too, and thoroughly: nothing can be filled in across. So a frame is known one
    frame later, except live.
    """
    find = _finder(info, tools, given, settings.detect_every)
    held: tuple[int, video.Frame, bool] | None = None
    before = None
    for index, frame in enumerate(frames):
        small = shots.thumbnail(frame.pixels)
        is_cut = before is not None and shots.is_cut(before, small)
        before = small
        if held is not None:
            yield _seen(*held, is_cut, find, settings.detect_every)
        held = index, frame, is_cut
        if is_live:
            yield _seen(*held, False, find, settings.detect_every)
            held = None
    if held is not None:
        yield _seen(*held, True, find, settings.detect_every)


def _seen(index, frame, is_cut, is_last, find, every: int) -> track.Seen:
    at_edge = is_cut or is_last
    if index % every and not at_edge:
        return track.Seen(None, is_cut, frame)
    return track.Seen(find(frame, index // every, at_edge), is_cut, frame)


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


class Record:
    """Notes down who was seen, when, and what could not be painted."""

    def __init__(self, info: video.Info):
        self.info = info
        self._tracks: dict[int, dict[str, Any]] = {}
        self._failed: dict[int, list[str]] = {}

    def add(self, frame: video.Frame, ids, faces) -> None:
        """Adds the faces of one frame."""
        seconds = round(float(frame.pts * self.info.time_base), 4)
        for number, face in zip(ids.tolist(), faces, strict=True):
            new = {"id": number, "start": seconds, "frames": 0, "score": 0.0}
            entry = self._tracks.setdefault(number, new)
            entry["end"], entry["frames"] = seconds, entry["frames"] + 1
            entry["score"] = max(entry["score"], round(face.score, 4))
            if face.fallback == "black":
                self._failed.setdefault(number, []).append(face.why or "")

    def describe(self) -> list[dict[str, Any]]:
        """Gives one entry per person and shot, ready for JSON."""
        return list(self._tracks.values())

    def notes(self) -> list[str]:
        """Says which faces are black instead of painted."""
        return [
            f"track {number}: black in {len(why)} frame(s): {why[0]}"
            for number, why in self._failed.items()
        ]


def rules(
    info: video.Info, tools: Tools, settings: VideoOptions, *, is_live: bool = False
) -> track.Settings:
    """Says how faces are followed in this video."""
    base = track.LIVE if is_live else track.Settings()
    sure, every = tools.options.score, settings.detect_every
    # What only the thorough detector finds is found once in so many frames.
    search = every * max(SEARCH_EVERY // every, 1)
    return replace(
        base,
        sure=sure,
        unsure=min(UNSURE, sure),
        margin=max(base.margin, search if is_live else (search + 1) // 2),
        look_ahead=base.look_ahead and max(base.look_ahead, search),
        longest_gap=base.longest_gap and max(base.longest_gap, search),
        patience=max(base.patience, search),
        size=(info.height, info.width),
    )


def paint(
    seen: Iterable[track.Seen],
    tools: Tools,
    settings: VideoOptions,
    key: jax.Array,
    record: Record,
    *,
    is_live: bool = False,
) -> Iterator[video.Frame]:
    """Follows the faces and hides them in every frame, one person always alike.

    Args:
        seen: Frames and their faces.
        tools: The generator and how faces are hidden.
        settings: ``identity`` and ``detect_every``.
        key: Of the video.
        record: Is told of every face.
        is_live: Whether nothing may be read ahead.
    """
    settled = rules(record.info, tools, settings, is_live=is_live)
    latents = _Latents(key, tools, is_per_frame=settings.identity == "frame")
    for index, item in enumerate(track.follow(seen, settled)):
        frame = item.payload
        result = pipeline.run(
            frame.pixels,
            item.detections,
            tools.weights,
            latents=latents(item.ids, index),
            options=tools.options,
        )
        record.add(frame, item.ids, result.faces)
        yield frame._replace(pixels=result.frame)


class _Latents:
    """Draws each person's latent from the video's key and the track's number."""

    def __init__(self, key: jax.Array, tools: Tools, *, is_per_frame: bool):
        self._key, self._tools, self._is_per_frame = key, tools, is_per_frame
        self._known: dict[int, Any] = {}

    def __call__(self, ids, index: int) -> np.ndarray | None:
        weights, options = self._tools.weights, self._tools.options
        if weights is None or options.mode != "generate" or not len(ids):
            return None
        if len(self._known) > MOST_LATENTS or self._is_per_frame:
            self._known.clear()
        for number in ids.tolist():
            if number not in self._known:
                key = jax.random.fold_in(self._key, number)
                if self._is_per_frame:
                    key = jax.random.fold_in(key, index)
                shape = models.latent_shape(weights.config)
                z = models.sample_latent(key, 1, shape, truncation=options.truncation)
                self._known[number] = np.asarray(z[0])
        return np.stack([self._known[number] for number in ids.tolist()])
