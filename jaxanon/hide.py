"""Faces seen in the frames of a video -> followed, and hidden in every frame."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxanon import paint as paint_faces
from jaxanon import pipeline, regions, track
from jaxanon.donors import choose
from jaxanon.frames import SEARCH_EVERY, UNSURE, Tools, VideoOptions
from jaxanon.media import video

STEADY_SECONDS, STEADY_FRAMES = 0.08, (1.0, 2.5)
"""Width of the smoothing of boxes and keypoints, and its limits in frames: the painted
face changes with every jump of its crop. See ``benchmarks/video_steadiness.py``."""


class Record:
    """Notes down who was seen, when, and what could not be painted."""

    def __init__(self, info: video.Info):
        self.info = info
        self.is_painted = False
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
            if face.donor:
                entry["donor"], entry["chosen"] = face.donor, face.chosen
            self.is_painted |= face.mode == "generate"
            if face.fallback == "black":
                self._failed.setdefault(number, []).append(face.why or "")

    def describe(self) -> list[dict[str, Any]]:
        """Gives one entry per person and shot, ready for JSON."""
        return list(self._tracks.values())

    def state(self) -> dict[str, Any]:
        """Gives all that is noted down, for JSON and ``restore``."""
        noted = {"tracks": self._tracks, "failed": self._failed}
        return noted | {"is_painted": self.is_painted}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what was noted down before."""
        self.is_painted = state.get("is_painted", False)
        for name, notes in (("tracks", self._tracks), ("failed", self._failed)):
            notes |= {int(number): note for number, note in state.get(name, {}).items()}

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
    sigma = base.sigma
    if not is_live:
        low, high = STEADY_FRAMES
        sigma = min(max(STEADY_SECONDS * float(info.rate), low), high)
    return replace(
        base,
        sigma=sigma,
        sure=sure,
        unsure=min(UNSURE, sure),
        margin=max(base.margin, search if is_live else (search + 1) // 2),
        search=search,
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
    skip: int = 0,
) -> Iterator[video.Frame]:
    """Follows the faces and hides them in every frame, one person always alike.

    Args:
        seen: Frames and their faces.
        tools: The generator and how faces are hidden.
        settings: ``identity`` and ``detect_every``.
        key: Of the video.
        record: Is told of every face.
        is_live: Whether nothing may be read ahead.
        skip: So many frames are followed and not painted, nor yielded.
    """
    settled = rules(record.info, tools, settings, is_live=is_live)
    latents = _Latents(key, tools, is_per_frame=settings.identity == "frame")
    size = 1
    if tools.options.mode == "generate" and not is_live:
        size = tools.options.batch_size or paint_faces.default_batch_size()
    group, faces = [], 0
    for index, item in enumerate(track.follow(seen, settled)):
        frame, found = item.payload.pixels, item.detections
        if index < skip:
            latents.meet(frame, found, item.ids, index)
            continue
        canvas = pipeline.erase(frame, found, tools.weights, tools.options)
        group.append((item, canvas, latents(canvas, item.ids, index)))
        faces += len(item.ids)
        if faces >= size or len(group) >= size:
            yield from _hide(group, tools, record)
            group, faces = [], 0
    yield from _hide(group, tools, record)


def _hide(group, tools: Tools, record: Record) -> Iterator[video.Frame]:
    """Hides the faces of some frames, which are painted together."""
    results = pipeline.run_all(
        [item.payload.pixels for item, _, _ in group],
        [item.detections for item, _, _ in group],
        tools.weights,
        [drawn for _, _, drawn in group],
        [canvas for _, canvas, _ in group],
        options=tools.options,
    )
    for (item, _, _), result in zip(group, results, strict=True):
        record.add(item.payload, item.ids, result.faces)
        yield _show(item, result.frame, tools.options.mask_scale)


def _show(item, pixels: np.ndarray, scale: float) -> video.Frame:
    """Puts hidden faces into a frame; there it is opaque, so that no shape is left."""
    frame = item.payload
    if frame.alpha is None:
        return frame._replace(pixels=pixels)
    alpha = frame.alpha.copy()
    alpha[(pixels != frame.pixels).any(-1)] = np.iinfo(alpha.dtype).max
    for x0, y0, x1, y1 in regions.find(
        item.detections.boxes, *alpha.shape, scale=scale
    ):
        alpha[y0:y1, x0:x1] = np.iinfo(alpha.dtype).max
    # What lies under nothing is nobody's to see.
    return frame._replace(pixels=pixels * (alpha > 0)[..., None], alpha=alpha)


class _Latents:
    """Draws what each person is painted from, at first sight."""

    def __init__(self, key: jax.Array, tools: Tools, *, is_per_frame: bool):
        self._key, self._tools, self._is_per_frame = key, tools, is_per_frame
        self._known: dict[int, Any] = {}

    def __call__(self, erased, ids, index: int) -> list[Any] | None:
        """Returns what the faces of an erased frame are painted from."""
        weights, options = self._tools.weights, self._tools.options
        if weights is None or options.mode != "generate" or not len(ids):
            return None
        if self._is_per_frame:
            self._known.clear()
        numbers = ids.tolist()
        # Who did not look like a face before may do so now.
        new = [
            place
            for place, number in enumerate(numbers)
            if self._known.get(number) is None
            and (erased.sure[place] or number not in self._known)
        ]
        if new:
            key = pipeline.frame_key(self._key, erased)
            if self._is_per_frame:
                key = jax.random.fold_in(key, index)
            drawn = pipeline.draw_latents(
                erased,
                [jax.random.fold_in(key, numbers[place]) for place in new],
                weights,
                options,
                indices=new,
                taken=self._taken(numbers),
            )
            self._known |= {numbers[p]: d for p, d in zip(new, drawn, strict=True)}
        return [self._known[number] for number in numbers]

    def _taken(self, numbers: list[int]) -> set[int]:
        """Collects the donors that people in a frame have."""
        known = (self._known.get(number) for number in numbers)
        return {pick.index for pick in known if isinstance(pick, choose.Pick)}

    def meet(self, frame, found, ids, index: int) -> None:
        """Draws for those of a frame that is not painted; see ``__call__``."""
        if not self._is_per_frame and any(n not in self._known for n in ids.tolist()):
            weights, options = self._tools.weights, self._tools.options
            self(pipeline.erase(frame, found, weights, options), ids, index)
