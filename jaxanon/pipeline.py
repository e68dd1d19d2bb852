"""The inference path in order: detect, erase, align, generate, blend.

The frame is erased first; what follows sees the erased frame only. Frames, boxes and
windows are NumPy on the host; the steps on the device are in ``paint``.

Seeds: the keys of a frame's faces follow from the seed and the erased frame, see
``seeds``. One face is a function of its latent, drawn from its own key, and of the
erased frame, the box and the keypoints; with donors, also of whom the faces before it
in the frame got. It depends neither on other frames or files nor on how they are
batched.
"""

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, UInt

from jaxanon import (
    canvas,
    detect,
    given,
    models,
    paint,
    pose,
    redact,
    regions,
    seeds,
    seek,
)
from jaxanon.donors import choose
from jaxanon.errors import ConfigError
from jaxanon.types import KEYPOINTS, Detections
from jaxanon.weights import Weights

MODES = ("generate", "black", "blur", "pixelate")
POSE = tuple(name for name in KEYPOINTS if not name.endswith(("mouth", "lip")))


def _check_choice(name: str, value, choices) -> None:
    if value not in choices:
        allowed = ", ".join(choices)
        raise ConfigError(f"Option {name} is {value!r}, but must be one of {allowed}.")


def _check_range(name: str, value, low, high) -> None:
    if not low <= value <= high:
        raise ConfigError(f"Option {name} is {value}, but must be in {low} to {high}.")


@dataclass(frozen=True)
class Options:
    """How faces are found and hidden; the command line has the same defaults."""

    mode: str = "generate"
    """One of ``MODES``."""
    score: float = 0.22
    """Detections below this confidence are not faces."""
    mask_scale: float = 1.2
    """Size of the hidden region in sizes of the detected box."""
    keypoints: str = "all"
    """``all``, or ``pose`` to leave out the mouth and with it the expression."""
    truncation: float = 1.0
    """Standard deviation of the latents: less is more ordinary, 0 always the same."""
    face: float = 0.5
    """Probability from which a second look takes what is found for a face; what is
    less sure is hidden by a fill without a face."""
    feather: float = 0.06
    """Width of the blend around a region, in its longer sides."""
    match_border: bool = True
    """Whether colours are shifted to meet the surroundings."""
    batch_size: int | None = None
    """Faces per call of the generator; None = 1 on a CPU, 16 elsewhere."""

    def __post_init__(self):
        """Raises ``ConfigError`` for a value that is not allowed."""
        _check_choice("mode", self.mode, MODES)
        _check_choice("keypoints", self.keypoints, ("all", "pose"))
        _check_range("score", self.score, 0, 1)
        _check_range("mask_scale", self.mask_scale, 1, 4)
        _check_range("face", self.face, 0, 1)
        _check_range("truncation", self.truncation, 0, 4)
        _check_range("feather", self.feather, 0, 1)
        if self.batch_size is not None:
            _check_range("batch_size", self.batch_size, 1, 4096)


DEFAULTS = Options()


class FaceReport(NamedTuple):
    """What was done to one face."""

    box: tuple[float, float, float, float]
    score: float
    keypoints_seen: tuple[str, ...]
    mode: str
    """How it is hidden: one of ``MODES``, or ``none`` for an empty box."""
    donor: str | None = None
    """Who lent the face, by id; None where nobody did."""
    chosen: str | None = None
    """Why, in words."""
    fallback: str | None = None
    """``fill`` where there is likely no face, ``black`` where painting failed, ``none``
    where there was nothing to hide."""
    why: str | None = None
    """The reason of the fallback."""


class Result(NamedTuple):
    """An anonymised frame."""

    frame: np.ndarray
    faces: tuple[FaceReport, ...]


Latent = Any
"""What one face is painted from: a z, or a ``choose.Pick`` of a donor."""

Latents = Sequence[Latent] | Float[Array, "n *z"] | Float[np.ndarray, "n *z"]


def to_device(weights: Weights) -> Weights:
    """Puts the parameters where they are used, once for many frames."""
    params = weights.params
    if models.is_generator(weights.kind) and weights.cast is None:
        weights = weights._replace(cast=_find_cast(weights))
    if jax.default_backend() == "cpu":
        params = models.prepare(weights.kind, params)
    return weights._replace(params=jax.device_put(params))


