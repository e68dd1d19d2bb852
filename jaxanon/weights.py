"""One file is one network: safetensors with parameters, config and provenance.

Parameters are a nested dict in memory and ``"a/b/c"`` names on disk. The metadata
holds ``kind``, ``config`` and ``provenance`` (JSON) and the version of this layout.
Equal contents make equal bytes, so the hash of a file names the network.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from jaxanon import fields
from jaxanon.errors import ConfigError, WeightsError
from jaxanon.models import generators

VERSION = "1"
SUFFIX = ".safetensors"
ASSETS = Path(str(resources.files("jaxanon") / "assets"))

OTHERS = {
    "keypointer": ("jaxanon.models.keypointer", "KeypointerConfig", "init"),
    "matcher": ("jaxanon.models.matcher", "MatcherConfig", "init"),
}
"""Kinds that are no generators: module, config class, function that draws params."""


class Weights(NamedTuple):
    """A network that is ready to use."""

    kind: str
    """Which network: a generator's, or one of ``OTHERS``."""
    config: Any
    """The frozen dataclass of that kind."""
    params: dict[str, Any]
    """Nested dict of float32 arrays."""
    provenance: dict[str, Any]
    """Where the numbers come from: data, licences, metrics."""
    sha256: str
    """Hash of the file."""
    cast: Any = None
    """Whom a painter of donors paints from, see ``donors.choose``; None = the shipped
    bank."""


def names() -> list[str]:
    """Lists the weights that ship with the library."""
    return sorted(path.stem for path in ASSETS.glob("*" + SUFFIX))


def load(name_or_path: str | os.PathLike[str]) -> Weights:
    """Loads a network by the name of shipped weights or from a file.

    Args:
        name_or_path: one of ``names()``, else the path of a file.

    Raises:
        WeightsError: the file is missing, damaged, of an unknown kind or layout, or
            its parameters are not those of its config.
    """
    path = _find(name_or_path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"Cannot read weights {path}: {error.strerror}.") from error
    try:
        tensors, metadata = decode(data)
    except WeightsError as error:
        raise WeightsError(
            f"{path} is not a weights file: {error}. "
            "A published checkpoint must go through `jaxanon convert` first."
        ) from error
    with _named(path):
        kind, config, provenance = _read_metadata(metadata)
        _check_numbers(tensors)
        # It takes half a second, so the tests do it for the shipped files.
        if path.parent != ASSETS:
            _check_shapes(kind, config, tensors)
    params = unflatten({name: a.astype(np.float32) for name, a in tensors.items()})
    return Weights(kind, config, params, provenance, hashlib.sha256(data).hexdigest())


def save(
    path: str | os.PathLike[str],
    kind: str,
    config: Any,
    params: Mapping[str, Any],
    provenance: Mapping[str, Any],
    *,
    dtype: str = "float16",
) -> str:
    """Writes a network to a file, wholly or not at all.

    Args:
        path: where to; an existing file is replaced.
        kind: which network.
        config: the dataclass of that kind.
        params: nested dict of arrays.
        provenance: anything that JSON can hold.
        dtype: ``float16`` or ``float32``, of the numbers on disk.

    Returns:
        The SHA-256 of the file.

    Raises:
        WeightsError: the parameters are not those of the config, do not fit the
            dtype, or the file cannot be written.
    """
    if dtype not in ("float16", "float32"):
        raise ValueError(f"Dtype {dtype} must be float16 or float32.")
    with np.errstate(over="ignore"):  # Overflow is found by the check below.
        tensors = {k: np.asarray(v, dtype) for k, v in flatten(params).items()}
    with _named(path):
        if not isinstance(config, _model(kind)[0]):
            raise WeightsError(f"{type(config).__name__} is not the config of {kind}")
        _check_shapes(kind, config, tensors)
        _check_numbers(tensors)
    metadata = {
        "config": json.dumps(dataclasses.asdict(config), sort_keys=True),
        "kind": kind,
        "provenance": json.dumps(dict(provenance), sort_keys=True, allow_nan=False),
        "version": VERSION,
    }
    data = encode(tensors, metadata)
    write(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Turns nested dicts into one with ``"a/b/c"`` names."""
    flat = {}
    for name, value in params.items():
        if "/" in name:
            raise ValueError(f"Parameter name {name!r} must not contain a slash.")
        if isinstance(value, Mapping):
            flat |= {f"{name}/{rest}": leaf for rest, leaf in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turns ``"a/b/c"`` names into nested dicts."""
    params: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return params


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    name = os.fspath(name_or_path)
    if name in names():
        return ASSETS / (name + SUFFIX)
    path = Path(name)
    if not path.is_file():
        known = ", ".join(names()) or "none"
        raise WeightsError(
            f"No weights {name}: neither a file nor one of the shipped ones ({known})."
        )
    return path


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]):
    """Puts the name of the file in front of what is wrong with it."""
    try:
        yield
    except (WeightsError, ConfigError) as error:
        reason = str(error).removesuffix(".")
        raise WeightsError(f"Weights {os.fspath(path)}: {reason}.") from error


