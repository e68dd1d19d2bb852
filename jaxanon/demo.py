"""Anonymises a picture that comes along: before, after and both side by side.

The picture is NASA's portrait of the astronaut Eileen Collins (1999), public domain.
"""

from importlib import resources
from pathlib import Path

import jax
import numpy as np

from jaxanon import files, pipeline
from jaxanon.media import atomic, image, mark
from jaxanon.weights import Weights

NAMES = ("astronaut_before.jpg", "astronaut_after.jpg", "astronaut_side_by_side.jpg")


def run(
    folder: Path,
    *,
    key: jax.Array,
    weights: Weights | None,
    detector: files.Detector,
    keypointer: Weights | None,
    options: pipeline.Options,
    marking: mark.Marking = mark.DEFAULT,
) -> files.Report:
    """Writes the three pictures of `NAMES` into a folder.

    Args:
        folder: Made where it is missing.
        key: The base key, see `files.base_key`.
        weights: Of a generator; None will do for modes other than "generate".
        detector: Finds the face.
        keypointer: Weights of the keypoint network.
        options: How faces are found and hidden.
        marking: How the painted pictures say that they are.

    Returns:
        The report of the anonymised picture.
    """
    before, after, both = (Path(folder) / name for name in NAMES)
    asset = resources.files("jaxanon") / "assets" / "astronaut.jpg"
    with atomic.replacing(before) as temporary:
        temporary.write_bytes(asset.read_bytes())
    report = files.anonymize_image_file(
        before,
        after,
        key=key,
        weights=weights,
        detector=detector,
        keypointer=keypointer,
        options=options,
        marking=marking,
    )
    left, right = image.read(before), image.read(after)
    pixels = np.concatenate([left.pixels, right.pixels], axis=1)
    picture = right._replace(pixels=pixels, samples=pixels)
    painted = any(face["mode"] == "generate" for face in report["faces"])
    image.write(
        both,
        picture,
        pixels,
        region=np.ones(pixels.shape[:2], bool),
        marking=marking if painted else mark.NONE,
    )
    return report
