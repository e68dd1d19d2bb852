"""Opens a data set by its path and says which faces make up which batch.

The faces of a batch follow from the seed and the step alone, whatever the number of
devices or processes, so a resumed run sees exactly what it would have seen.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxanon.errors import ConfigError, MediaError
from train import drawn, faces, fdf
from train.config import DataConfig
from train.faces import Faces, FaceSet

SPLITS = {"train": ("train",), "validation": ("validation", "val")}


class Dataset(NamedTuple):
    """Faces in memory, or a function that reads one."""

    size: int
    resident: Faces | None
    read: Callable[[int], Faces]
    licences: dict[str, int]
    """How many faces are under which licence."""
    people: Sequence[str] = ()
    """Who it is, where that is known."""
    sources: Sequence[str] = ()
    """Under which licence each is, of faces in memory; packs name their source so."""


def open_dataset(config: DataConfig, split: str, resolution: int) -> Dataset:
    """Opens the ``train`` or ``validation`` faces.

    Raises:
        ConfigError: nothing that can be read is there, or none of that licence.
        MediaError: what is there is damaged.
    """
    path = config.path
    if path == "drawn":
        count = config.drawn if split == "train" else min(config.drawn, 64)
        return _in_memory(drawn.draw_set(count, resolution, seed=split != "train"))
    if split == "validation":
        path = config.validation or _find_validation(path)
    if path.endswith(".npz"):
        if not Path(path).is_file():
            raise ConfigError(f"No file {path} (data.path).")
        return _open_packed(path, config, resolution)
    if (Path(path) / "features.json").is_file():
        return _open_records(path, split, config, resolution)
    folder = fdf.find_split(path, SPLITS[split][-1])
    opened = fdf.open_folder(folder, resolution, licences=config.licences)
    if config.resident:
        return _in_memory(fdf.read_all(opened))
    counts = dict(Counter(opened.licences))
    return Dataset(len(opened.files), None, lambda i: fdf.read_face(opened, i), counts)


def order(seed: int, size: int, start: int, count: int) -> np.ndarray:
    """Returns which faces come at the places start ... start + count of a run.

    Every epoch is a permutation of its own.
    """
    places = np.arange(start, start + count)
    epochs, ranks = np.divmod(places, size)
    index = np.empty(count, np.int32)
    for epoch in np.unique(epochs):
        shuffled = np.random.default_rng([seed, int(epoch)]).permutation(size)
        index[epochs == epoch] = shuffled[ranks[epochs == epoch]]
    return index


def index_batches(
    seed: int, size: int, batch_size: int, share: slice, first_step: int, steps: int
) -> Iterator[np.ndarray]:
    """Yields ``[steps, b]`` indices of this process's share of batches, for ever."""
    while True:
        index = order(seed, size, first_step * batch_size, steps * batch_size)
        yield index.reshape(steps, batch_size)[:, share]
        first_step += steps


def stream_batches(
    dataset: Dataset,
    *,
    seed: int,
    batch_size: int,
    share: slice,
    first_step: int,
    steps: int,
    threads: int,
) -> Iterator[Faces]:
    """Yields ``[steps, b, ...]`` faces of this process's share, for ever, by grain."""
    import grain

    local = share.stop - share.start
    source = _Share(dataset, seed, batch_size, share)
    mapped = grain.MapDataset.source(source)  # type: ignore[arg-type]
    batches = mapped.batch(local, batch_fn=faces.stack)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)
    iterator = iter(batches.to_iter_dataset(options))
    iterator.set_state({"next_index": first_step})
    while True:
        yield faces.stack([next(iterator) for _ in range(steps)])


class _Share:
    """What one process reads, in order: a random-access source for grain."""

    def __init__(self, dataset: Dataset, seed: int, batch_size: int, share: slice):
        import grain

        self.dataset, self.batch_size, self.share = dataset, batch_size, share
        self.index = grain.MapDataset.range(dataset.size).seed(seed).shuffle().repeat()

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, place: int) -> Faces:
        step, rank = divmod(place, self.share.stop - self.share.start)
        index = self.index[step * self.batch_size + self.share.start + rank]
        return self.dataset.read(int(index))


def _find_validation(path: str) -> str:
    """Finds the held-out faces beside the training ones."""
    if not path.endswith(".npz"):
        return path
    for name in SPLITS["validation"]:
        beside = Path(path).with_name(Path(path).name.replace("train", name))
        if beside.is_file() and beside != Path(path):
            return str(beside)
    raise ConfigError(f"No held-out faces beside {path}: set data.validation.")


def _in_memory(face_set: FaceSet) -> Dataset:
    resident, licences = face_set.faces, face_set.licences
    return Dataset(
        len(resident.images),
        resident,
        lambda index: faces.take(resident, np.asarray(index)),
        dict(Counter(licences)),
        face_set.people,
        licences,
    )


def _open_packed(path: str, config: DataConfig, resolution: int) -> Dataset:
    face_set = faces.load(path)
    packed, licences = face_set.faces, face_set.licences
    kept = faces.select_licences(licences, config.licences)
    if len(kept) < len(licences):
        packed = faces.take(packed, kept)
    size = packed.images.shape[1]
    if size % resolution:
        raise ConfigError(f"{path} has faces of {size} px, not {resolution}.")
    if size != resolution:
        n, factor = len(packed.images), size // resolution
        shape = (n, resolution, factor, resolution, factor, 3)
        small = packed.images.reshape(shape).mean((2, 4), dtype=np.float32)
        packed = packed._replace(images=np.uint8(small + 0.5))
    people = [face_set.people[int(i)] for i in kept] if face_set.people else []
    return _in_memory(FaceSet(packed, [str(licences[int(i)]) for i in kept], people))


def _open_records(
    path: str, split: str, config: DataConfig, resolution: int
) -> Dataset:
    """Opens records of ``train.fdf_builder``; pictures are decoded here, by Pillow."""
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(path)
    name = next((s for s in SPLITS[split] if s in builder.info.splits), None)
    if name is None:
        there = ", ".join(builder.info.splits)
        raise ConfigError(f"{path} has no split for {split}: there are {there}.")
    decoders = {"image": tfds.decode.SkipDecoding()}
    source = builder.as_data_source(name, decoders=decoders)
    licences = [source[i]["licence"].decode() for i in range(len(source))]
    kept = faces.select_licences(licences, config.licences)

    def read(index: int) -> Faces:
        record: Any = source[int(kept[index])]
        with Image.open(io.BytesIO(record["image"])) as picture:
            image = np.asarray(picture.convert("RGB"))
        if image.shape != (resolution, resolution, 3):
            raise MediaError(f"Record {index} of {path} is {image.shape}.")
        return Faces(image, record["box"], record["keypoints"], record["scores"])

    counts = dict(Counter(licences[i] for i in kept))
    if not config.resident:
        return Dataset(len(kept), None, read, counts)
    resident = faces.stack([read(i) for i in range(len(kept))])
    return _in_memory(FaceSet(resident, [licences[i] for i in kept]))
