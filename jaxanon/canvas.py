"""Faces painted into erased frames, in full batches across frames."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from jaxanon import align, paint, regions
from jaxanon.types import Condition, Crops
from jaxanon.weights import Weights


class Canvas(NamedTuple):
    """A frame whose faces are erased, and what is to be painted where."""

    output: UInt[np.ndarray, "h w 3"]
    """Is painted in place."""
    boxes: Float[np.ndarray, "n 4"]
    """Of the faces."""
    regions: Int[np.ndarray, "n 4"]
    """What is hidden of each; see ``regions.find``."""
    keypoints: Float[np.ndarray, "n k 2"]
    """x y in frame pixels; NaN = not to be used."""
    latents: Sequence[Any] | Float[np.ndarray, "n *z"]
    """One per face: a z or a ``Donor``, without batch axes; None where a second look
    saw no face, and nothing but a fill is to be painted."""
    failed: dict[int, str]
    """Is told which faces could not be painted, and why."""
    sure: Bool[np.ndarray, "n"]
    """Which are faces, by a second look."""


class _Face(NamedTuple):
    """One face of one canvas."""

    canvas: Canvas
    index: int
    erased: Any
    owner: Any
    placement: regions.Placement


def fill(canvases: Sequence[Canvas], weights: Weights, options) -> None:
    """Paints all faces of some frames, in place; a face that fails is told and black.

    Args:
        canvases: Erased frames.
        weights: Of a generator.
        options: See ``pipeline.Options``.
    """
    count = options.batch_size or paint.default_batch_size()
    faces = [face for c in canvases for face in _faces(c, weights.config, options)]
    faceless = [face for face in faces if face.canvas.latents[face.index] is None]
    faces = [face for face in faces if face.canvas.latents[face.index] is not None]
    for face in faceless:
        _fill_in(face, weights.config, options)
    for start in range(0, len(faces), count):
        batch = faces[start : start + count]
        try:
            painted = paint.paint(
                [
                    _crop(face, face.canvas.keypoints[face.index], weights.config)
                    for face in batch
                ],
                [face.canvas.latents[face.index] for face in batch],
                weights,
                batch_size=count,
                match_border=options.match_border,
            )
        except paint.FAILURES as error:
            for face in batch:
                face.canvas.failed[face.index] = f"{type(error).__name__}: {error}"
            continue
        for face, image in zip(batch, painted, strict=True):
            drawn = face.canvas.latents[face.index]
            why = _overlay(face, image, drawn, options.feather)
            if why:
                face.canvas.failed[face.index] = why


def _fill_in(face: "_Face", config: Any, options) -> None:
    """Fills a region in which there is no face from what is around it."""
    crop = _crop(face, face.canvas.keypoints[face.index], config)
    try:
        why = _overlay(face, paint.fill(crop), None, options.feather)
    except paint.FAILURES as error:
        why = f"{type(error).__name__}: {error}"
    if why:
        face.canvas.failed[face.index] = why


def surroundings(canvas: Canvas, index: int, config: Any, options) -> Condition:
    """Cuts out what is visible around one erased face.

    Args:
        canvas: Erased, nothing of it painted yet.
        index: Of the face; its region is not empty.
        config: Of the generator.
        options: See ``pipeline.Options``.
    """
    (face,) = _faces(canvas, config, options, [index])
    return align.condition(_crop(face, canvas.keypoints[index], config))


def _crop(face: "_Face", keypoints, config: Any) -> Crops:
    size = config.resolution
    return paint.crop(face.erased, face.owner, keypoints, face.placement, size=size)


def _faces(
    canvas: Canvas, config: Any, options, todo: Sequence[int] | None = None
) -> Iterator[_Face]:
    height, width = canvas.output.shape[:2]
    if todo is None:
        todo = [int(index) for index in np.flatnonzero(canvas.regions.any(1))]
    if not todo:
        return
    owner = regions.assign(canvas.regions, height, width)
    # The neighbours of a face are painted meanwhile; no crop is to see one.
    erased = canvas.output.copy()
    for i in todo:
        placement = regions.place(
            canvas.boxes[i],
            canvas.regions[i],
            canvas.keypoints[i],
            height,
            width,
            size=config.resolution,
            feather=options.feather,
            context=getattr(config, "context", 0.0),
        )
        yield _Face(canvas, i, erased, owner, placement)


def _overlay(face: _Face, painted, latent, feather: float) -> str | None:
    """Lays one painted face over its frame, or blackens it and says why."""
    if painted is None:
        return "The painted face is not finite."
    output, index, owner = face.canvas.output, face.index, face.owner
    region = face.canvas.regions[index]
    try:
        paint.overlay(
            output,
            owner,
            index,
            painted,
            latent,
            face.placement,
            region,
            feather=feather,
        )
    except paint.FAILURES as error:
        x0, y0, x1, y1 = region
        output[y0:y1, x0:x1][owner[y0:y1, x0:x1] == index] = 0
        return f"{type(error).__name__}: {error}"
    return None
