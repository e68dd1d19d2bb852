"""R2: keeps the critic flat at generated images.

    L_D = gamma / 2 * |grad_x D(G(z))|^2

References:
    Mescheder et al. 2018, section 4.1, https://arxiv.org/abs/1801.04406
"""

import jax
from jaxtyping import Array, Float

from jaxanon.objectives import penalties
from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(*, gamma: float = 1.0) -> Objective:
    """Makes the penalty.

    Args:
        gamma: weight; the gradient is per image in [-1, 1], so it grows with the area.
    """

    def discriminator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del key, step
        slope = penalties.input_gradient(critic, samples.fake)
        penalty = penalties.squared_norm(slope)
        return 0.5 * gamma * penalty, {"r2": penalty.mean()}

    return Objective(discriminator, nothing)
