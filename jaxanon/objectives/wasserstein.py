"""The Wasserstein objective alone; it needs a penalty beside it (see wgan_gp).

    L_D = D(G(z)) - D(x)
    L_G = -D(G(z))

References:
    Arjovsky et al. 2017, equations 2 and 3, https://arxiv.org/abs/1701.07875
"""

import jax
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
    return fake - real, {"score_real": real.mean(), "score_fake": fake.mean()}


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    return -critic(samples.fake), {}
