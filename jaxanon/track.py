"""Faces of single frames -> people followed through a video, on the host.

A stream goes in, a stream comes out ``look_ahead`` frames later, and no more than that
is held. Who is who is decided frame by frame: by motion and overlap, sure detections
first, unsure ones only where a track already is. What is hidden is decided with the
frames before and after in view: gaps are filled, the first and the last sighting are
extended, boxes and keypoints smoothed without lag, and every detected box stays covered
by the smoothed one. Nothing passes a cut.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxanon.errors import ConfigError
from jaxanon.ops import boxes, smooth
from jaxanon.types import KEYPOINTS, Detections

SPEED_FRAMES = 5
"""Sightings from which the speed of a face is taken."""

FASTEST = 4
"""Frames over which a lost face is thought to keep its speed."""


@dataclass(frozen=True)
class Settings:
    """How faces are followed; lengths in frames."""

    sure: float = 0.3
    """Each track needs one detection of at least this score."""
    unsure: float = 0.1
    """Detections down to this score are kept where a track supports them."""
    look_ahead: int = 15
    """Frames that are read ahead; 0 = live."""
    longest_gap: int = 15
    """Gaps up to this length are filled; not more than look_ahead."""
    patience: int = 30
    """A face that comes back in its place within this time is the same person."""
    margin: int = 3
    """Frames that are hidden before the first sighting and after the last."""
    sigma: float = 1.5
    """Width of the smoothing; 0 = none."""

    def __post_init__(self):
        """Raises ``ConfigError`` for values that cannot be."""
        if not 0 <= self.unsure <= self.sure <= 1:
            raise ConfigError(
                f"Scores {self.unsure} (unsure) and {self.sure} (sure) must be in "
                "0 to 1, in this order."
            )
        if min(self.look_ahead, self.longest_gap, self.patience, self.margin) < 0:
            raise ConfigError("Numbers of frames must not be negative.")


LIVE = Settings(look_ahead=0, longest_gap=0, margin=10)
"""For a camera: nothing is known of what comes; a lost face is hidden for longer."""


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
    """Smoothed; the score of what was not detected is 0."""
    ids: Int[np.ndarray, "n"]
    """Who it is: the same number through the whole track."""
    boxes: Float[np.ndarray, "n 4"]
    """The boxes as they were detected or filled in, not smoothed."""
    payload: Any = None


class Track(NamedTuple):
    """One person in one shot; the last sightings only."""

    id: int
    best: float
    """The best score so far."""
    shot: tuple[int, int | None]
    """First frame of its shot, and first frame of the next one if it is known."""
    frames: Int[np.ndarray, "m"]
    boxes: Float[np.ndarray, "m 4"]
    scores: Float[np.ndarray, "m"]
    keypoints: Float[np.ndarray, "m k 2"]


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
            tracks = [_end_shot(track, index) for track in tracks]
        if item.detections is not None:
            tracks, next_id = _advance(
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


def _advance(tracks, found: Detections, index, shot, next_id, settings: Settings):
    """Gives the detections of one frame to tracks, and begins new ones."""
    kept = found.scores >= settings.unsure
    found = Detections(*(np.asarray(field, np.float64)[kept] for field in found))
    open_tracks = [
        i
        for i, track in enumerate(tracks)
        if track.shot[1] is None and index - track.frames[-1] <= settings.patience
    ]
    predicted = np.array([predict(tracks[i], index) for i in open_tracks])
    missed = np.array([index - tracks[i].frames[-1] for i in open_tracks])
    likeness = _likeness(predicted.reshape(-1, 4), missed, found.boxes)
    sure = found.scores >= settings.sure
    pairs = match(np.where(sure, likeness, -1))
    taken = {row for row, _ in pairs}
    for row in taken:
        likeness[row] = -1
    # Where nobody is sure, the face must be where its track expects it.
    pairs += match(np.where(sure, -1, likeness - 0.2))
    tracks = list(tracks)
    for row, column in pairs:
        i = open_tracks[row]
        tracks[i] = _extend(tracks[i], index, found, column)
    used = [column for _, column in pairs]
    for column in np.argsort(-found.scores, kind="stable"):
        rivals = boxes.iou(found.boxes[[column]], found.boxes[used])
        # A second box on a face that has been given away begins no new person.
        if column in used or (not sure[column] and (rivals > 0.4).any()):
            continue
        tracks.append(_begin(next_id, index, shot, found, column))
        used.append(int(column))
        next_id += 1
    return tracks, next_id


def match(likeness: Float[np.ndarray, "n m"]) -> list[tuple[int, int]]:
    """Pairs rows with columns, the likest first; below 0 never."""
    likeness = likeness.copy()
    pairs = []
    while likeness.size and likeness.max() >= 0:
        row, column = np.unravel_index(np.argmax(likeness), likeness.shape)
        pairs.append((int(row), int(column)))
        likeness[row], likeness[:, column] = -1, -1
    return pairs


def predict(track: Track, index: int) -> Float[np.ndarray, "4"]:
    """Says where a track's face is expected: as fast as it was, for a short time."""
    last = track.frames[-1]
    steps = min(max(index - last, -FASTEST), FASTEST)
    frames, seen = track.frames[-SPEED_FRAMES:], track.boxes[-SPEED_FRAMES:]
    if len(frames) < 2:
        return track.boxes[-1].copy()
    # Only the motion of the centre is carried on: sizes that run away do harm.
    centre = (seen[:, :2] + seen[:, 2:]) / 2
    speed = (centre[-1] - centre[0]) / (frames[-1] - frames[0])
    return track.boxes[-1] + np.tile(speed * steps, 2)


