"""Measures a generator on held-out faces: ``python -m train.evaluate``.

Every number has the same number of real faces, or a floor, beside it. The distances on
an embedding network are ``fd_face`` and ``kd_face``; they are not FID. Groups overlap;
those of few faces say little.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxanon import detect, models, paint, pose, weights
from jaxanon.donors import bank as banks
from jaxanon.donors import choose
from jaxanon.errors import ConfigError, JaxanonError
from jaxanon.metrics import embedding, keypoints, reidentification, report, seam
from jaxanon.objectives import networks
from jaxanon.types import KEYPOINTS, Crops, Detections
from jaxanon.weights import Weights
from train import augment, data, export, fdf, judge, latent, log, validate
from train.config import DataConfig, TrainConfig, draws_posterior

LIPS = [pose.UPPER_LIP, pose.LOWER_LIP]
NOT_LIPS = [index for index in range(len(KEYPOINTS)) if index not in LIPS]

MEDIANS = ("keypoint", "lips", "tone", "sharpness", "identity_cosine")
"""Names of measures whose outliers are errors of the instrument begin so."""

FEWEST = 20
"""Faces that the realism probe needs."""


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate", description=(__doc__ or "").splitlines()[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help="a file, or the name of shipped weights")
    source.add_argument("--workdir", type=Path, help="its newest checkpoint")
    parser.add_argument("--data", default="", help="held-out faces; empty = the run's")
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument(
        "--mask-scale",
        type=float,
        default=augment.MASK_SCALE,
        help="size of the hidden region over the face's box; default: as in use",
    )
    parser.add_argument("--latents", type=int, default=2, help="z or donors per face")
    parser.add_argument(
        "--donors",
        type=Path,
        default=banks.DEFAULT,
        help="bank of a painter of donors; default: the shipped one",
    )
    parser.add_argument(
        "--match-border",
        action="store_true",
        help="shift colours to meet the surroundings, as in use",
    )
    parser.add_argument(
        "--features",
        default="train.efficientnet.features",
        metavar="NAME",
        help="of the realism probe: the dotted name of a function from images to maps",
    )
    parser.add_argument(
        "--keypointer", default="keypointer", help="weights; measures lips"
    )
    parser.add_argument(
        "--embedding", default="", help="ONNX file of a face recogniser"
    )
    parser.add_argument("--detector", default="centerface")
    parser.add_argument("--score", type=float, default=0.5, help="of the detector")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument(
        "--sheet", type=Path, help="picture of the painted regions alone"
    )
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
        if draws_posterior(config):
            trained = data.open_dataset(config.data, "train", generator.resolution)
            params, _ = latent.fit_and_fold(config, state, params, trained)
        name = str(arguments.workdir)
    else:
        loaded = weights.load(arguments.weights)
        config, generator, params = TrainConfig(), loaded.config, loaded.params
        name = loaded.sha256
    source = dataclasses.replace(config.data, resident=False)
    if arguments.data:
        path = arguments.data
        source = DataConfig(path=path, validation=path, resident=False)
    dataset = data.open_dataset(source, "validation", generator.resolution)
    run = dataclasses.replace(
        config, generator=generator, evaluate_faces=arguments.faces
    )
    crops = validate.make_validation(run, dataset, arguments.mask_scale).crops
    chosen = validate.spread(dataset.size, arguments.faces)
    facts: list[dict[str, Any]] = read_facts(
        source.validation or source.path, generator.resolution, chosen
    )
    if dataset.sources:
        people = dataset.people or [""] * dataset.size
        facts = [
            {"source": dataset.sources[int(i)], "identity": people[int(i)]}
            for i in chosen
        ]
    values: dict[str, Any] = {"weights": name, "faces": len(crops.mask)}
    border = arguments.match_border
    if models.latent_kind(generator) == "donor":
        cast = choose.make_cast(banks.load(arguments.donors))
        values |= {"donors": cast.bank.sha256, "matcher": cast.matcher is not None}
        painted = [
            validate.paint_picks(
                generator, params, crops, cast, picks, match_border=border
            )
            for picks in validate.pick_donors(crops, cast, arguments.latents)
        ]
    else:
        painted = [
            validate.paint_faces(generator, params, crops, seed, match_border=border)
            for seed in range(arguments.latents)
        ]
    if arguments.sheet:
        log.draw_sheet(crops.mask, painted).save(arguments.sheet, quality=90)
    return values | measure(crops, painted, facts, arguments)


def read_facts(path: str, resolution: int, chosen: np.ndarray) -> list[dict[str, Any]]:
    """Reads what ``fdf_metainfo.json`` says of faces; {} where there is nothing."""
    try:
        folder = fdf.open_folder(fdf.find_split(path, "val"), resolution)
    except ConfigError:  # Another kind of data set.
        return [{} for _ in chosen]
    file = Path(folder.files[0]).parents[2] / "fdf_metainfo.json"
    entries = json.loads(file.read_text()) if file.is_file() else {}
    return [entries.get(folder.files[int(index)].stem, {}) for index in chosen]


def measure(
    crops: Crops,
    painted: list[np.ndarray],
    facts: list[dict[str, Any]],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Measures painted crops against real ones, of all faces and by their source."""
    real, made = log.to_uint8(crops.image), [log.to_uint8(images) for images in painted]
    mask = np.asarray(crops.mask)
    people, sources = name_people(facts), name_sources(facts)
    detector = detect.make(arguments.detector)
    keypointer = weights.load(arguments.keypointer)
    truth, *found = (
        _detect(detector, keypointer, images, mask, arguments.score)
        for images in (real, *made)
    )
    visible = np.asarray(crops.visible)[..., None] > 0
    wanted = np.where(visible, np.asarray(crops.keypoints) * real.shape[1], np.nan)
    widths = mask[..., 0].max(1).sum(1) / arguments.mask_scale
    rows = {  # One number per latent and face.
        "seam_error": [seam.measure(images, mask).error for images in painted],
        "seam_error_floor": [seam.measure(np.asarray(crops.image), mask).error],
        "detected": [np.isfinite(points).any((1, 2)) for points in found],
        "detected_floor": [np.isfinite(truth).any((1, 2))],
    }
    for name, which in (("keypoint", NOT_LIPS), ("lips", LIPS)):
        error, *errors = (
            keypoints.errors(p[:, which], wanted[:, which], widths=widths)
            for p in (truth, *found)
        )
        rows |= {f"{name}_error": errors, f"{name}_error_floor": [error]}
    asked = judge.known_points(crops)
    inner, around = judge.draw_inner(crops, asked), mask[..., 0] <= 0.5
    strangers = judge.find_strangers(people, sources)
    rows |= judge.measure_skin(real, made, inner, strangers)
    rows |= judge.measure_sharpness(real, made, inner, around)
    values: dict[str, Any] = {}
    if arguments.embedding:
        points = [np.where(np.isfinite(p), p, wanted) for p in (truth, *found)]
        values, scores, between, originals = _embed(
            arguments.embedding, real, made, points, people
        )
        rows["identity_cosine"] = [between]
        rows["reidentified"] = [
            np.where(np.isfinite(s), s >= values["threshold"], np.nan) for s in scores
        ]
        rows["reidentified_floor"] = [
            reidentification.stranger_rates(
                originals, people, sources, at=values["threshold"]
            )
        ]
    tables = {name: np.stack(list(row)) for name, row in rows.items()}
    groups = judge.group_faces(real, asked, inner, around)
    collections = {name: sources == name for name in sorted(set(sources) - {""})}
    realism = {}
    if len(real) >= FEWEST:
        realism = judge.measure_realism(
            networks.find(arguments.features), real, made, asked, groups | collections
        )
    values |= summarize(tables) | realism.get("", {})
    values["by_group"] = by_group(tables, groups, realism)
    values["by_source"] = by_group(tables, collections, realism)
    return _round(values)


