"""R1 from finite differences: no gradient of a gradient, at the cost of noise.

    L_D = gamma / 2 * ( (D(x + sigma e) - D(x)) / sigma )^2,  e ~ N(0, I)

For small sigma its expectation is that of r1: e . grad D has the variance |grad D|^2.
Keep the scores in float32: in bfloat16 the difference drowns in rounding.

References:
    Lin et al. 2025, approximated R1, https://arxiv.org/abs/2501.08316
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(*, gamma: float = 1.0, sigma: float = 0.01, masked: bool = False) -> Objective:
    """Makes the penalty.

    Args:
        gamma: weight; the gradient is per image in [-1, 1], so it grows with the area.
        sigma: size of the noise, above 0. Large noise forbids the critic to see detail.
        masked: True = noise in the generated pixels only, where reals and fakes differ.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be above 0, got {sigma}.")

    def discriminator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del step
        real = samples.real.astype(jnp.float32)
        noise = jax.random.normal(key, real.shape)
        if masked:
            noise = noise * samples.mask.astype(jnp.float32)
        slope = (critic(real + sigma * noise) - critic(real)) / sigma
        penalty = jnp.square(slope)
        return 0.5 * gamma * penalty, {"r1_difference": penalty.mean()}

    return Objective(discriminator, nothing)
