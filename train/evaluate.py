"""Measures a generator on held-out faces: ``python -m train.evaluate``.

Every number has the same number of real faces, or a floor, beside it. The distances on
an embedding network are ``fd_face`` and ``kd_face``; they are not FID.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxanon import detect, weights
from jaxanon.errors import JaxanonError
from jaxanon.metrics import embedding, keypoints, report, seam
from jaxanon.types import Crops, Detections
from train import data, export, validate
from train.config import DataConfig, TrainConfig


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate", description=__doc__.splitlines()[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help="a file, or the name of shipped weights")
    source.add_argument("--workdir", type=Path, help="its newest checkpoint")
    parser.add_argument("--data", default="", help="held-out faces; empty = the run's")
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--latents", type=int, default=2, help="z per face")
    parser.add_argument(
        "--embedding", default="", help="ONNX file of a face recogniser"
    )
    parser.add_argument("--detector", default="centerface")
    parser.add_argument("--score", type=float, default=0.5, help="of the detector")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    arguments = parser.parse_args(argv)
    try:
        values = evaluate(arguments)
    except JaxanonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    output = arguments.output
    if output is None and arguments.workdir:
        output = arguments.workdir / "evaluation.json"
    text = json.dumps(values, indent=1)
    if output:
        output.write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Paints the held-out faces and measures everything that can be.

    Raises:
        JaxanonError: the weights, the data, the detector or the embedding network
            cannot be used.
    """
    if arguments.workdir:
        config, state = export.read_state(arguments.workdir)
        generator, params = config.generator, jax.device_get(state.generator_ema)
        name = str(arguments.workdir)
    else:
        loaded = weights.load(arguments.weights)
        config, generator, params = TrainConfig(), loaded.config, loaded.params
        name = loaded.sha256
    source = config.data
    if arguments.data:
        source = DataConfig(path=arguments.data, validation=arguments.data)
    dataset = data.open_dataset(source, "validation", generator.resolution)
    run = dataclasses.replace(
        config, generator=generator, evaluate_faces=arguments.faces
    )
    crops = validate.make_validation(run, dataset).crops
    painted = [
        validate.paint_faces(generator, params, crops, seed)
        for seed in range(arguments.latents)
    ]
    return {"weights": name, "faces": len(crops.mask)} | measure(
        crops, painted, arguments
    )


def measure(
    crops: Crops, painted: list[np.ndarray], arguments: argparse.Namespace
) -> dict[str, float]:
    """Measures painted crops against real ones."""
    real, made = _to_uint8(crops.image), [_to_uint8(images) for images in painted]
    mask = np.asarray(crops.mask)
    values: dict[str, float] = {}
    for label, images in (("", painted[0]), ("_floor", np.asarray(crops.image))):
        error = seam.measure(images, mask).error
        values[f"seam_error{label}"] = float(np.nanmean(error))
    detector = detect.make(arguments.detector)
    truth = _detect(detector, real, mask, arguments.score)
    found = [_detect(detector, images, mask, arguments.score) for images in made]
    values["detected"] = float(np.mean([np.isfinite(f).any((1, 2)) for f in found]))
    values["detected_floor"] = float(np.mean(np.isfinite(truth).any((1, 2))))
    side = real.shape[1]
    visible = np.asarray(crops.visible)[..., None] > 0
    wanted = np.where(visible, np.asarray(crops.keypoints) * side, np.nan)
    # The masks are 1.1 times the faces; see augment.NOTHING.
    widths = mask[..., 0].max(1).sum(1) / 1.1
    for label, points in (("", found[0]), ("_floor", truth)):
        errors = keypoints.errors(points, wanted, widths=widths)
        if np.isfinite(errors).any():
            values[f"keypoint_error{label}"] = keypoints.median(errors)
    if arguments.embedding:
        values |= _embed(arguments.embedding, real, made, truth, found, wanted)
    return {name: round(value, 5) for name, value in values.items()}


def _embed(path, real, made, truth, found, wanted) -> dict[str, float]:
    """Compares identities and distributions on the features of a face recogniser."""
    embed = embedding.load(path)
    # Where a face is not found again, it is cut by the keypoints that were asked for.
    points = [np.where(np.isfinite(p), p, wanted) for p in (truth, *found)]
    originals = embed(list(real), points[0])
    faces = np.stack(
        [embed(list(x), p) for x, p in zip(made, points[1:], strict=True)], 1
    )
    people = np.arange(len(real))
    values = report.identity(originals=originals, painted=faces, people=people)
    rng = np.random.default_rng(0)
    return values | report.distribution(rng, real=originals, painted=faces[:, 0])


def _detect(detector, images, mask, score: float) -> np.ndarray:
    """Returns the keypoints of the face in each mask, NaN where none is found."""
    points = np.full((len(images), 9, 2), np.nan)
    for index, image in enumerate(images):
        found: Detections = detector([np.ascontiguousarray(image)])[0]
        for number in np.argsort(-found.scores):
            if found.scores[number] < score:
                break
            x, y = (found.boxes[number, :2] + found.boxes[number, 2:]) / 2
            inside = 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
            if inside and mask[index, int(y), int(x), 0] > 0.5:
                points[index] = found.keypoints[number]
                break
    return points


def _to_uint8(images: Any) -> np.ndarray:
    return np.uint8(np.clip((np.asarray(images) + 1) * 127.5 + 0.5, 0, 255))


if __name__ == "__main__":
    sys.exit(main())
