"""The record of a run: which files, which faces, with what, as JSON."""

import dataclasses
import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jaxanon
from jaxanon.media import atomic
from jaxanon.pipeline import Options
from jaxanon.weights import Weights

VERSION = 1
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "onnxruntime", "pillow", "av")


def versions() -> dict[str, str]:
    """Lists the versions of what the result may depend on."""
    found = {"jaxanon": jaxanon.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe(
    *,
    weights: Weights | None,
    keypointer: Weights | None,
    options: Options,
    seed: int | None,
    device: str,
) -> dict[str, Any]:
    """Says with what a run was done; the seed only where one was given.

    Args:
        weights: Of the generator, if one was used.
        keypointer: Of the keypoint network, if one was used.
        options: How faces were found and hidden.
        seed: What the user gave; a secret one does not belong here.
        device: What the generator ran on.
    """
    described: dict[str, Any] = {
        "version": VERSION,
        "versions": versions(),
        "device": device,
        "weights": _name(weights),
        "keypointer": _name(keypointer),
        "options": dataclasses.asdict(options),
    }
    if seed is not None:
        described["seed"] = seed
    return described


def write(
    path: Path,
    header: dict[str, Any],
    *,
    files: Sequence[dict[str, Any]],
    failed: Sequence[dict[str, str]],
    skipped: Sequence[dict[str, str]],
    is_complete: bool,
) -> None:
    """Writes the manifest, atomically.

    Args:
        path: The JSON file.
        header: Of `describe`.
        files: One report per finished file.
        failed: "input" and "error" of each file that could not be done.
        skipped: "input" and "reason" of each file that is no media.
        is_complete: False where the run was interrupted.
    """
    content = {
        **header,
        "complete": is_complete,
        "files": list(files),
        "failed": list(failed),
        "skipped": list(skipped),
    }
    with atomic.replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def _name(weights: Weights | None) -> dict[str, str] | None:
    return weights and {"kind": weights.kind, "sha256": weights.sha256}
