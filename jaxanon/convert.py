"""Turns the published DeepPrivacy checkpoints into a weights file.

The generator of 2019 circulates under two sets of names: those of its first release
and those of the 2020 code. Both are the network of
``models.generators.deepprivacy_v1``.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxanon import weights
from jaxanon.errors import WeightsError
from jaxanon.models.generators.deepprivacy_v1 import DeepPrivacyConfig
from jaxanon.torch_pickle import read_torch
from jaxanon.types import FDF_KEYPOINTS

GRIDS = (128, 64, 32, 16, 8, 4)
UNUSED = ("from_rgb_old.", "to_rgb_old.")
"""Layers of the first release that only take part while the network grows."""


def convert(
    checkpoint_path: str | os.PathLike[str], out_path: str | os.PathLike[str]
) -> None:
    """Converts a checkpoint of the published generator.

    Args:
        checkpoint_path: a file that ``torch.save`` wrote: the whole checkpoint, of
            which the running average is taken, or a state dict alone.
        out_path: the safetensors file to write, float32.

    Raises:
        WeightsError: the checkpoint cannot be read or is of another network.
    """
    saved = read_torch(checkpoint_path, select=_select_generator)
    try:
        config, params, release = _to_params(saved)
    except WeightsError as error:
        raise WeightsError(f"Cannot convert {checkpoint_path}: {error}") from error
    with open(checkpoint_path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    provenance = {
        "converted_from": Path(checkpoint_path).name,
        "converted_from_sha256": sha256,
        "network": "DeepPrivacy (Hukkelas et al. 2019)",
        "release": release,
        "licence": "that of the checkpoint, which follows its training set",
    }
    weights.save(
        out_path, "deepprivacy_v1", config, params, provenance, dtype="float32"
    )


def _select_generator(tree: Any) -> Any:
    """Picks the state dict of the averaged generator out of a checkpoint."""
    if not isinstance(tree, Mapping):
        raise WeightsError("it holds no state dict.")
    if "EMA_generator" in tree or "style_net.fc0.weight" in tree:
        raise WeightsError(
            "it is a checkpoint of DeepPrivacy2, which is not supported; "
            "supported is the DeepPrivacy generator of 2019 (deepprivacy_v1)."
        )
    state = tree.get("running_average_generator", tree)
    if not isinstance(state, Mapping):
        raise WeightsError("its running_average_generator is not a state dict.")
    if "parameters" in state:
        if state.get("transition_value", 1.0) != 1.0:
            raise WeightsError("its network is still growing to the next resolution.")
        state = state["parameters"]
    if not isinstance(state, Mapping) or not all(isinstance(k, str) for k in state):
        raise WeightsError("it holds no state dict.")
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _to_params(
    state: Mapping[str, Any],
) -> tuple[DeepPrivacyConfig, dict[str, Any], str]:
    """Renames and transposes a state dict; also returns which release named it."""
    if any(key.startswith("rgb_convolutions.") for key in state):
        raise WeightsError(
            "it is an MSG generator (fdf128_rcnn512 or a sibling), which is not "
            "supported; supported is the DeepPrivacy generator of 2019."
        )
    if "core_blocks_down.4.1.0.0.conv.weight" in state:
        release, layers, weight, epsilon = "2019", _names_2019(), "conv.weight", 1e-8
    elif "decoder.conv1x1.conv.0.weight" in state:
        release, layers, weight, epsilon = "2020", _names_2020(), "weight", 1e-7
    else:
        raise WeightsError(
            "its parameters are not those of the DeepPrivacy generator of 2019; "
            f"the first ones are {', '.join(sorted(state)[:3]) or 'none'}."
        )
    left = {key for key in state if not key.startswith(UNUSED)}
    params: dict[str, Any] = {}
    for name, module in layers.items():
        left -= {f"{module}.{weight}", f"{module}.bias"}
        kernel = _array(state, f"{module}.{weight}", 4).transpose(2, 3, 1, 0)
        conv = {"kernel": kernel, "bias": _array(state, f"{module}.bias").reshape(-1)}
        params[name] = conv if name == "to_rgb" else {"conv": conv}
    if left:
        raise WeightsError(f"it has unknown parameters: {', '.join(sorted(left)[:3])}.")
    *_, inputs, width = params["merge_4"]["conv"]["kernel"].shape
    config = DeepPrivacyConfig(
        resolution=GRIDS[0],
        width=width,
        latent_channels=inputs - width - len(FDF_KEYPOINTS),
        norm_epsilon=epsilon,
    )
    return config, params, release


def _array(state: Mapping[str, Any], key: str, ndim: int | None = None) -> np.ndarray:
    value = state.get(key)
    if not isinstance(value, np.ndarray) or ndim not in (None, value.ndim):
        raise WeightsError(f"it has no usable parameter {key}.")
    return value.astype(np.float32)


def _names_2019() -> dict[str, str]:
    """Maps our layers to the modules of the progressively grown network."""
    names = {"from_rgb": "from_rgb_new.0", "to_rgb": "to_rgb_new"}
    names |= {"merge_4": "core_blocks_up.0.0.0.0", "merge_128": "new_up.0.0"}
    for i in range(2):
        names[f"down_128_{i}"] = f"new_down.0.model.{i}.0"
        names[f"down_64_{i}"] = f"core_blocks_down.0.0.model.{i}.0"
        names[f"down_4_{i}"] = f"core_blocks_down.4.1.{i}.0"
        names[f"up_4_{i}"] = f"core_blocks_up.0.0.1.model.{i}.0"
        names[f"up_128_{i}"] = f"new_up.1.model.{i}.0"
        for block, size in enumerate((32, 16, 8), 1):
            names[f"down_{size}_{i}"] = f"core_blocks_down.{block}.1.model.{i}.0"
        for block, size in enumerate((8, 16, 32, 64), 1):
            names[f"up_{size}_{i}"] = f"core_blocks_up.{block}.1.model.{i}.0"
            names[f"merge_{size}"] = f"core_blocks_up.{block}.0.0"
    return names


def _names_2020() -> dict[str, str]:
    """Maps our layers to the modules of the later code, whose blocks count upwards."""
    names = {"from_rgb": "encoder.from_rgb.conv.0", "to_rgb": "to_rgb"}
    names["merge_4"] = "decoder.conv1x1.conv.0"
    for block, size in enumerate(reversed(GRIDS)):
        for i, layer in enumerate((0, 3)):
            names[f"down_{size}_{i}"] = f"encoder.basic_block{block}.layers.{layer}"
            names[f"up_{size}_{i}"] = f"decoder.basic_block{block}.layers.{layer}"
        if block:
            names[f"merge_{size}"] = f"decoder.skip_connection{block}.conv.layers.0"
    return names
