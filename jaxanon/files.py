"""One file in, one anonymised file out, and a report of what was done to it.

What the faces depend on is said in ``seeds``.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, UInt

from jaxanon import pipeline, regions, seek
from jaxanon.detect import Detector, json_format
from jaxanon.detect.json_format import FileDetections
from jaxanon.errors import MediaError
from jaxanon.media import image, mark
from jaxanon.media.picture import Picture
from jaxanon.seeds import MAX_SEED as MAX_SEED
from jaxanon.seeds import base_key as base_key
from jaxanon.seeds import hash_file
from jaxanon.types import Detections
from jaxanon.weights import Weights

Report = dict[str, Any]


def anonymize_image_file(
    source: Path,
    target: Path,
    *,
    key: jax.Array,
    weights: Weights | None,
    detector: Detector | None = None,
    keypointer: Weights | None = None,
    options: pipeline.Options = pipeline.DEFAULTS,
    given: FileDetections | None = None,
    keep_metadata: bool = False,
    marking: mark.Marking = mark.DEFAULT,
    max_pixels: int = image.MAX_PIXELS,
) -> Report:
    """Anonymises a picture file; the result appears whole or not at all.

    Args:
        source: The picture.
        target: Where the result goes; its suffix may ask for another format.
        key: The base key of the run, see `base_key`.
        weights: Of a generator; None will do for modes other than "generate".
        detector: Finds the faces; not needed with `given`.
        keypointer: Weights of the keypoint network, for what the detector lacks.
        options: How faces are found and hidden.
        given: The faces, found before or elsewhere: all of them are hidden, and no
            pixel is looked at to find out more.
        keep_metadata: Keeps EXIF, XMP, IPTC, comments and text; never a thumbnail.
        marking: How a picture in which a face was painted says so.
        max_pixels: Width times height above which a picture is refused.

    Returns:
        What was done, ready for JSON: see `jaxanon.manifest`.

    Raises:
        MediaError: The picture cannot be read or written; nothing is left behind.
    """
    start = time.perf_counter()
    sha256 = hash_file(source)
    picture = image.read(source, max_pixels=max_pixels)
    before = mark.find(source, picture.metadata.xmp)
    if given is not None:
        detections = _check_given(source, given, picture.pixels)
    elif detector is not None:
        detections = seek.find_faces_anywhere(
            picture.pixels, picture.alpha, detector, keypointer, score=options.score
        )
    else:
        raise ValueError("Give a detector or the faces.")
    result = pipeline.run(picture.pixels, detections, weights, key=key, options=options)
    hidden = _hidden(picture.pixels, detections, options)
    region = hidden | (result.frame != picture.pixels).any(-1)
    picture = _with_plain_alpha(picture, hidden)
    painted = any(face.mode == "generate" for face in result.faces)
    lost = image.write(
        target,
        picture,
        result.frame,
        region=region,
        keep_metadata=keep_metadata,
        marking=marking if painted else mark.NONE,
    )
    marks = mark.describe(before, target, marking, painted=painted)
    height, width = result.frame.shape[:2]
    return {
        "input": str(source),
        "output": str(target),
        "input_sha256": sha256,
        "output_sha256": hash_file(target),
        "width": width,
        "height": height,
        "faces": [describe_face(face) for face in result.faces],
        "notes": [*picture.notes, *lost, *marks],
        "seconds": round(time.perf_counter() - start, 3),
    }


def describe_face(face: pipeline.FaceReport) -> Report:
    """Turns a face's report into what a manifest holds."""
    return {
        "box": list(face.box),
        "score": face.score,
        "keypoints_seen": list(face.keypoints_seen),
        "mode": face.mode,
        "donor": face.donor,
        "chosen": face.chosen,
        "fallback": face.fallback,
        "why": face.why,
    }


def detect_image_file(
    source: Path,
    *,
    detector: Detector,
    keypointer: Weights | None = None,
    score: float = pipeline.DEFAULTS.score,
    max_pixels: int = image.MAX_PIXELS,
) -> FileDetections:
    """Finds the faces of a picture file, as `anonymize_image_file` would.

    Raises:
        MediaError: The picture cannot be read.
    """
    picture = image.read(source, max_pixels=max_pixels)
    pixels = picture.pixels
    found = seek.find_faces_anywhere(
        pixels, picture.alpha, detector, keypointer, score=score
    )
    return FileDetections(pixels.shape[1], pixels.shape[0], faces=found)


def look_up(given: Mapping[str, FileDetections], source: Path) -> FileDetections:
    """Finds a file in a detections file, by its path as given or by where that leads.

    Raises:
        MediaError: It is not there: its faces would stay.
    """
    if str(source) in given:
        return given[str(source)]
    place = source.resolve()
    for name, found in given.items():
        if Path(name).resolve() == place:
            return found
    raise MediaError(f"{source}: is not in the file of detections.")


def _check_given(
    source: Path, given: FileDetections, pixels: UInt[np.ndarray, "h w 3"]
) -> Detections:
    height, width = pixels.shape[:2]
    if given.faces is None:
        raise MediaError(f"{source}: the detections are a video's.")
    if (given.width, given.height) != (width, height):
        raise MediaError(
            f"{source}: is {width}x{height}, but the detections are of a picture of "
            f"{given.width}x{given.height}."
        )
    json_format.check_hides(given, source)
    return given.faces


def _hidden(
    frame: UInt[np.ndarray, "h w 3"], detections: Detections, options: pipeline.Options
) -> Bool[np.ndarray, "h w"]:
    """Marks the hidden regions, whatever is in them now."""
    height, width = frame.shape[:2]
    mask = np.zeros((height, width), bool)
    boxes = regions.find(detections.boxes, height, width, scale=options.mask_scale)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def _with_plain_alpha(picture: Picture, hidden: Bool[np.ndarray, "h w"]) -> Picture:
    """Makes the hidden regions opaque: alpha may follow the face."""
    if picture.alpha is None:
        return picture
    opaque = np.iinfo(picture.alpha.dtype).max
    alpha = np.where(hidden, opaque, picture.alpha).astype(picture.alpha.dtype)
    return picture._replace(alpha=alpha)
