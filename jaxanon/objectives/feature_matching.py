"""Feature matching: the critic's inner features of two images should agree.

    L_G = 1/L sum_l mean( |f_l(x) - f_l(y)| )

where f_l are the critic's feature maps and y is the reconstruction
G(condition, z ~ q(z | x)) if there is one, else the fake.

References:
    Larsen et al. 2016, VAE/GAN, equation 7, https://arxiv.org/abs/1512.09300;
    Wang et al. 2018, pix2pixHD, equation 4, https://arxiv.org/abs/1711.11585
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make() -> Objective:
    """Makes the term; its critic must have features."""
    return Objective(nothing, _generator)


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    painted = samples.fake if samples.reconstruction is None else samples.reconstruction
    wanted, got = critic.features(samples.real), critic.features(painted)
    layers = [_difference(x, y) for x, y in zip(wanted, got, strict=True)]
    loss = jnp.stack(layers).mean(0)
    return loss, {"feature_matching": loss.mean()}


def _difference(
    wanted: Float[Array, "b *shape"], got: Float[Array, "b *shape"]
) -> Float[Array, "b"]:
    wanted = jax.lax.stop_gradient(wanted).astype(jnp.float32)
    difference = jnp.abs(wanted - got.astype(jnp.float32))
    return difference.mean(axis=tuple(range(1, difference.ndim)))
