"""Input gradients of a critic: what every gradient penalty is made of."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxanon.objectives.base import Critic


def input_gradient(
    critic: Critic, images: Float[Array, "b h w 3"]
) -> Float[Array, "b h w 3"]:
    """Differentiates each score with respect to its own image; float32."""
    gradient = jax.grad(lambda x: critic(x).sum())(images)
    return gradient.astype(jnp.float32)


def squared_norm(gradient: Float[Array, "b h w 3"]) -> Float[Array, "b"]:
    """Sums squares over pixels and channels."""
    return jnp.sum(jnp.square(gradient), axis=(1, 2, 3))


def norm(gradient: Float[Array, "b h w 3"]) -> Float[Array, "b"]:
    """Takes the Euclidean norm, with an epsilon that keeps 0 differentiable."""
    return jnp.sqrt(squared_norm(gradient) + 1e-12)


def interpolate(
    key: PRNGKeyArray,
    real: Float[Array, "b h w 3"],
    fake: Float[Array, "b h w 3"],
) -> Float[Array, "b h w 3"]:
    """Draws one point, uniformly, on the line from each real image to its fake."""
    fake = fake.astype(real.dtype)
    share = jax.random.uniform(key, (real.shape[0], 1, 1, 1))
    share = jnp.broadcast_to(share, real.shape).astype(real.dtype)
    return real + share * (fake - real)
