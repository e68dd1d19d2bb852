"""Perceptual reconstruction: two images should agree in a fixed network's features.

    L_G = 1/L sum_l mean( |f_l(x) - f_l(y)| )

where f_l are the network's maps and y is the reconstruction G(condition, z ~ q(z | x))
if there is one, else the fake. Feature matching is the same with the critic's own maps.

References:
    Johnson et al. 2016, section 3.2 (there squared), https://arxiv.org/abs/1603.08155
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.objectives import networks
from jaxanon.objectives.base import Critic, Metrics, Objective, Samples, nothing


def make(*, features: str = "random") -> Objective:
    """Makes the term.

    Args:
        features: "random", or the dotted name of a function from images to maps; the
            function scales its maps so that they weigh what they should.
    """
    network = networks.find(features)

    def generator(
        critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
    ) -> tuple[Float[Array, "b"], Metrics]:
        del critic, key, step
        painted = (
            samples.fake if samples.reconstruction is None else samples.reconstruction
        )
        wanted, got = network(jax.lax.stop_gradient(samples.real)), network(painted)
        layers = [
            jnp.abs(x.astype(jnp.float32) - y.astype(jnp.float32)).mean((1, 2, 3))
            for x, y in zip(wanted, got, strict=True)
        ]
        loss = jnp.stack(layers).mean(0)
        return loss, {"perceptual": loss.mean()}

    return Objective(nothing, generator)
