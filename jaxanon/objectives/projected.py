"""Projected GAN: any objective whose critic sees images through a fixed network.

    L(D, x, G(z)) = base(D o P, x, G(z)),  P(x) = sum_l resize( M_l f_l(x) )

f_l are the maps of a fixed feature network and M_l fixed random mixtures of their
channels into three (cross-channel mixing); resized to the image's size and summed over
the layers (cross-scale mixing), they are what the critic takes for an image. Only the
critic learns. The network is a random one, or any function of yours by dotted name.

References:
    Sauer et al. 2021, equation 2 and section 3.2, https://arxiv.org/abs/2111.01007
"""

import importlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanon.errors import ConfigError
from jaxanon.objectives import registry
from jaxanon.objectives.base import Critic, LossFn, Metrics, Objective, Samples

Features = Callable[[Array], Sequence[Array]]
"""images [b h w 3] -> feature maps, each [b h' w' c]; pure, and fixed."""


def make(
    *, objective: str = "hinge", features: str = "random", seed: int = 0
) -> Objective:
    """Makes the objective.

    Args:
        objective: name of the objective that the projected critic plays.
        features: "random", or the dotted name of a feature function.
        seed: of the random mixtures of channels.
    """
    base = registry.make(objective)
    network = _random_network() if features == "random" else _resolve(features)

    def project(images: Array) -> Array:
        return _project(images, network, seed)

    def projected(part: LossFn) -> LossFn:
        def loss(
            critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
        ) -> tuple[Float[Array, "b"], Metrics]:
            seen = Critic(
                lambda images: critic.scores(project(images)),
                lambda images: critic.features(project(images)),
            )
            return part(seen, samples, key, step)

        return loss

    return Objective(projected(base.discriminator), projected(base.generator))


def _resolve(name: str) -> Features:
    module, _, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, ValueError, AttributeError) as error:
        raise ConfigError(f"No feature function {name!r}: {error}.") from error
    if not callable(found):
        raise ConfigError(f"Feature function {name!r} cannot be called.")
    return cast(Features, found)


def _project(
    images: Float[Array, "b h w 3"], network: Features, seed: int
) -> Float[Array, "b h w 3"]:
    rng = np.random.default_rng(seed)
    total = jnp.zeros(images.shape, jnp.float32)
    maps = network(images)
    for layer in maps:
        depth = layer.shape[-1]
        mixture = rng.normal(size=(depth, 3)).astype(np.float32) / depth**0.5
        mixed = layer.astype(jnp.float32) @ jnp.asarray(mixture)
        total = total + jax.image.resize(mixed, images.shape, "bilinear")
    return (total / len(maps) ** 0.5).astype(images.dtype)


def _random_network() -> Features:
    """Makes three random 3x3 convolutions with leaky ReLU: full, half, quarter size.

    Their seed is fixed, as a published network's weights would be; ``seed`` of make
    turns the mixtures of what they give.
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
