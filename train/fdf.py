"""Reads the on-disk layout of the FDF and FDF256 data sets.

::

    images/<size>/<id>.png          or .webp; FDF256: images/<id>.png
    bounding_box/<size>.torch       or .npy; FDF256: bounding_box.npy; pixels
    landmarks.npy                   flat or [N 7 2], x y in crop sides
    mouth.npy                       optional [N 2 2], left and right corner
    lips.npy                        optional [N 2 2], upper and lower lip; NaN = unknown
    keypoint_scores.npy             optional [N 7]
    fdf_metainfo.json               optional, by id: licence and more
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxanon import torch_pickle
from jaxanon.errors import ConfigError, MediaError, WeightsError
from train import faces as faces_
from train.faces import Faces, FaceSet

SUFFIXES = (".png", ".webp")


class Folder(NamedTuple):
    """An opened folder; pictures are read one by one by ``read_face``."""

    files: Sequence[Path]
    boxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    licences: Sequence[str]
    people: Sequence[str]
    """Who it is, where that is known; else empty."""
    resolution: int


def find_split(path: str | Path, split: str) -> Path:
    """Returns the folder of a split: ``path/split``, or ``path`` if it has images.

    Raises:
        ConfigError: neither is in FDF's layout.
    """
    path = Path(path)
    for folder in (path / split, path):
        if (folder / "images").is_dir():
            return folder
    raise ConfigError(
        f"{path} is not in FDF's layout: neither {split}/images nor images is there."
    )


def open_folder(
    path: str | Path, resolution: int, *, licences: Iterable[str] = ()
) -> Folder:
    """Reads everything but the pictures.

    Args:
        path: The folder of one split.
        resolution: Side of the crops in pixels; the pictures of this size or, where
            there are none, of the next larger size that is a multiple are used.
        licences: Keeps only these (``by``, ``by-sa``, ``by-nc``, ``by-nc-sa``, or any
            name in the metainfo); empty = all.

    Raises:
        MediaError: files are missing, damaged or do not belong together.
        ConfigError: there is no picture of that size or licence.
    """
    path = Path(path)
    images, size = _find_images(path, resolution)
    files = sorted(
        (f for f in images.iterdir() if f.suffix in SUFFIXES and f.stem.isdigit()),
        key=lambda f: int(f.stem),
    )
    if not files:
        raise MediaError(f"No pictures <number>.png or .webp in {images}.")
    boxes = _read_boxes(path, size)
    keypoints, scores = _read_keypoints(path)
    ids = [int(f.stem) for f in files]
    rows = _rows(ids, {"boxes": len(boxes), "landmarks": len(keypoints)}, path)
    found, people = _read_metainfo(path, ids)
    kept = faces_.select_licences(found, licences)
    return Folder(
        files=[files[i] for i in kept],
        boxes=(boxes[rows] / size).astype(np.float32)[kept],
        keypoints=keypoints[rows][kept],
        scores=scores[rows][kept],
        licences=[found[i] for i in kept],
        people=[people[i] for i in kept],
        resolution=resolution,
    )


def read_face(folder: Folder, index: int) -> Faces:
    """Reads one face, without a leading axis."""
    image = read_image(folder.files[index], folder.resolution)
    rest = (a[index] for a in (folder.boxes, folder.keypoints, folder.scores))
    return Faces(image, *rest)


def read_all(folder: Folder, progress: Callable | None = None) -> FaceSet:
    """Reads the whole folder into memory."""

    def read(file: Path) -> np.ndarray:
        return read_image(file, folder.resolution)

    with ThreadPoolExecutor() as pool:
        images = pool.map(read, folder.files)
        images = progress(images) if progress else images
        images = np.stack(list(images))
    faces = Faces(images, folder.boxes, folder.keypoints, folder.scores)
    return FaceSet(faces, folder.licences, folder.people)


def read_image(file: Path, resolution: int) -> np.ndarray:
    """Reads a square picture, reduced to a resolution by the mean of its pixels."""
    try:
        with Image.open(file) as picture:
            picture = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"Cannot read {file}: {error}.") from error
    width, height = picture.size
    if width != height or width % resolution:
        raise MediaError(f"{file} is {width} x {height}, not {resolution} square.")
    return np.asarray(picture.reduce(width // resolution))


def licence_code(entry: dict) -> str:
    """Returns ``by``, ``by-sa``, ``by-nc``, ... or the name as it stands."""
    url = re.search(
        r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)",
        str(entry.get("license_url") or entry.get("license") or ""),
    )
    if url:
        return url[1]
    name = str(entry.get("license") or "unknown")
    plain = name.lower().replace("-", "").replace(" ", "")
    if not plain.startswith("attribution"):
        return name
    parts = (("noncommercial", "nc"), ("noderiv", "nd"), ("sharealike", "sa"))
    return "-".join(["by", *(code for word, code in parts if word in plain)])


def _find_images(path: Path, resolution: int) -> tuple[Path, int]:
    images = path / "images"
    if not images.is_dir():
        raise MediaError(f"No folder {images}.")
    sizes = sorted(int(f.name) for f in images.iterdir() if f.name.isdigit())
    if not sizes:  # FDF256 has its pictures right here.
        first = next((f for f in images.iterdir() if f.suffix in SUFFIXES), None)
        if first is None:
            raise MediaError(f"No pictures in {images}.")
        with Image.open(first) as picture:
            sizes, folder = [picture.size[0]], images
        fitting = [size for size in sizes if size % resolution == 0]
        if fitting:
            return folder, fitting[0]
    fitting = [size for size in sizes if size % resolution == 0]
    if not fitting:
        raise ConfigError(
            f"No pictures for resolution {resolution} in {images}: there are "
            f"{', '.join(map(str, sizes))}."
        )
    return images / str(fitting[0]), fitting[0]


def _read_boxes(path: Path, size: int) -> np.ndarray:
    names = (f"bounding_box/{size}.torch", f"bounding_box/{size}.npy")
    for file in (*(path / name for name in names), path / "bounding_box.npy"):
        if file.is_file():
            boxes = _read_torch(file) if file.suffix == ".torch" else _read_npy(file)
            if boxes.ndim != 2 or boxes.shape[1] != 4:
                raise MediaError(f"{file} is {boxes.shape}, not [N 4].")
            return np.asarray(boxes, np.float32)
    raise MediaError(f"No boxes in {path}: {', '.join(names)} or bounding_box.npy.")


def _read_torch(file: Path) -> np.ndarray:
    try:
        return np.asarray(torch_pickle.read_torch(file))
    except WeightsError as error:
        raise MediaError(str(error)) from error


def _read_npy(file: Path) -> np.ndarray:
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"Cannot read {file}: {error}.") from error


def _read_keypoints(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns [N 11 2] keypoints and [N 11] scores; unknown mouths score 0."""
    landmarks = _read_npy(path / "landmarks.npy").astype(np.float32)
    if landmarks.size % 14:
        raise MediaError(f"{path}/landmarks.npy is {landmarks.shape}, not [N 7 2].")
    landmarks = landmarks.reshape(-1, 7, 2)
    n = len(landmarks)
    scores = np.ones((n, 7), np.float32)
    if (path / "keypoint_scores.npy").is_file():
        scores = _read_npy(path / "keypoint_scores.npy").astype(np.float32)
    if scores.shape != (n, 7):
        raise MediaError(f"{path}: scores {scores.shape} do not fit {n} landmarks.")
    keypoints, all_scores = [landmarks], [scores]
    for name in ("mouth", "lips"):
        points = np.full((n, 2, 2), np.nan, np.float32)
        if (path / f"{name}.npy").is_file():
            points = _read_npy(path / f"{name}.npy").astype(np.float32)
        if points.shape != (n, 2, 2):
            raise MediaError(
                f"{path}: {name} {points.shape} does not fit {n} landmarks."
            )
        known = np.asarray(np.isfinite(points).all(-1))
        # Who sees both eyes sees the mouth.
        keypoints.append(np.where(known[..., None], points, 0))
        all_scores.append(known * scores[:, 1:3].min(1, keepdims=True))
    return np.concatenate(keypoints, 1), np.concatenate(all_scores, 1)


def _rows(ids: Sequence[int], lengths: dict[str, int], path: Path) -> np.ndarray:
    """Returns each picture's row in the arrays: by rank, or by id where some lack."""
    if set(lengths.values()) == {len(ids)}:
        return np.arange(len(ids))
    if len(set(lengths.values())) == 1 and ids[-1] < min(lengths.values()):
        return np.array(ids)
    counts = ", ".join(f"{n} {name}" for name, n in lengths.items())
    raise MediaError(f"{path}: {len(ids)} pictures do not fit {counts}.")


def _read_metainfo(path: Path, ids: Sequence[int]) -> tuple[list[str], list[str]]:
    """Returns the licence of each picture, and who is on it."""
    file = path / "fdf_metainfo.json"
    if not file.is_file():
        return ["unknown"] * len(ids), [""] * len(ids)
    try:
        loaded = json.loads(file.read_text())
        entries = [loaded.get(str(i), {}) for i in ids]
        people = [str(entry.get("identity") or "") for entry in entries]
        return [licence_code(entry) for entry in entries], people
    except (OSError, ValueError, AttributeError) as error:
        raise MediaError(f"Cannot read {file}: {error}.") from error
