"""A detector that does not look: it answers with the faces of a detections file."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from jaxanon.detect import json_format
from jaxanon.detect.base import Detector
from jaxanon.errors import DetectorError
from jaxanon.types import Detections


def make(*, file: str | os.PathLike[str], name: str | None = None) -> Detector:
    """Makes a detector from a file that ``jaxanon detect`` wrote.

    Args:
        file: The detections file.
        name: Which of its entries; may be left out where there is one only. The faces
            of a picture are the answer to every frame; those of a video are given out
            frame by frame, once.

    Raises:
        MediaError: the file cannot be read, or a box in it hides nothing.
        DetectorError: it has no such entry.
    """
    files = json_format.read(file)
    if name is None and len(files) == 1:
        (name,) = files
    if name not in files:
        raise DetectorError(f"{file} has no entry {name!r}; it has {list(files)}.")
    entry = files[name]
    json_format.check_hides(entry, name)
    answers = _answers(entry, name)

    def detect(frames: Sequence[np.ndarray], /) -> list[Detections]:
        for frame in frames:
            if frame.shape[:2] != (entry.height, entry.width):
                height, width = frame.shape[:2]
                raise DetectorError(
                    f"{name}: the faces given are of a picture of {entry.width} x "
                    f"{entry.height}, but this one has {width} x {height}."
                )
        return [next(answers) for _ in frames]

    return detect


def _answers(entry: json_format.FileDetections, name: str) -> Iterator[Detections]:
    while entry.faces is not None:
        yield entry.faces
    for frame in entry.frames or ():
        yield frame.faces
    raise DetectorError(f"{name}: there are more frames than faces given.")
