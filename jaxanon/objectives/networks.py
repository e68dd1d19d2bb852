"""Fixed feature networks that objectives look through: by name, never learnt."""

import importlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxanon.errors import ConfigError

Features = Callable[[Array], Sequence[Array]]
"""images [b h w 3] -> feature maps, each [b h' w' c]; pure, and fixed."""


def find(name: str) -> Features:
    """Returns ``random``'s features, or the function of a dotted name.

    Raises:
        ConfigError: there is no such function.
    """
    if name == "random":
        return _random_network()
    module, _, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, ValueError, AttributeError) as error:
        raise ConfigError(f"No feature function {name!r}: {error}.") from error
    if not callable(found):
        raise ConfigError(f"Feature function {name!r} cannot be called.")
    return cast(Features, found)


def _random_network() -> Features:
    """Makes three random 3x3 convolutions with leaky ReLU: full, half, quarter size.

    Their seed is fixed, as a published network's weights would be.
    """
    rng, depths = np.random.default_rng(2021), (3, 16, 32, 64)
    kernels = [
        (rng.normal(size=(3, 3, a, b)) * (2 / (9 * a)) ** 0.5).astype(np.float32)
        for a, b in pairwise(depths)
    ]

    def features(images: Array) -> list[Array]:
        x, maps = images.astype(jnp.float32), []
        for index, kernel in enumerate(kernels):
            x = jax.lax.conv_general_dilated(
                x,
                jnp.asarray(kernel),
                (1, 1) if index == 0 else (2, 2),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.leaky_relu(x, 0.2)
            maps.append(x)
        return maps

    return features
