"""The gradient penalty of WGAN-GP: slope 1 on the lines between reals and fakes.

    L_D = weight * (|grad D(x')| - target)^2,  x' = x + u (G(z) - x),  u ~ U(0, 1)

References:
    Gulrajani et al. 2017, equation 3, https://arxiv.org/abs/1704.00028;
    one-sided: Petzka et al. 2018, equation 8, https://arxiv.org/abs/1709.08894
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives import penalties
from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(
    *,
    weight: float = 10.0,
    target: float = 1.0,
    one_sided: bool = False,
    masked: bool = False,
) -> Objective:
    """Makes the penalty.

    Args:
        weight: the lambda of the paper.
        target: the slope that is asked for.
        one_sided: punish only slopes above the target.
        masked: look only at the slope with respect to generated pixels.
    """

    def discriminator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del step
        points = penalties.interpolate(key, samples.real, samples.fake)
        gradient = penalties.input_gradient(critic, points)
        if masked:
            gradient = gradient * samples.mask.astype(jnp.float32)
        slope = penalties.norm(gradient)
        excess = jax.nn.relu(slope - target) if one_sided else slope - target
        return weight * jnp.square(excess), {"slope": slope.mean()}

    return Objective(discriminator, nothing)
