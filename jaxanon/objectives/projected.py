"""Projected GAN: any objective whose critic sees images through a fixed network.

    L(D, x, G(z)) = base(D o P, x, G(z)),  P(x) = sum_l resize( M_l f_l(x) )

f_l are the maps of a fixed feature network and M_l fixed random mixtures of their
channels into three (cross-channel mixing); resized to the image's size and summed over
the layers (cross-scale mixing), they are what the critic takes for an image. Only the
critic learns. The network is a random one, or any function of yours by dotted name.

References:
    Sauer et al. 2021, equation 2 and section 3.2, https://arxiv.org/abs/2111.01007
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanon.objectives import networks, registry
from jaxanon.objectives.base import Critic, LossFn, Metrics, Objective, Samples


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
    network = networks.find(features)

    def project(images: Array) -> Array:
        return _project(images, network, seed)

    def projected(part: LossFn) -> LossFn:
        def loss(
            critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
        ) -> tuple[Float[Array, "b"], Metrics]:
            seen = Critic(
                lambda images: critic.scores(project(images)),
                lambda images: critic.features(project(images)),
                lambda images: critic.by_part(project(images)),
            )
            return part(seen, samples, key, step)

        return loss

    return Objective(projected(base.discriminator), projected(base.generator))


def _project(
    images: Float[Array, "b h w 3"], network: networks.Features, seed: int
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
