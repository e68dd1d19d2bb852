"""Packs a folder in FDF's layout into one plain file: ``python -m train.pack``.

The ``.npz`` holds the crops as uint8 with boxes, keypoints, scores and licences; it
needs neither TFDS nor grain, and a set that fits is kept on the device whole.
"""

import argparse
import functools
import sys
from pathlib import Path

from tqdm import tqdm

from jaxanon.errors import JaxanonError
from train import faces, fdf


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.pack",
        description="Packs FOLDER, or its train and val splits, into .npz files.",
        epilog="example: python -m train.pack data/fdf -o data/fdf-train.npz",
    )
    parser.add_argument("folder", type=Path, nargs="+", help="several become one set")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--split", default="train", help="train or val")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument(
        "--licence", nargs="+", default=[], help="keep only these, e.g. by by-sa"
    )
    arguments = parser.parse_args(argv)
    try:
        packed = faces.join([_read(folder, arguments) for folder in arguments.folder])
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        faces.save(arguments.output, packed)
    except (JaxanonError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{arguments.output}: {len(packed.licences)} faces\n")
    return 0


def _read(path: Path, arguments: argparse.Namespace) -> faces.FaceSet:
    folder = fdf.open_folder(
        fdf.find_split(path, arguments.split),
        arguments.resolution,
        licences=arguments.licence,
    )
    progress = functools.partial(tqdm, total=len(folder.files), unit="img")
    return fdf.read_all(folder, progress)


if __name__ == "__main__":
    sys.exit(main())
