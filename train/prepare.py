"""Cuts training faces out of anybody's photos: ``python -m train.prepare``.

Our detector finds the faces, FDF's rule cuts the crops, and OUT gets FDF's layout with
splits ``train`` and ``val``, which ``train.pack``, ``train.fdf_builder`` and
``data.path`` take. A stopped run goes on where it was. Only use photos of people who
agreed to it.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxanon import detect, seek, weights
from jaxanon.errors import ConfigError, JaxanonError, MediaError
from jaxanon.media import image
from jaxanon.ops import boxes

SUFFIXES = set(".jpg .jpeg .png .webp .tif .tiff .bmp .avif .heic".split())
JOURNAL = "journal.jsonl"
SETTINGS = ("resolution", "score", "smallest", "validation", "licence")


def prepare(photos: Path, out: Path, arguments: argparse.Namespace) -> tuple[int, int]:
    """Cuts the faces of every photo below a folder.

    Returns:
        How many faces there are in OUT, and how many photos were skipped as bad.

    Raises:
        ConfigError: there is no photo, or OUT was begun with other settings.
    """
    files = sorted(f for f in photos.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise ConfigError(f"No photos in {photos}.")
    out.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    done = read_journal(out / JOURNAL, settings)
    detector = detect.make("centerface")
    keypointer = weights.load("keypointer") if "keypointer" in weights.names() else None
    with open(out / JOURNAL, "a") as journal:
        journal.write("\n")  # The last line may have been cut short.
        if not done:
            journal.write(json.dumps({"settings": settings}) + "\n")
        for file in tqdm(files, unit="photo", mininterval=0.5):
            name = str(file.relative_to(photos))
            if name in done:
                continue
            entry: dict[str, Any] = {"photo": name, "faces": []}
            try:
                picture = image.read(file)
                entry["faces"] = list(
                    cut_faces(picture.pixels, detector, keypointer, name, out, settings)
                )
            except MediaError as error:
                entry["bad"] = str(error)
                tqdm.write(f"skipped: {error}", file=sys.stderr)
            done[name] = entry
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
    bad = sum("bad" in done.get(str(f.relative_to(photos)), {}) for f in files)
    return write_arrays(out, done, settings), bad


def cut_faces(
    pixels: np.ndarray, detector, keypointer, name: str, out: Path, settings: dict
) -> Iterator[dict[str, Any]]:
    """Writes the crops of one photo and yields what is known of each face."""
    pixels = np.ascontiguousarray(seek.to_uint8(pixels))
    found = detector([pixels])[0]
    sides = np.max(found.boxes[:, 2:] - found.boxes[:, :2], axis=1, initial=0)
    kept = (found.scores >= settings["score"]) & (sides >= settings["smallest"])
    found = detect.take(found, kept)
    if keypointer is not None:
        found = seek.complete_keypoints(pixels, found, keypointer)
    height, width = pixels.shape[:2]
    code = digest(name)
    crops = out / "crops"
    crops.mkdir(exist_ok=True)
    for index, box in enumerate(boxes.clip(found.boxes, height, width)):
        x0, y0, x1, y1 = boxes.expand_square(box, height, width)
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height or x1 - x0 < 2:
            continue  # A crop beyond the photo would teach black borders.
        resolution = settings["resolution"]
        crop = Image.fromarray(pixels[y0:y1, x0:x1]).resize(
            (resolution, resolution),
            Image.Resampling.BOX if x1 - x0 >= resolution else Image.Resampling.BICUBIC,
        )
        side, start = float(x1 - x0), np.array([x0, y0])
        crop.save(crops / f"{code[:16]}_{index}.png")
        points = (found.keypoints[index] - start) / side
        yield {
            "file": f"{code[:16]}_{index}.png",
            "box": ((box - np.tile(start, 2)) / side * resolution).round(3).tolist(),
            "keypoints": np.nan_to_num(points).round(5).tolist(),
            "scores": (~np.isnan(points).any(-1)).astype(float).tolist(),
        }


def digest(name: str) -> str:
    """Returns a name for a photo's crops that says nothing of it."""
    return hashlib.sha256(name.encode()).hexdigest()


def hold_out(names: list[str], share: float) -> set[str]:
    """Returns the photos of the validation split: at least one of two or more.

    A photo is in one split wholly, and a photo that comes later moves no other, unless
    chance had held out none.
    """
    held_out = {name for name in names if int(digest(name)[:8], 16) / 16**8 < share}
    if not held_out and share > 0 and len(names) > 1:
        held_out = {min(names, key=digest)}
    return held_out


def write_arrays(out: Path, done: dict[str, dict], settings: dict) -> int:
    """Numbers the crops and writes the arrays of FDF's layout."""
    total = 0
    held_out = hold_out(
        [name for name, entry in done.items() if entry["faces"]], settings["validation"]
    )
    for split in ("train", "val"):
        faces = [
            face | {"photo": name}
            for name, entry in sorted(done.items())
            for face in entry["faces"]
            if (name in held_out) == (split == "val")
        ]
        if not faces:
            continue
        folder, size = out / split, settings["resolution"]
        (folder / "images" / str(size)).mkdir(parents=True, exist_ok=True)
        (folder / "bounding_box").mkdir(exist_ok=True)
        for old in (folder / "images" / str(size)).glob("*.png"):
            old.unlink()
        for index, face in enumerate(faces):
            target = folder / "images" / str(size) / f"{index}.png"
            target.hardlink_to(out / "crops" / face["file"])
        keypoints = np.array([face["keypoints"] for face in faces], np.float32)
        scores = np.array([face["scores"] for face in faces], np.float32)
        arrays = {
            f"bounding_box/{size}.npy": np.array([face["box"] for face in faces]),
            "landmarks.npy": keypoints[:, :7],
            "keypoint_scores.npy": scores[:, :7],
            "mouth.npy": keypoints[:, 7:9],
            "lips.npy": np.where(scores[:, 9:, None] > 0, keypoints[:, 9:], np.nan),
        }
        for name, array in arrays.items():
            np.save(folder / name, array.astype(np.float32))
        entries = {
            str(index): {"license": settings["licence"], "photo": face["photo"]}
            for index, face in enumerate(faces)
        }
        (folder / "fdf_metainfo.json").write_text(json.dumps(entries, indent=0))
        total += len(faces)
    return total


def read_journal(path: Path, settings: dict) -> dict[str, dict]:
    """Returns what was done before, by photo; a line cut short is done again.

    Raises:
        ConfigError: it was done with other settings.
    """
    done: dict[str, dict] = {}
    lines = path.read_text().splitlines() if path.is_file() else []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "settings" in entry:
            if entry["settings"] != settings:
                raise ConfigError(
                    f"{path.parent} was begun with {entry['settings']}, not "
                    f"{settings}: take another folder."
                )
        else:
            done[entry["photo"]] = entry
    return done


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.prepare", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--score", type=float, default=0.5, help="of the detector")
    parser.add_argument(
        "--smallest", type=float, default=48.0, help="side of a face in pixels"
    )
    parser.add_argument(
        "--validation", type=float, default=0.05, help="share of held-out photos"
    )
    parser.add_argument("--licence", default="own", help="written beside each face")
    arguments = parser.parse_args(argv)
    try:
        count, bad = prepare(arguments.photos, arguments.output, arguments)
    except JaxanonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{arguments.output}: {count} faces; {bad} bad photos skipped\n")
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main())
