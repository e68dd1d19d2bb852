"""The non-saturating logistic objective, the default of StyleGAN.

    L_D = softplus(-D(x)) + softplus(D(G(z)))
    L_G = softplus(-D(G(z)))

References:
    Goodfellow et al. 2014, section 3 (the generator maximises log D(G(z))),
    https://arxiv.org/abs/1406.2661
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
    loss = jax.nn.softplus(-real) + jax.nn.softplus(fake)
    return loss, {"score_real": real.mean(), "score_fake": fake.mean()}


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    return jax.nn.softplus(-critic(samples.fake)), {}
