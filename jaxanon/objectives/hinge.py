"""The hinge objective of SAGAN and BigGAN.

    L_D = max(0, 1 - D(x)) + max(0, 1 + D(G(z)))
    L_G = -D(G(z))

Where the critic scores parts of a picture, the loss is the mean over the parts.

References:
    Lim and Ye 2017, Geometric GAN, https://arxiv.org/abs/1705.02894;
    Miyato et al. 2018, equations 16 and 17, https://arxiv.org/abs/1802.05957
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
    real, fake = critic.by_part(samples.real), critic.by_part(samples.fake)
    loss = jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)
    return loss.mean(-1), {"score_real": real.mean(), "score_fake": fake.mean()}


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    return -critic.by_part(samples.fake).mean(-1), {}
