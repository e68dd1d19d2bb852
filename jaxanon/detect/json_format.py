"""Detections as a JSON file that people can read, edit and give back.

``{"version": 1, "files": {"<path as given>": {"width": W, "height": H, "faces": [
{"box": [x0, y0, x1, y1], "score": s, "face": p, "keypoints": {"nose": [x, y] or null,
...}}]}}}``
in pixels of the upright picture, boxes half-open. A video has ``"frames": [{"time": s,
"faces": [...]}]`` in place of ``faces``. A face needs its box
only: where they are left out, its score is 1, ``face``, the probability that it is one
by a second look, too, and its keypoints are unseen. Numbers come back to the bit.
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxanon.detect.base import complete, make_detections
from jaxanon.errors import MediaError
from jaxanon.ops import boxes
from jaxanon.types import KEYPOINTS, Detections

VERSION = 1

# Detectors give no box of less than a pixel; a little less is float32's.
_LEAST_SIDE = 0.99
# A box that ends before is no face in pixels: somebody wrote fractions of the sides.
_FRACTIONS = 2


class FrameDetections(NamedTuple):
    """The faces of one frame of a video."""

    time_seconds: float
    faces: Detections


class FileDetections(NamedTuple):
    """The faces of one file: ``faces`` of a picture or ``frames`` of a video."""

    width: int
    height: int
    faces: Detections | None = None
    frames: tuple[FrameDetections, ...] | None = None


def write(path: str | os.PathLike[str], files: Mapping[str, FileDetections]) -> None:
    """Writes the faces of files; the result appears whole or not at all.

    Raises:
        MediaError: the file cannot be written.
    """
    entries = ",\n".join(
        f"{json.dumps(name)}: {_dump_file(found)}" for name, found in files.items()
    )
    text = f'{{"version": {VERSION}, "files": {{\n{entries}\n}}}}\n'
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({error.strerror}).") from error


def read(path: str | os.PathLike[str]) -> dict[str, FileDetections]:
    """Reads the faces of files.

    Raises:
        MediaError: the file cannot be read or its contents are not of this format; the
            message says where.
    """
    try:
        # Bytes: json tells UTF-8, 16 and 32 apart, with a byte order mark or without.
        data = json.loads(
            Path(path).read_bytes(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
        return _load(data)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise MediaError(f"{path}: not a detections file: {error}") from error


def check_hides(found: FileDetections, name: object) -> None:
    """Checks that every box given hides something of its picture.

    Raises:
        MediaError: A box is outside, of no area, or in fractions of the sides.
    """
    for frame in found.frames or ():
        where = f"{name}: at {frame.time_seconds} s"
        _check_boxes(frame.faces.boxes, found.height, found.width, where)
    if found.faces is not None:
        _check_boxes(found.faces.boxes, found.height, found.width, f"{name}")


def _check_boxes(face_boxes: np.ndarray, height: int, width: int, where: str) -> None:
    """Raises for the first box that leaves its face to be seen."""
    for box in face_boxes:
        text = [_shorten(value) for value in box]
        if box.max() <= _FRACTIONS and max(height, width) > 2 * _FRACTIONS:
            raise MediaError(
                f"{where}: box {text} is in fractions, it seems; boxes are x0, y0, x1, "
                f"y1 in pixels of the upright picture of {width}x{height}."
            )
        inside = boxes.clip(box, height, width)
        if (inside[2:] - inside[:2]).min() < _LEAST_SIDE:
            raise MediaError(
                f"{where}: box {text} hides nothing of a picture of {width}x{height}."
            )


def _dump_file(found: FileDetections) -> str:
    if (found.faces is None) == (found.frames is None):
        raise ValueError("FileDetections has either faces or frames.")
    head = f'"width": {int(found.width)}, "height": {int(found.height)}'
    if found.faces is not None:
        return f'{{{head}, "faces": {_dump_faces(found.faces)}}}'
    frames = ",\n".join(
        f' {{"time": {json.dumps(float(frame.time_seconds))}, '
        f'"faces": {_dump_faces(frame.faces)}}}'
        for frame in found.frames or ()
    )
    return f'{{{head}, "frames": [\n{frames}\n]}}'


def _dump_faces(faces: Detections) -> str:
    whole: Any = complete(faces)
    lines = [
        json.dumps(
            {
                "box": [_shorten(value) for value in box],
                "score": _shorten(score),
                "face": _shorten(face),
                "keypoints": {
                    name: None if np.isnan(point).any() else [*map(_shorten, point)]
                    for name, point in zip(KEYPOINTS, points, strict=True)
                },
            },
            allow_nan=False,
        )
        for box, score, points, face in zip(*whole, strict=True)
    ]
    return "[\n  " + ",\n  ".join(lines) + "]" if lines else "[]"


def _shorten(value: Any) -> float:
    """Returns the number of the fewest digits that is this one as float32."""
    return float(str(np.float32(value)))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses names given twice: one of them would be ignored, its faces seen."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice.")
    return result


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number.")


def _load(data: Any) -> dict[str, FileDetections]:
    data = _check_dict(data, "the file", {"version", "files"})
    if data["version"] != VERSION or isinstance(data["version"], bool):
        raise ValueError(f"version is {data['version']!r}, but must be {VERSION}.")
    if not isinstance(data["files"], dict):
        raise ValueError("files is not an object of paths.")
    return {name: _load_file(at, name) for name, at in data["files"].items()}


def _load_file(data: Any, name: str) -> FileDetections:
    where = f"files[{json.dumps(name)}]"
    data = _check_dict(data, where, {"width", "height"}, {"faces", "frames"})
    size = [data["width"], data["height"]]
    if any(type(side) is not int or side < 1 for side in size):
        raise ValueError(f"{where}: width and height are {size}, but count pixels.")
    if ("faces" in data) == ("frames" in data):
        raise ValueError(f"{where} must have either faces or frames.")
    if "faces" in data:
        return FileDetections(*size, faces=_load_faces(data["faces"], where))
    frames = tuple(_load_frames(data["frames"], where))
    times = [frame.time_seconds for frame in frames]
    if any(b <= a for a, b in zip(times, times[1:], strict=False)):
        raise ValueError(f"{where}: the times of the frames do not grow.")
    return FileDetections(*size, frames=frames)


def _load_frames(data: Any, where: str) -> Iterator[FrameDetections]:
    for index, frame in enumerate(_check_list(data, f"{where}.frames")):
        here = f"{where}.frames[{index}]"
        frame = _check_dict(frame, here, {"time", "faces"})
        (time,) = _check_numbers([frame["time"]], 1, f"{here}.time")
        yield FrameDetections(time, _load_faces(frame["faces"], here))


def _load_faces(data: Any, where: str) -> Detections:
    face_boxes, keypoints = [], []
    chances: dict[str, list[float]] = {"score": [], "face": []}
    for index, face in enumerate(_check_list(data, f"{where}.faces")):
        here = f"{where}.faces[{index}]"
        face = _check_dict(face, here, {"box"}, {*chances, "keypoints"})
        box = _check_numbers(face["box"], 4, f"{here}.box")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise ValueError(f"{here}.box is {box}, but must be x0 < x1 and y0 < y1.")
        for name, values in chances.items():
            (value,) = _check_numbers([face.get(name, 1.0)], 1, f"{here}.{name}")
            if not 0 <= value <= 1:
                raise ValueError(f"{here}.{name} is {value}, but must be in 0 to 1.")
            values.append(value)
        face_boxes.append(box)
        keypoints.append(_load_points(face.get("keypoints", {}), f"{here}.keypoints"))
    found = make_detections(face_boxes, chances["score"], keypoints)
    return found._replace(faces=np.array(chances["face"], np.float32))


def _load_points(data: Any, where: str) -> list[list[float]]:
    data = _check_dict(data, where, set(), set(KEYPOINTS))
    unseen = [math.nan, math.nan]
    return [
        unseen
        if data.get(name) is None
        else _check_numbers(data[name], 2, f"{where}.{name}")
        for name in KEYPOINTS
    ]


def _check_dict(
    data: Any, where: str, needed: set[str], optional: set[str] | None = None
) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{where} is not an object.")
    if missing := needed - set(data):
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}.")
    if unknown := set(data) - needed - (optional or set()):
        raise ValueError(f"{where} has the unknown {', '.join(sorted(unknown))}.")
    return data


def _check_list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise ValueError(f"{where} is not a list.")
    return data


def _check_numbers(data: Any, count: int, where: str) -> list[float]:
    numbers = _check_list(data, where)
    is_number = all(type(value) in (int, float) for value in numbers)
    # 1e9 pixels or seconds are more than any file has, and float32 holds them.
    if len(numbers) != count or not is_number or any(abs(v) > 1e9 for v in numbers):
        raise ValueError(f"{where} is {data}, but must be {count} finite number(s).")
    return [float(value) for value in numbers]
