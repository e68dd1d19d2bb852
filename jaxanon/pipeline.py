"""The inference path in order: detect, erase, align, generate, blend.

The frame is erased first; what follows sees the erased frame only. Frames, boxes and
windows are NumPy on the host; the steps on the device are in ``paint``.

Seeds: one face is a function of its latent, drawn from its own key, and of the erased
frame, the box and the keypoints. It depends neither on how many other faces, frames or
files are done nor on how they are batched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, UInt

from jaxanon import canvas, detect, models, pose, redact, regions, seek
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
    fallback: str | None = None
    """``black`` where painting failed, ``none`` where there was nothing to hide."""
    why: str | None = None
    """The reason of the fallback."""


class Result(NamedTuple):
    """An anonymised frame."""

    frame: np.ndarray
    faces: tuple[FaceReport, ...]


def face_keys(key: jax.Array, n: int) -> list[jax.Array]:
    """Derives the key of each face of a frame from the key of the frame."""
    return [jax.random.fold_in(key, index) for index in range(n)]


def to_device(weights: Weights) -> Weights:
    """Puts the parameters where they are used, once for many frames."""
    params = weights.params
    if jax.default_backend() == "cpu":
        params = models.prepare(weights.kind, params)
    return weights._replace(params=jax.device_put(params))


def anonymize(
    frame: UInt[np.ndarray, "h w 3"],
    weights: Weights | None,
    detector: detect.Detector,
    *,
    key: jax.Array,
    keypointer: Weights | None = None,
    options: Options = DEFAULTS,
) -> UInt[np.ndarray, "h w 3"]:
    """Finds every face of a picture and gives it a new one.

    Args:
        frame: RGB, uint8 or uint16.
        weights: Of a generator; None will do for modes other than ``generate``.
        detector: Takes uint8 frames, returns one ``Detections`` for each.
        key: A typed random key; the same key gives the same faces.
        keypointer: Weights of the keypoint network, for what the detector lacks.
        options: See ``Options``.

    Returns:
        A new frame of the same shape and dtype.

    Raises:
        DetectorError: The detector answered something that is no ``Detections``.
    """
    detections = seek.find_faces(frame, detector, keypointer, score=options.score)
    keys = face_keys(key, len(detections.boxes))
    return run(frame, detections, weights, keys=keys, options=options).frame


def run(
    frame: UInt[np.ndarray, "h w 3"],
    detections: Detections,
    weights: Weights | None,
    *,
    keys: Sequence[jax.Array] | jax.Array | None = None,
    latents: Float[Array, "n *z"] | Float[np.ndarray, "n *z"] | None = None,
    options: Options = DEFAULTS,
) -> Result:
    """Hides the given faces of a frame.

    Args:
        frame: RGB, uint8 or uint16.
        detections: All of them are hidden, whatever their score.
        weights: Of a generator; None will do for modes other than ``generate``.
        keys: One typed random key per face, to draw its latent from.
        latents: One latent per face, instead of keys.
        options: See ``Options``.
    """
    drawn = None
    if options.mode == "generate" and len(detections.boxes):
        if weights is None:
            raise ConfigError("Mode 'generate' needs the weights of a generator.")
        drawn = _latents(keys, latents, len(detections.boxes), weights, options)
    (result,) = run_all([frame], [detections], weights, [drawn], options=options)
    return result


def run_all(
    frames: Sequence[UInt[np.ndarray, "h w 3"]],
    detections: Sequence[Detections],
    weights: Weights | None,
    latents: Sequence[Any],
    *,
    options: Options = DEFAULTS,
) -> list[Result]:
    """Hides the given faces of several frames, which are painted in full batches.

    Args:
        frames: RGB, uint8 or uint16.
        detections: Of each frame.
        weights: Of a generator; None will do for modes other than ``generate``.
        latents: Of each frame, one per face; None in other modes.
        options: See ``Options``.
    """
    turn = models.turn_limit(weights.config) if weights else 0.0
    canvases = [
        _erase(frame, found, drawn, options, turn)
        for frame, found, drawn in zip(frames, detections, latents, strict=True)
    ]
    if options.mode == "generate" and any(len(c.boxes) for c in canvases):
        if weights is None:
            raise ConfigError("Mode 'generate' needs the weights of a generator.")
        canvas.fill(canvases, weights, options)
    elif options.mode in ("blur", "pixelate"):
        hide = getattr(redact, options.mode)
        for frame, erased in zip(frames, canvases, strict=True):
            for x0, y0, x1, y1 in erased.regions[erased.regions.any(1)]:
                erased.output[y0:y1, x0:x1] = hide(frame[y0:y1, x0:x1])
    return [
        Result(erased.output, _report(found, erased.regions, erased.failed, options))
        for erased, found in zip(canvases, detections, strict=True)
    ]


def _erase(
    frame, found: Detections, latents, options: Options, turn: float
) -> canvas.Canvas:
    if frame.dtype not in (np.uint8, np.uint16) or frame.shape[2:] != (3,):
        raise ValueError(
            f"Frame {frame.dtype} {frame.shape} must be uint8 or uint16, [h w 3]."
        )
    where = regions.find(found.boxes, *frame.shape[:2], scale=options.mask_scale)
    return canvas.Canvas(
        output=regions.erase(frame, where),
        boxes=found.boxes,
        regions=where,
        keypoints=_usable_keypoints(found.keypoints, options, turn),
        latents=() if latents is None else latents,
        failed={},
    )


def _latents(keys, latents, n: int, weights, options):
    """Returns one latent per face, given or drawn one by one from its own key."""
    if (keys is None) == (latents is None):
        raise ValueError("Give either keys or latents, one per face.")
    given = latents if keys is None else keys
    if len(given) != n:
        raise ValueError(f"Got {len(given)} keys or latents for {n} faces.")
    if keys is None:
        return latents
    shape = models.latent_shape(weights.config)
    return [
        models.sample_latent(key, 1, shape, truncation=options.truncation)[0]
        for key in keys
    ]


def _usable_keypoints(keypoints, options, turn=0.0) -> np.ndarray:
    usable = np.array([pose.limit_turn(points, turn) for points in keypoints])
    usable = usable.reshape(keypoints.shape)
    if options.keypoints == "pose":
        usable[:, [name not in POSE for name in KEYPOINTS]] = np.nan
    return usable


def _report(detections, found, failed, options) -> tuple[FaceReport, ...]:
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
        if not found[index].any():
            why = "The box is empty or outside the frame."
            report = report._replace(mode="none", fallback="none", why=why)
        elif index in failed:
            why = failed[index]
            report = report._replace(mode="black", fallback="black", why=why)
        reports.append(report)
    return tuple(reports)
