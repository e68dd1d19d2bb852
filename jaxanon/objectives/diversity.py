"""Mode seeking: two latents for one condition should give two different faces.

    L_G = 1 / (mean_mask |G(c, z1) - G(c, z2)| + margin)

The paper divides by |z1 - z2|; between two fresh normal latents of many dimensions that
is nearly constant, so it is left out. It needs ``samples.second``.

References:
    Mao et al. 2019, MSGAN, equation 2, https://arxiv.org/abs/1903.05628
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(*, margin: float = 0.1) -> Objective:
    """Makes the term.

    Args:
        margin: above 0; two equal faces cost 1 / margin.
    """
    if margin <= 0:
        raise ValueError(f"margin must be above 0, got {margin}.")

    def generator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del critic, key, step
        if samples.second is None:
            raise ValueError("diversity needs samples.second, a face of another z.")
        mask = samples.mask.astype(jnp.float32)
        difference = jnp.abs(
            samples.fake.astype(jnp.float32) - samples.second.astype(jnp.float32)
        ).mean(-1, keepdims=True)
        area = jnp.maximum(mask.sum(axis=(1, 2, 3)), 1.0)
        distance = jnp.sum(mask * difference, axis=(1, 2, 3)) / area
        return 1 / (distance + margin), {"diversity": distance.mean()}

    return Objective(nothing, generator)