def _likeness(
    predicted: Float[np.ndarray, "n 4"],
    missed: Int[np.ndarray, "n"] | Float[np.ndarray, "n"],
    found: Float[np.ndarray, "m 4"],
) -> Float[np.ndarray, "n m"]:
    """Overlap plus nearness, 0 to 2; -1 where it can't be the same face."""
    overlap = boxes.iou(predicted, found)
    side = np.sqrt(np.maximum(boxes.area(predicted), 1e-9))[:, None]
    other = np.sqrt(np.maximum(boxes.area(found), 1e-9))[None]
    centres = (b[:, :2] / 2 + b[:, 2:] / 2 for b in (predicted, found))
    first, second = centres
    away = np.linalg.norm(first[:, None] - second[None], axis=-1)
    away = away / np.maximum(side, other)
    reach = np.minimum(0.9 + 0.05 * missed, 1.5)[:, None]
    possible = (away < reach) & (np.abs(np.log(side / other)) < 0.7)
    return np.where(possible, overlap + np.maximum(1 - away / reach, 0), -1.0)


def _begin(number: int, index: int, shot: int, found: Detections, column) -> Track:
    one = [column]
    return Track(
        number,
        float(found.scores[column]),
        (shot, None),
        np.array([index]),
        found.boxes[one],
        found.scores[one],
        found.keypoints[one],
    )


def _extend(track: Track, index: int, found: Detections, column: int) -> Track:
    one = [column]
    return track._replace(
        best=max(track.best, float(found.scores[column])),
        frames=np.append(track.frames, index),
        boxes=np.concatenate([track.boxes, found.boxes[one]]),
        scores=np.append(track.scores, found.scores[one]),
        keypoints=np.concatenate([track.keypoints, found.keypoints[one]]),
    )


def _end_shot(track: Track, index: int) -> Track:
    open_ended = track.shot[1] is None
    return track._replace(shot=(track.shot[0], index)) if open_ended else track


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
    return now <= last + max(settings.patience, settings.margin)


def _emit(tracks, now: int, payload, settings: Settings) -> Followed:
    hidden = []
    for track in tracks:
        if track.best >= settings.sure:
            state = _state(track, now, settings)
            if state is not None:
                hidden.append((track.id, *state))
    hidden.sort(key=lambda face: face[0])
    n = len(hidden)
    ids, smoothed, scores, keypoints, raw = (
        zip(*hidden, strict=True) if hidden else ([], [], [], [], [])
    )
    detections = Detections(
        np.array(smoothed, np.float32).reshape(n, 4),
        np.array(scores, np.float32),
        np.array(keypoints, np.float32).reshape(n, len(KEYPOINTS), 2),
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
    points = smooth.interpolate(track.frames, track.keypoints.reshape(-1, 18), frames)
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
    if away[nearest] > settings.margin:
        return None, None
    return int(firsts[nearest]), int(lasts[nearest])