def anonymize(
    frame: Any,
    weights: Weights | None,
    detector: detect.Detector,
    *,
    key: jax.Array,
    keypointer: Weights | None = None,
    options: Options = DEFAULTS,
) -> UInt[np.ndarray, "h w 3"]:
    """Finds every face of a picture and gives it a new one.

    Args:
        frame: RGB, uint8 or uint16, [h w 3], of NumPy or JAX; or PIL, of mode RGB.
        weights: Of a generator; None will do for modes other than ``generate``.
        detector: Takes uint8 frames, returns one ``Detections`` for each.
        key: A typed random key; the same key gives the same faces.
        keypointer: Weights of the keypoint network, for what the detector lacks.
        options: See ``Options``.

    Returns:
        A new frame of the same shape and dtype, of NumPy.

    Raises:
        TypeError: The frame is something else; the message says what to give.
        DetectorError: The detector answered something that is no ``Detections``.
    """
    frame = given.to_frame(frame)
    detections = seek.find_faces_anywhere(
        frame, None, detector, keypointer, score=options.score
    )
    return run(frame, detections, weights, key=key, options=options).frame


def run(
    frame: UInt[np.ndarray, "h w 3"],
    detections: Detections,
    weights: Weights | None,
    *,
    key: jax.Array | None = None,
    latents: Latents | None = None,
    options: Options = DEFAULTS,
) -> Result:
    """Hides the given faces of a frame.

    Args:
        frame: RGB, uint8 or uint16.
        detections: All of them are hidden, whatever their score.
        weights: Of a generator; None will do for modes other than ``generate``.
        key: To draw the latents from, with what is left of the frame.
        latents: One latent per face, instead of a key.
        options: See ``Options``.
    """
    erased = erase(frame, detections, weights, options)
    n = len(detections.boxes)
    if options.mode == "generate" and n:
        if (key is None) == (latents is None):
            raise ValueError("Give either a key or latents, one per face.")
        if key is not None:
            keys = face_keys(frame_key(key, erased), n)
            latents = draw_latents(erased, keys, weights, options)
        if latents is None or len(latents) != n:
            raise ValueError(f"Got {len(latents or ())} latents for {n} faces.")
    (result,) = run_all(
        [frame], [detections], weights, [latents], [erased], options=options
    )
    return result


def frame_key(key: jax.Array, erased: canvas.Canvas) -> jax.Array:
    """Derives the key of a frame from what is left of it."""
    return seeds.erased_key(key, erased.output)


def face_keys(key: jax.Array, n: int) -> list[jax.Array]:
    """Derives the key of each face of a frame from the key of the frame."""
    return [jax.random.fold_in(key, index) for index in range(n)]


def draw_latents(
    erased: canvas.Canvas,
    keys: Sequence[jax.Array],
    weights: Weights | None,
    options: Options,
    *,
    indices: Sequence[int] | None = None,
    taken: Collection[int] = (),
) -> list[Latent]:
    """Draws what faces of an erased frame are painted from, each from its own key.

    Args:
        erased: The frame.
        keys: One for each face.
        weights: Of a generator.
        options: See ``Options``.
        indices: Of the faces; None = all.
        taken: Donors that other faces of the frame have; nobody appears twice.
    """
    if weights is None:
        raise ConfigError("Mode 'generate' needs the weights of a generator.")
    chosen = range(len(keys)) if indices is None else indices
    if models.latent_kind(weights.config) == "normal":
        shape = models.latent_shape(weights.config)
        truncation = options.truncation
        return [
            np.asarray(models.sample_latent(k, 1, shape, truncation=truncation)[0])
            if erased.sure[index]
            else None
            for k, index in zip(keys, chosen, strict=True)
        ]
    cast, others = _find_cast(weights), set(taken)
    latents: list[Latent] = []
    for key, index in zip(keys, chosen, strict=True):
        if not erased.sure[index]:
            latents.append(None)
            continue
        fit = None
        if cast.matcher is not None and erased.regions[index].any():
            seen = canvas.surroundings(erased, index, weights.config, options)
            fit = functools.partial(paint.fit, cast.matcher, seen)
        points = erased.keypoints[index]
        pick = choose.choose(key, cast, points, fit=fit, taken=others)
        if pick is not None:
            others.add(pick.index)
        latents.append(pick)
    return latents


