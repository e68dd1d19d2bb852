"""Embeds faces with a recognition network that the user gives as an ONNX file.

The network must take ``[b 3 112 112]`` RGB, aligned by five points to the template that
ArcFace's networks are trained with, and give ``[b d]``. None is shipped, and nothing in
this library is trained against one: it is a measuring instrument.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num, UInt8

from jaxanon.errors import WeightsError
from jaxanon.types import KEYPOINTS

SIZE = 112
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
# ArcFace's template counts pixel centres at whole numbers; ours are at i + .5.
TEMPLATE = 0.5 + np.array(
    [
        [73.5318, 51.5014],
        [38.2946, 51.6963],
        [56.0252, 71.7366],
        [70.7299, 92.2041],
        [41.5493, 92.3655],
    ]
)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

Embedder = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]
"""(images uint8 [h w 3], keypoints [n 9 2]) -> unit vectors [n d], NaN = no face."""


def load(
    path: str | Path,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    deviation: Sequence[float] = IMAGENET_DEVIATION,
    batch: int = 32,
) -> Embedder:
    """Loads a network.

    Args:
        path: of the ONNX file.
        mean: of the pixels / 255, per channel; what the network was trained with.
        deviation: the same.
        batch: faces that are run at once.

    Raises:
        WeightsError: there is no such file, or it is no network of this kind.
    """
    import onnxruntime

    if not Path(path).is_file():
        raise WeightsError(f"No embedding network {path}.")
    try:
        session = onnxruntime.InferenceSession(
            str(path), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no common parent.
        raise WeightsError(f"Cannot load embedding network {path}: {error}") from error
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    if list(shape[1:]) != [3, SIZE, SIZE]:
        raise WeightsError(
            f"Embedding network {path} takes {shape}, wanted [b, 3, {SIZE}, {SIZE}]."
        )
    # A network that was exported for one face takes them one by one.
    size = 1 if shape[0] == 1 else batch

    def run(faces: np.ndarray) -> np.ndarray:
        inputs = (faces / 255 - np.asarray(mean)) / np.asarray(deviation)
        inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2), np.float32)
        parts = np.split(inputs, range(size, len(inputs), size))
        outputs = [np.asarray(session.run(None, {name: part})[0]) for part in parts]
        return np.concatenate(outputs)

    return make(run)


def make(run: Callable[[np.ndarray], np.ndarray]) -> Embedder:
    """Makes an embedder of any function from aligned faces to features.

    Args:
        run: float32 ``[b 112 112 3]`` in [0, 255] -> ``[b d]``.
    """

    def embed(images: Sequence[np.ndarray], keypoints: np.ndarray) -> np.ndarray:
        faces, seen = [], []
        for image, points in zip(images, keypoints, strict=True):
            face = align(image, points)
            seen.append(face is not None)
            if face is not None:
                faces.append(face)
        if not faces:
            raise ValueError("None of the faces has three of the five points.")
        aligned = np.stack(faces)
        # A face and its mirror are one person: the sum is a little surer.
        total = run(aligned) + run(np.ascontiguousarray(aligned[:, :, ::-1]))
        unit = total / np.linalg.norm(total, axis=1, keepdims=True)
        result = np.full((len(seen), unit.shape[1]), np.nan, np.float32)
        result[np.array(seen)] = unit
        return result

    return embed


def align(
    image: UInt8[np.ndarray, "h w 3"], keypoints: Num[np.ndarray, "k 2"]
) -> Float[np.ndarray, "112 112 3"] | None:
    """Turns, scales and cuts a face to the template; None if three points are missing.

    Args:
        image: RGB uint8.
        keypoints: x y in pixels, in KEYPOINTS order, NaN = not seen.

    Returns:
        float32 in [0, 255]; black outside the image.
    """
    points = keypoints[[KEYPOINTS.index(name) for name in POINTS]]
    seen = np.isfinite(points).all(1)
    if seen.sum() < 3:
        return None
    to_image = fit_similarity(TEMPLATE[seen], points[seen].astype(np.float64))
    scale = np.sqrt(np.abs(np.linalg.det(to_image[:, :2])))
    finer = max(1, int(np.ceil(scale - 1e-3)))  # Points per pixel, so as not to alias.
    side = SIZE * finer
    centres = (np.arange(side) + 0.5) / finer
    x, y = np.meshgrid(centres, centres)
    grid = np.stack([x, y], -1) @ to_image[:, :2].T + to_image[:, 2]
    fine = _bilinear(image, grid)
    return fine.reshape(SIZE, finer, SIZE, finer, 3).mean((1, 3)).astype(np.float32)


def fit_similarity(
    source: Float[np.ndarray, "n 2"], target: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "2 3"]:
    """Finds the turn, scale and shift that bring source closest to target.

    Written as one complex number a with target = a source + b: least squares, and never
    a mirror image.
    """
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    centred = z - z.mean()
    spread = np.sum(np.abs(centred) ** 2)
    if spread == 0:
        raise ValueError("A similarity needs at least two different points.")
    a = np.sum(np.conj(centred) * (w - w.mean())) / spread
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _bilinear(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0))).astype(np.float32)
    # One row of black all around: whole pixel i is at i + 1 of the padded image.
    x = (points[..., 0] + 0.5).clip(0, width + 1)
    y = (points[..., 1] + 0.5).clip(0, height + 1)
    left = np.minimum(x.astype(np.int64), width)
    top = np.minimum(y.astype(np.int64), height)
    right, down = (x - left)[..., None], (y - top)[..., None]
    above = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    below = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    return above * (1 - down) + below * down
