"""DRAGAN: the non-saturating objective with slope 1 around the real images.

    L_D = softplus(-D(x)) + softplus(D(G(z))) + weight (|grad D(x + d)| - 1)^2
    L_G = softplus(-D(G(z))),  d ~ N(0, (noise * std(x))^2)

std(x) is that of one image, so that no example's loss depends on another's.

References:
    Kodali et al. 2017, section 2.3 and algorithm 1, https://arxiv.org/abs/1705.07215
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives import non_saturating, penalties
from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, add, nothing


def make(*, weight: float = 10.0, noise: float = 0.5) -> Objective:
    """Makes the objective.

    Args:
        weight: the lambda of the paper.
        noise: spread of the points around an image, in its standard deviations.
    """

    def discriminator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del step
        real = samples.real.astype(jnp.float32)
        spread = noise * real.std(axis=(1, 2, 3), keepdims=True)
        points = real + spread * jax.random.normal(key, real.shape, jnp.float32)
        points = points.astype(samples.real.dtype)
        slope = penalties.norm(penalties.input_gradient(critic, points))
        return weight * jnp.square(slope - 1), {"slope": slope.mean()}

    return add(non_saturating.make(), Objective(discriminator, nothing))