def run_all(
    frames: Sequence[UInt[np.ndarray, "h w 3"]],
    detections: Sequence[Detections],
    weights: Weights | None,
    latents: Sequence[Any],
    canvases: Sequence[canvas.Canvas],
    *,
    options: Options = DEFAULTS,
) -> list[Result]:
    """Hides the given faces of several frames, which are painted in full batches.

    Args:
        frames: RGB, uint8 or uint16.
        detections: Of each frame.
        weights: Of a generator; None will do for modes other than ``generate``.
        latents: Of each frame, one per face; None in other modes.
        canvases: Of each frame, see ``erase``.
        options: See ``Options``.
    """
    if options.mode == "generate" and any(len(c.boxes) for c in canvases):
        if weights is None:
            raise ConfigError("Mode 'generate' needs the weights of a generator.")
        given = [
            c._replace(latents=_read(drawn, weights))
            for c, drawn in zip(canvases, latents, strict=True)
        ]
        canvas.fill(given, weights, options)
    elif options.mode in ("blur", "pixelate"):
        hide = getattr(redact, options.mode)
        for frame, erased in zip(frames, canvases, strict=True):
            for x0, y0, x1, y1 in erased.regions[erased.regions.any(1)]:
                erased.output[y0:y1, x0:x1] = hide(frame[y0:y1, x0:x1])
    return [
        Result(erased.output, _report(found, erased, drawn, weights, options))
        for erased, found, drawn in zip(canvases, detections, latents, strict=True)
    ]


def erase(
    frame: UInt[np.ndarray, "h w 3"],
    found: Detections,
    weights: Weights | None,
    options: Options,
) -> canvas.Canvas:
    """Erases the faces of a frame: all that later steps may see."""
    if frame.dtype not in (np.uint8, np.uint16) or frame.shape[2:] != (3,):
        raise ValueError(
            f"Frame {frame.dtype} {frame.shape} must be uint8 or uint16, [h w 3]."
        )
    turn = models.turn_limit(weights.config) if weights else 0.0
    where = regions.find(found.boxes, *frame.shape[:2], scale=options.mask_scale)
    return canvas.Canvas(
        output=regions.erase(frame, where),
        boxes=found.boxes,
        regions=where,
        keypoints=_usable_keypoints(found.keypoints, options, turn),
        latents=(),
        failed={},
        sure=detect.complete(found).faces >= options.face,  # type: ignore[operator]
    )


def _find_cast(weights: Weights) -> Any:
    """Returns whom a generator paints from; None where it needs nobody."""
    if weights.cast is not None or models.latent_kind(weights.config) != "donor":
        return weights.cast
    return choose.load_default()


def _read(latents: Latents | None, weights: Weights) -> Sequence[Any]:
    """Turns picks into donors; a z is painted from as it is."""
    if latents is None:
        return ()
    cast = _find_cast(weights)

    def read(item: Latent) -> Any:
        if isinstance(item, choose.Pick):
            return choose.read(cast, item)
        return item if item is None else np.asarray(item)

    return [read(item) for item in latents]


def _usable_keypoints(keypoints, options, turn=0.0) -> np.ndarray:
    usable = np.array([pose.limit_turn(points, turn) for points in keypoints])
    usable = usable.reshape(keypoints.shape)
    if options.keypoints == "pose":
        usable[:, [name not in POSE for name in KEYPOINTS]] = np.nan
    return usable


def _report(detections, erased, latents, weights, options) -> tuple[FaceReport, ...]:
    found, failed = erased.regions, erased.failed
    usable = _usable_keypoints(detections.keypoints, options)
    seen = np.all(np.isfinite(usable), axis=-1)
    reports = []
    for index, box in enumerate(detections.boxes):
        report = FaceReport(
            box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            score=float(detections.scores[index]),
            keypoints_seen=tuple(np.array(KEYPOINTS)[seen[index]].tolist()),
            mode=options.mode,
        )
        drawn = None if latents is None else latents[index]
        if isinstance(drawn, choose.Pick):
            entries = _find_cast(weights).bank.entries
            report = report._replace(donor=entries[drawn.index]["id"], chosen=drawn.why)
        if not found[index].any():
            why = "The box is empty or outside the frame."
            report = report._replace(
                mode="none", fallback="none", why=why, donor=None, chosen=None
            )
        elif options.mode == "generate" and drawn is None:
            why = "Filled from its surroundings: " + (
                "no donor's head is held like that."
                if erased.sure[index]
                else "a second look saw no face."
            )
            report = report._replace(fallback="fill", why=why)
        if index in failed:
            why = failed[index]
            report = report._replace(
                mode="black", fallback="black", why=why, donor=None, chosen=None
            )
        reports.append(report)
    return tuple(reports)
