"""Reads what PyTorch saved, without PyTorch and without running pickled code.

Both layouts are read: the zip archive of PyTorch 1.6 and later and the plain sequence
of pickles before it. Only tensors and plain containers are rebuilt. Any other name in
the pickle is refused, so nothing that a file says is ever imported or called.
"""

import collections
import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxanon.errors import WeightsError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def read_torch(
    path: str | os.PathLike[str], *, select: Callable[[Any], Any] = lambda tree: tree
) -> Any:
    """Reads a file that ``torch.save`` wrote.

    Args:
        path: the file.
        select: picks the wanted part of the tree of containers, so that the tensors of
            the rest are not loaded; tensors are opaque to it.

    Returns:
        What was saved: dicts, lists, tuples, numbers and strings, with NumPy arrays in
        place of tensors; bfloat16 becomes float32.

    Raises:
        WeightsError: the file is missing, damaged, of another format or contains
            anything else.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror}.") from error
    try:
        read = _read_zip if data[:4] == b"PK\x03\x04" else _read_legacy
        tree, load = read(data)
        return _with_arrays(select(tree), load)
    except WeightsError as error:
        raise WeightsError(f"Cannot use {path}: {error}") from error
    # A damaged pickle can fail in any way; none of them is worth telling apart.
    except (Exception, RecursionError) as error:
        raise WeightsError(
            f"{path} is damaged or was not written by torch.save "
            f"({type(error).__name__}: {error})."
        ) from error


class Storage(NamedTuple):
    """A run of numbers in the file that tensors are views of."""

    dtype: str
    key: str
    size: int


class Tensor(NamedTuple):
    """A view of a storage that is not loaded yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


Load = Callable[[Storage], np.ndarray]


def _read_zip(data: bytes) -> tuple[Any, Load]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise WeightsError(
            "the archive has no data.pkl, so torch.save did not write it."
        )
    root = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        if root + name not in members:
            raise WeightsError(f"the archive lacks {name}.")
        # PyTorch never compresses; refusing it also refuses decompression bombs.
        if members[root + name].compress_type != zipfile.ZIP_STORED:
            raise WeightsError(f"{name} is compressed.")
        return archive.read(root + name)

    big = root + "byteorder" in members and member("byteorder") == b"big"

    def load(storage: Storage) -> np.ndarray:
        return _numbers(member(f"data/{storage.key}"), storage, ">" if big else "<")

    return _Unpickler(io.BytesIO(member("data.pkl"))).load(), load


def _read_legacy(data: bytes) -> tuple[Any, Load]:
    file = io.BytesIO(data)
    if _Unpickler(file).load() != LEGACY_MAGIC:
        raise WeightsError("it was not written by torch.save.")
    protocol, system = _Unpickler(file).load(), _Unpickler(file).load()
    if protocol != LEGACY_PROTOCOL or not system.get("little_endian", True):
        raise WeightsError(f"layout {protocol} of {system} is not supported.")
    unpickler = _Unpickler(file)
    tree, keys = unpickler.load(), _Unpickler(file).load()
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in unpickler.storages:
            raise WeightsError(f"storage {key!r} belongs to no tensor.")
        dtype, _, _ = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        length = count * _item_size(dtype)
        if length > len(data) - file.tell():
            raise WeightsError(f"storage {key!r} is truncated.")
        places[key] = (file.tell(), length)
        file.seek(length, io.SEEK_CUR)

    def load(storage: Storage) -> np.ndarray:
        start, length = places[storage.key]
        return _numbers(data[start : start + length], storage, "<")

    return tree, load


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def _numbers(data: bytes, storage: Storage, order: str) -> np.ndarray:
    if len(data) != storage.size * _item_size(storage.dtype):
        raise WeightsError(
            f"storage {storage.key!r} has {len(data)} bytes for {storage.size} numbers."
        )
    if storage.dtype == "bf16":  # The upper half of a float32.
        halves = np.frombuffer(data, order + "u2").astype(np.uint32)
        return (halves << 16).view(np.float32)
    numbers = np.frombuffer(data, order + storage.dtype)
    return numbers.astype(storage.dtype, copy=False)


def _with_arrays(tree: Any, load: Load) -> Any:
    """Copies a tree with every tensor loaded."""
    if isinstance(tree, Tensor):
        return _array(tree, load)
    if isinstance(tree, Storage):
        return load(tree)
    if isinstance(tree, dict):
        return {key: _with_arrays(value, load) for key, value in tree.items()}
    if type(tree) in (list, tuple, set):
        return type(tree)(_with_arrays(value, load) for value in tree)
    return tree


def _array(tensor: Tensor, load: Load) -> np.ndarray:
    storage, offset, shape, strides = tensor
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(
        type(number) is int and number >= 0 for number in numbers
    ):
        raise WeightsError(f"a tensor has the shape {shape} and strides {strides}.")
    reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    count = math.prod(shape)
    # The second limit refuses views that repeat few numbers into very many.
    if count and (reach > storage.size or count > storage.size):
        raise WeightsError(f"a tensor of shape {shape} exceeds its storage.")
    flat = load(storage)
    if not count:
        return np.zeros(shape, flat.dtype)
    steps = tuple(stride * flat.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps).copy()


class _RebuildTensor:
    """Stands for PyTorch's functions that make a tensor of a storage."""

    # Without attributes a pickle cannot alter it; so with the classes below.
    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *rest) -> Tensor:
        del rest  # Gradient flag, hooks and metadata.
        if not isinstance(storage, Storage):
            raise WeightsError("a tensor has no storage.")
        return Tensor(storage, offset, tuple(shape), tuple(strides))


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, tensor, *rest) -> Tensor:
        del rest
        if not isinstance(tensor, Tensor):
            raise WeightsError("a parameter has no tensor.")
        return tensor


class _MakeTuple:
    __slots__ = ()

    def __call__(self, items=()) -> tuple:
        return tuple(items)


class _StorageType(NamedTuple):
    dtype: str


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    ("torch", "Size"): _MakeTuple(),
} | {("torch", name): _StorageType(dtype) for name, dtype in DTYPES.items()}
"""All that a pickle may name, and what stands for it here."""


class _Unpickler(pickle.Unpickler):
    """Rebuilds containers and tensors and refuses every other name."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in ALLOWED:
            raise WeightsError(
                f"it names {module_name}.{global_name}, which is neither a tensor nor "
                "a plain container; pickled code is never run."
            )
        return ALLOWED[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> Storage:
        # ("storage", type, key, device, count) and, before 1.6, a view or None.
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise WeightsError("it refers to something that is not a storage.")
        kind, key, count = pid[1], pid[2], pid[4]
        valid = isinstance(kind, _StorageType) and isinstance(key, str)
        if not valid or type(count) is not int or count < 0 or any(pid[5:]):
            raise WeightsError(f"it refers to a storage in an unknown way: {pid[2:]}.")
        self.storages[key] = Storage(kind.dtype, key, count)
        return self.storages[key]