def name_people(facts: list[dict[str, Any]]) -> np.ndarray:
    """Numbers the people; who is not named is somebody else than all the others."""
    names = [
        (fact.get("source", ""), fact.get("identity") or f"face {index}")
        for index, fact in enumerate(facts)
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])


def name_sources(facts: list[dict[str, Any]]) -> np.ndarray:
    """Names the collection of each face; "" where it is not known."""
    return np.array([str(fact.get("source", "")) for fact in facts])


def summarize(tables: dict[str, np.ndarray]) -> dict[str, float]:
    """Takes the median of what is in MEDIANS and the mean of all else, where known."""
    values = {}
    for name, table in tables.items():
        known = np.asarray(table, np.float64)[np.isfinite(table)]
        if len(known):
            middle = np.median if name.startswith(MEDIANS) else np.mean
            values[name] = float(middle(known))
    return values


def by_group(
    tables: dict[str, np.ndarray],
    groups: dict[str, np.ndarray],
    more: dict[str, dict[str, float]],
) -> dict[str, dict[str, float]]:
    """Summarises the faces of each group by themselves.

    Args:
        tables: One number per latent and face.
        groups: ``[n]`` bool; those of nobody are left out.
        more: What else is known of a group.
    """
    result = {}
    for name, its in groups.items():
        if its.any():
            part = summarize({name: table[:, its] for name, table in tables.items()})
            result[name] = {"faces": int(its.sum())} | part | more.get(name, {})
    return result


