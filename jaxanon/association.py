"""Who is who from frame to frame: detections are given to tracks.

By motion and overlap: sure detections first, to any track; unsure ones only where a
track expects them. Tracks end at cuts.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxanon.detect.base import take
from jaxanon.errors import ConfigError
from jaxanon.ops import boxes
from jaxanon.types import Detections

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
    search: int = 1
    """In frames of these multiples one looks more thoroughly than between them."""
    at_border: int = 15
    """The same for a face at the border of the frame, which comes or goes in part."""
    size: tuple[int, int] | None = None
    """Height and width of the frames; None = the border is not known."""
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
        if self.search < 1:
            raise ConfigError(f"search is {self.search}, but must be at least 1.")


LIVE = Settings(look_ahead=0, longest_gap=0, margin=10)
"""For a camera: nothing is known of what comes; a lost face is hidden for longer."""


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
    face: float = np.nan
    """The highest probability, of all looks so far, that it is a face; NaN = none."""


def advance(tracks, found: Detections, index, shot, next_id, settings: Settings):
    """Gives the detections of one frame to tracks, and begins new ones.

    Args:
        tracks: All tracks, ended ones too.
        found: In the frame; the scores may be low.
        index: Of the frame.
        shot: Index of the first frame of its shot.
        next_id: Number of the next new track.
        settings: Scores and patience.

    Returns:
        The tracks and the next number.
    """
    kept = found.scores >= settings.unsure
    found = Detections(*(np.asarray(field, np.float64) for field in take(found, kept)))
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
        _judge(np.nan, found, column),
    )


def _extend(track: Track, index: int, found: Detections, column: int) -> Track:
    one = [column]
    return track._replace(
        best=max(track.best, float(found.scores[column])),
        frames=np.append(track.frames, index),
        boxes=np.concatenate([track.boxes, found.boxes[one]]),
        scores=np.append(track.scores, found.scores[one]),
        keypoints=np.concatenate([track.keypoints, found.keypoints[one]]),
        face=_judge(track.face, found, column),
    )


def _judge(before: float, found: Detections, column) -> float:
    """Adds a look to the earlier ones; 1 is none."""
    face = 1.0 if found.faces is None else float(found.faces[column])
    return float(np.fmax(before, face if face < 1 else np.nan))


def end_shot(track: Track, index: int) -> Track:
    """Ends a track's shot, if it is still open, before the frame ``index``."""
    open_ended = track.shot[1] is None
    return track._replace(shot=(track.shot[0], index)) if open_ended else track