def _model(kind: str) -> tuple[type, Callable]:
    """Finds the config class of a kind and the function that makes its params."""
    if kind in generators.names():
        return generators.config_class(kind), generators.find(kind).init
    if kind not in OTHERS:
        known = ", ".join((*generators.names(), *OTHERS))
        raise WeightsError(f"unknown kind {kind!r}, not one of {known}")
    module_name, config_name, init_name = OTHERS[kind]
    module = importlib.import_module(module_name)
    return getattr(module, config_name), getattr(module, init_name)


def _read_metadata(metadata: Mapping[str, str]) -> tuple[str, Any, dict[str, Any]]:
    missing = {"config", "kind", "provenance", "version"} - set(metadata)
    if missing:
        raise WeightsError(f"no {', '.join(sorted(missing))} in the metadata")
    if metadata["version"] != VERSION:
        raise WeightsError(f"layout {metadata['version']!r} is not {VERSION!r}")
    try:
        values = json.loads(metadata["config"])
        provenance = json.loads(metadata["provenance"])
    except ValueError as error:
        raise WeightsError(f"metadata is not JSON: {error}") from error
    if not isinstance(values, dict) or not isinstance(provenance, dict):
        raise WeightsError("config and provenance must be JSON objects")
    config = fields.make(_model(metadata["kind"])[0], values)
    return metadata["kind"], config, provenance


def _check_shapes(kind: str, config: Any, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises unless the tensors are those that the config asks for."""
    init = _model(kind)[1]
    try:
        shapes = jax.eval_shape(lambda: init(jax.random.key(0), config))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise WeightsError(f"config {config} cannot be used: {error}") from error
    wanted = {name: leaf.shape for name, leaf in flatten(shapes).items()}
    for name in sorted(wanted.keys() ^ tensors.keys()):
        fault = "missing" if name in wanted else "unknown"
        raise WeightsError(f"{fault} parameter {name!r}")
    for name, array in tensors.items():
        if array.shape != wanted[name]:
            raise WeightsError(
                f"parameter {name!r} is {array.shape}, but its config asks for "
                f"{wanted[name]}"
            )


def _check_numbers(tensors: Mapping[str, np.ndarray]) -> None:
    """Raises unless the tensors are finite and of a dtype that `save` writes."""
    for name, array in tensors.items():
        if array.dtype not in (np.float16, np.float32):
            raise WeightsError(f"parameter {name!r} has the dtype {array.dtype}")
        if not np.isfinite(array).all():
            raise WeightsError(f"parameter {name!r} is not finite in {array.dtype}")


def _header(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def decode(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Decodes a safetensors file to its tensors and its metadata.

    Raises:
        WeightsError: It is damaged, or no such file.
    """
    try:
        tensors = safetensors.numpy.load(data)
        return tensors, _header(data).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise WeightsError(f"not a safetensors file, or a damaged one: {error}") from (
            error
        )


def encode(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Encodes a safetensors file, the same in every run."""
    # The library shuffles metadata; a header in one order gives one hash.
    data = safetensors.numpy.save(
        {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    )
    header = json.dumps({"__metadata__": metadata} | _header(data)).encode()
    header += b" " * (-len(header) % 8)
    body = data[8 + int.from_bytes(data[:8], "little") :]
    return len(header).to_bytes(8, "little") + header + body


def write(path: Path, data: bytes) -> None:
    """Writes a file wholly or not at all.

    Raises:
        WeightsError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WeightsError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)
