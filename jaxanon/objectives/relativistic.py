"""The relativistic pairing objective: is this real more real than this fake?

    L_D = softplus(-(D(x) - D(G(z))))
    L_G = softplus(-(D(G(z)) - D(x)))

Pairs are by index, so here a fake is compared with the real face whose place it took.

References:
    Jolicoeur-Martineau 2018, RGAN, equations 5 and 6 with f = log sigmoid,
    https://arxiv.org/abs/1807.00734; R3GAN, equation 2, https://arxiv.org/abs/2501.05441
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
    metrics = {"score_real": real.mean(), "score_fake": fake.mean()}
    return jax.nn.softplus(fake - real), metrics


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    return jax.nn.softplus(critic(samples.real) - critic(samples.fake)), {}
