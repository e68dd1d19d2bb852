"""The relativistic average objective: is this image more real than the others' mean?

    L_D = softplus(-(D(x) - E[D(G(z))])) + softplus(D(G(z)) - E[D(x)])
    L_G = softplus(-(D(G(z)) - E[D(x)])) + softplus(D(x) - E[D(G(z))])

The means are over the batch that the loss sees: one device's share of it.

References:
    Jolicoeur-Martineau 2018, RaSGAN, equations 9 to 12,
    https://arxiv.org/abs/1807.00734
"""

import jax
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples


def make() -> Objective:
    """Makes the objective; it has no settings."""
    return Objective(_discriminator, _generator)


def _above(better: Float[Array, "b"], worse: Float[Array, "b"]) -> Float[Array, "b"]:
    return jax.nn.softplus(worse.mean() - better) + jax.nn.softplus(
        worse - better.mean()
    )


def _discriminator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    real, fake = critic(samples.real), critic(samples.fake)
    metrics = {"score_real": real.mean(), "score_fake": fake.mean()}
    return _above(real, fake), metrics


def _generator(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    del key, step
    return _above(critic(samples.fake), critic(samples.real)), {}
