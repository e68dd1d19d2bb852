"""The drift penalty of progressive growing: keeps scores of reals near 0.

    L_D = weight * D(x)^2

References:
    Karras et al. 2018, appendix A.1, https://arxiv.org/abs/1710.10196
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(*, weight: float = 0.001) -> Objective:
    """Makes the penalty.

    Args:
        weight: the epsilon_drift of the paper.
    """

    def discriminator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del key, step
        drift = jnp.square(critic(samples.real))
        return weight * drift, {"epsilon": drift.mean()}

    return Objective(discriminator, nothing)
