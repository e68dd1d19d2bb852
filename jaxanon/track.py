"""Faces of single frames -> people followed through a video, on the host.

A stream goes in, a stream comes out ``look_ahead`` frames later, and no more than that
is held. Who is who is decided in ``association``; what is hidden is decided here, with
the frames before and after in view: gaps are filled, the first and the last sighting
are extended, boxes and keypoints smoothed without lag, and every detected box stays
covered by the smoothed one. Nothing passes a cut.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxanon import association
from jaxanon.association import FASTEST, SPEED_FRAMES, Track
from jaxanon.association import LIVE as LIVE
from jaxanon.association import Settings as Settings
from jaxanon.ops import boxes, smooth
from jaxanon.types import KEYPOINTS, Detections


class Seen(NamedTuple):
    """What was found in a frame."""

    detections: Detections | None
    """None = this frame was not looked at."""
    is_cut: bool = False
    """Whether the frame begins a new shot."""
    payload: Any = None
    """Handed through, for example the frame itself."""


class Followed(NamedTuple):
    """What is hidden in a frame."""

    detections: Detections
    """Smoothed; the score of what was not detected is 0. A face keeps its highest
    probability, so that one good look is enough."""
    ids: Int[np.ndarray, "n"]
    """Who it is: the same number through the whole track."""
    boxes: Float[np.ndarray, "n 4"]
    """The boxes as they were detected or filled in, not smoothed."""
    payload: Any = None


def follow(
    seen: Iterable[Seen],
    settings: Settings = Settings(),  # noqa: B008 (frozen)
) -> Iterator[Followed]:
    """Yields for each frame, in order, what is to be hidden and who it is."""
    tracks: list[Track] = []
    waiting: deque[Any] = deque()
    index, next_id, shot = -1, 0, 0
    for index, item in enumerate(seen):
        waiting.append(item.payload)
        if item.is_cut:
            shot = index
            tracks = [association.end_shot(track, index) for track in tracks]
        if item.detections is not None:
            tracks, next_id = association.advance(
                tracks, item.detections, index, shot, next_id, settings
            )
        if len(waiting) > settings.look_ahead:
            now = index - settings.look_ahead
            yield _emit(tracks, now, waiting.popleft(), settings)
            tracks = [_forget(t, now, settings) for t in tracks]
            tracks = [t for t in tracks if _matters(t, now, settings)]
    while waiting:
        now = index - len(waiting) + 1
        yield _emit(tracks, now, waiting.popleft(), settings)


def _forget(track: Track, now: int, settings: Settings) -> Track:
    """Drops the sightings that no later frame can need."""
    reach = 2 * smooth.radius(settings.sigma) + settings.longest_gap + SPEED_FRAMES
    first = np.searchsorted(track.frames, now - reach)
    first = min(int(first), len(track.frames) - SPEED_FRAMES)
    if first <= 0:
        return track
    histories = track.frames, track.boxes, track.scores, track.keypoints
    frames, kept, scores, keypoints = (history[first:] for history in histories)
    return track._replace(frames=frames, boxes=kept, scores=scores, keypoints=keypoints)


def _matters(track: Track, now: int, settings: Settings) -> bool:
    """Whether a track can still be seen again or hide something."""
    last = int(track.frames[-1])
    if track.shot[1] is not None and track.shot[1] <= now + 1:
        return False
    reach = max(settings.patience, settings.margin, settings.at_border, settings.search)
    return now <= last + reach


def _emit(tracks, now: int, payload, settings: Settings) -> Followed:
    hidden = []
    for track in tracks:
        if track.best >= settings.sure:
            state = _state(track, now, settings)
            if state is not None:
                hidden.append((track.id, track.face, *state))
    hidden.sort(key=lambda face: face[0])
    n = len(hidden)
    ids, faces, smoothed, scores, keypoints, raw = (
        zip(*hidden, strict=True) if hidden else ([], [], [], [], [], [])
    )
    detections = Detections(
        np.array(smoothed, np.float32).reshape(n, 4),
        np.array(scores, np.float32),
        np.array(keypoints, np.float32).reshape(n, len(KEYPOINTS), 2),
        np.nan_to_num(np.array(faces, np.float32), nan=1.0),
    )
    plain = np.array(raw, np.float64).reshape(n, 4)
    return Followed(detections, np.array(ids, np.int64), plain, payload)


def _state(track: Track, now: int, settings: Settings):
    """Box, score, keypoints and unsmoothed box of a face in a frame, or None."""
    begin, end = _run(track, now, settings)
    if begin is None or end is None:
        return None
    inner = min(max(now, begin), end)
    radius = smooth.radius(settings.sigma)
    first, last = max(begin, inner - 2 * radius), min(end, inner + 2 * radius)
    frames = np.arange(first, last + 1)
    raw = smooth.interpolate(track.frames, track.boxes, frames)
    flat = track.keypoints.reshape(len(track.frames), -1)
    points = smooth.interpolate(track.frames, flat, frames)
    at = inner - first
    smoothed = smooth.regress(raw, settings.sigma)
    box = smooth.cover(raw, smoothed, radius)[at]
    keypoints = smooth.regress(points, settings.sigma)[at].reshape(-1, 2)
    seen = track.frames == now
    score = float(track.scores[seen][0]) if seen.any() else 0.0
    beyond = now - inner
    if beyond == 0:
        return box, score, keypoints, raw[at]
    return _beyond(track, box, keypoints, raw[at], now, inner)


def _beyond(track: Track, box, keypoints, raw, now: int, inner: int):
    """Carries a face on, before its first sighting or after its last."""
    near = track.frames[np.argsort(np.abs(track.frames - inner))[:SPEED_FRAMES]]
    low, high = near.min(), near.max()
    speed = np.zeros(2)
    if high > low:
        ends = smooth.interpolate(track.frames, track.boxes, np.array([low, high]))
        centre = (ends[:, :2] + ends[:, 2:]) / 2
        speed = (centre[1] - centre[0]) / (high - low)
    steps = now - inner
    moved = speed * min(max(steps, -FASTEST), FASTEST)
    # Nobody knows exactly where it is, so that more is hidden.
    wider = 1 + 0.06 * min(abs(steps), 5)
    box = boxes.scale(box + np.tile(moved, 2), wider)
    return box, 0.0, keypoints + moved, boxes.scale(raw + np.tile(moved, 2), 1.0)


def _run(track: Track, now: int, settings: Settings):
    """First and last frame of the unbroken sighting that hides the face now."""
    start, stop = track.shot
    if now < start or (stop is not None and now >= stop):
        return None, None
    breaks = np.flatnonzero(np.diff(track.frames) > settings.longest_gap + 1)
    firsts = track.frames[np.concatenate([[0], breaks + 1])]
    lasts = track.frames[np.concatenate([breaks, [len(track.frames) - 1]])]
    away = np.maximum(np.maximum(firsts - now, now - lasts), 0)
    nearest = int(np.argmin(away))
    begin, end = int(firsts[nearest]), int(lasts[nearest])
    margin, edge = settings.margin, begin if now < begin else end
    if edge % settings.search == 0:
        # Perhaps seen only because one looked well, and there ever since, or until,
        # one did so before or after.
        margin = max(margin, settings.search - 1)
    if _is_at_border(track, edge, settings):
        margin = max(margin, settings.at_border)
    return (begin, end) if away[nearest] <= margin else (None, None)


def _is_at_border(track: Track, frame: int, settings: Settings) -> bool:
    """Whether a face was cut off by the border, or nearly so."""
    if settings.size is None:
        return False
    box = track.boxes[int(np.searchsorted(track.frames, frame))]
    near = 0.15 * (box[2:] - box[:2])
    height, width = settings.size
    beyond = box[2:] + near >= (width, height)
    return bool((box[:2] - near <= 0).any() or beyond.any())
