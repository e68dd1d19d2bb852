"""A TensorFlow Datasets builder for FDF and FDF256 that needs no TensorFlow.

Records are array_record (TFDS's parquet loses rows, its tfrecord needs TensorFlow).
``python -m train.fdf_builder FOLDER -o OUT`` writes them; ``data.path=OUT/...`` trains.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from jaxanon.errors import ConfigError, JaxanonError
from train import fdf


class Fdf(tfds.core.GeneratorBasedBuilder):
    """Face crops with boxes, nine keypoints, their scores and the licence."""

    VERSION = tfds.core.Version("1.0.0")
    # Nothing is downloaded; to look these up, TFDS would import importlib_resources.
    url_infos: ClassVar[dict] = {}
    code_path: Path | None = Path(__file__)
    pkg_dir_path = None

    def __init__(
        self,
        *,
        folder: str | Path,
        resolution: int = 128,
        licences: tuple[str, ...] = (),
        **kwargs: Any,
    ):
        """Opens the splits that the folder has; at least one of train and val."""
        self.folders: dict[str, fdf.Folder] = {}
        for split in ("train", "val"):
            if (Path(folder) / split / "images").is_dir():
                path = Path(folder) / split
                self.folders[split] = fdf.open_folder(
                    path, resolution, licences=licences
                )
        if not self.folders:
            path = fdf.find_split(folder, "train")
            self.folders["train"] = fdf.open_folder(path, resolution, licences=licences)
        self.resolution = resolution
        name = "_".join([str(resolution), *sorted(licences)]).replace(" ", "-")
        config = tfds.core.BuilderConfig(name=name, version=self.VERSION)
        super().__init__(config=config, file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.resolution
        return tfds.core.DatasetInfo(
            builder=self,
            description="Face crops in the layout of the FDF data set.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Scalar(np.int64),
                    "image": tfds.features.Image(
                        shape=(size, size, 3), encoding_format="png"
                    ),
                    "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
                    "keypoints": tfds.features.Tensor(shape=(11, 2), dtype=np.float32),
                    "scores": tfds.features.Tensor(shape=(11,), dtype=np.float32),
                    "licence": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager
        return {split: self._generate_examples(split) for split in self.folders}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        folder = self.folders[split]
        for index, file in enumerate(folder.files):
            face = fdf.read_face(folder, index)
            png = io.BytesIO()
            Image.fromarray(np.asarray(face.images)).save(png, "PNG")
            png.seek(0)
            yield (
                index,
                {
                    "id": int(file.stem),
                    "image": png,
                    "box": face.boxes,
                    "keypoints": face.keypoints,
                    "scores": face.scores,
                    "licence": folder.licences[index],
                },
            )


def build(
    folder: str | Path,
    out: str | Path,
    *,
    resolution: int = 128,
    licences: tuple[str, ...] = (),
) -> Path:
    """Writes the records and returns their folder.

    Raises:
        ConfigError: the folder is not in FDF's layout, or nothing has that licence.
    """
    builder = Fdf(folder=folder, resolution=resolution, licences=licences, data_dir=out)
    builder.download_and_prepare()
    for split, opened in builder.folders.items():
        written = builder.info.splits[split].num_examples
        if written != len(opened.files):
            raise ConfigError(f"{written} of {len(opened.files)} records of {split}.")
    return Path(builder.data_dir)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.fdf_builder", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="with train/ and val/, or one split")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument(
        "--licence", nargs="+", default=[], help="keep only these, e.g. by by-sa"
    )
    arguments = parser.parse_args(argv)
    try:
        path = build(
            arguments.folder,
            arguments.output,
            resolution=arguments.resolution,
            licences=tuple(arguments.licence),
        )
    except JaxanonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"Train with --set data.path={path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