def _embed(
    path: str, real: np.ndarray, made: list[np.ndarray], points, people: np.ndarray
) -> tuple[dict[str, Any], list[np.ndarray], np.ndarray, np.ndarray]:
    """Compares identities and distributions on the features of a face recogniser.

    Args:
        path: Of the recogniser.
        real: The originals.
        made: For each latent, the painted faces.
        points: Keypoints of the originals and of the painted faces. Where a face was
            not found again, those that were asked for.
        people: Who the originals are.

    Returns:
        Numbers for the report; for each latent the cosines to the originals; those
        between the latents; and the embeddings of the originals.
    """
    embed = embedding.load(path)
    originals, *faces = (
        embed(list(images), p) for images, p in zip((real, *made), points, strict=True)
    )
    stacked = np.stack(faces, 1)
    values = report.identity(originals=originals, painted=stacked, people=people)
    values["people"] = len(set(people))
    rng = np.random.default_rng(0)
    values |= report.distribution(rng, real=originals, painted=faces[0])
    scores = [reidentification.cosine(face, originals) for face in faces]
    return values, scores, reidentification.diversity(stacked), originals


def _detect(
    detector: detect.Detector, keypointer: Weights, images, mask, score: float
) -> np.ndarray:
    """Returns the keypoints of the face in each mask, NaN where none is found.

    Lips are the keypoint network's, where it knows them.
    """
    points = np.full((len(images), len(KEYPOINTS), 2), np.nan)
    for index, image in enumerate(images):
        image = np.ascontiguousarray(image)
        found: Detections = detector([image])[0]
        for number in np.argsort(-found.scores):
            if found.scores[number] < score:
                break
            x, y = (found.boxes[number, :2] + found.boxes[number, 2:]) / 2
            inside = 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
            if inside and mask[index, int(y), int(x), 0] > 0.5:
                points[index] = found.keypoints[number]
                if keypointer.config.keypoints == len(KEYPOINTS):
                    box = found.boxes[number]
                    predicted, _, _ = paint.predict_keypoints(image, box, keypointer)
                    points[index, LIPS] = predicted[LIPS]
                break
    return points


def _round(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _round(value) for name, value in values.items()}
    return round(values, 5) if isinstance(values, float) else values


if __name__ == "__main__":
    sys.exit(main())
