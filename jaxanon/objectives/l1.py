"""Pixel reconstruction: the mean absolute difference from the real image.

    L_G = mean_hwc( w |x - y| ),  w = masked_weight * mask + context_weight * (1 - mask)

where y is the reconstruction G(condition, z ~ q(z | x)) if there is one, else the fake.

References:
    Isola et al. 2017, pix2pix, equation 3, https://arxiv.org/abs/1611.07004;
    with an encoder, Bao et al. 2017, CVAE-GAN, https://arxiv.org/abs/1703.10155
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(*, masked_weight: float = 1.0, context_weight: float = 1.0) -> Objective:
    """Makes the term.

    Args:
        masked_weight: weight of the pixels that are generated.
        context_weight: weight of the pixels that are kept.
    """

    def generator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del critic, key, step
        painted = (
            samples.fake if samples.reconstruction is None else samples.reconstruction
        )
        difference = jnp.abs(
            samples.real.astype(jnp.float32) - painted.astype(jnp.float32)
        ).mean(-1, keepdims=True)
        mask = samples.mask.astype(jnp.float32)
        weight = masked_weight * mask + context_weight * (1 - mask)
        loss = jnp.mean(weight * difference, axis=(1, 2, 3))
        return loss, {"l1": loss.mean()}

    return Objective(nothing, generator)
