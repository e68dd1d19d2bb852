"""The least-squares objective, with labels 0 for fakes and 1 for reals.

    L_D = 1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2
    L_G = 1/2 (D(G(z)) - 1)^2

References:
    Mao et al. 2017, LSGAN, equation 9, https://arxiv.org/abs/1611.04076
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples


def make() -> Objective:
    """Makes the objective; it has no settings."""
    return Objective(_discriminator, _generator)


def _discriminator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    real, fake = critic(samples.real), critic(samples.fake)
    loss = 0.5 * jnp.square(real - 1) + 0.5 * jnp.square(fake)
    return loss, {"score_real": real.mean(), "score_fake": fake.mean()}


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    return 0.5 * jnp.square(critic(samples.fake) - 1), {}
