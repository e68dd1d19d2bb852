"""The nouns of GAN objectives and the two ways to compose them.

An objective is a pair of loss functions, one for the discriminator and one for the
generator. Losses are per example, ``[b]`` float32 whatever the dtype of the images; the
training step takes the mean. Images are NHWC in [-1, 1].
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Metrics = dict[str, Float[Array, ""]]
"""Scalars worth watching, by name; float32."""


def _no_features(images: Array) -> Sequence[Array]:
    raise ValueError(
        "This critic was made without features; give Critic(scores, features)."
    )


class Critic(NamedTuple):
    """The discriminator with its parameters and condition already bound."""

    scores: Callable[[Array], Array]
    """images [b h w 3] -> scores [b]; higher = more real."""
    features: Callable[[Array], Sequence[Array]] = _no_features
    """images [b h w 3] -> inner feature maps, each [b ...]."""
    parts: Callable[[Array], Array] | None = None
    """images [b h w 3] -> scores [b n] by part and scale, of which ``scores`` is the
    mean, where the critic has such."""

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b"]:
        """Scores images, in float32."""
        return self.scores(images).astype(jnp.float32)

    def by_part(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b n"]:
        """Scores the parts of images, in float32; n = 1 where there are no parts."""
        if self.parts is None:
            return self(images)[:, None]
        return self.parts(images).astype(jnp.float32)


class Samples(NamedTuple):
    """What the losses compare; all of one batch and one condition per index."""

    real: jax.Array
    """[b h w 3]."""
    fake: jax.Array
    """[b h w 3], G(condition, z)."""
    mask: jax.Array
    """[b h w 1], 1 = generated."""
    reconstruction: jax.Array | None = None
    """[b h w 3], G(condition, z ~ q(z | real)), where an encoder is trained too."""
    second: jax.Array | None = None
    """[b h w 3], G(condition, another z), for terms that ask for diversity."""


LossFn = Callable[
    [Critic, Samples, jax.Array, jax.Array | int], tuple[jax.Array, Metrics]
]
"""(critic, samples, key, step) -> (loss per example [b], metrics)."""


class Objective(NamedTuple):
    """A loss for each player."""

    discriminator: LossFn
    generator: LossFn


def nothing(
    critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
) -> tuple[Float[Array, "b"], Metrics]:
    """Is the loss of a player whom a term does not concern."""
    del critic, key, step
    return jnp.zeros(samples.real.shape[0], jnp.float32), {}


def add(*terms: Objective) -> Objective:
    """Sums objectives: the sum of their losses, the union of their metrics.

    Every term draws its own randomness: term ``i`` gets ``fold_in(key, i)``. Of two
    terms that report a metric by one name, the first is heard.
    """
    if not terms:
        raise ValueError("add needs at least one objective.")

    def total(player: str) -> LossFn:
        losses = [getattr(term, player) for term in terms]

        def loss(
            critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
        ) -> tuple[Float[Array, "b"], Metrics]:
            value, metrics = nothing(critic, samples, key, step)
            for index, part in enumerate(losses):
                one, more = part(critic, samples, jax.random.fold_in(key, index), step)
                value, metrics = value + one, more | metrics
            return value, metrics

        return loss

    return Objective(total("discriminator"), total("generator"))


def scale(weight: float, term: Objective) -> Objective:
    """Multiplies the losses of an objective; its metrics stay as they are."""

    def scaled(part: LossFn) -> LossFn:
        def loss(
            critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
        ) -> tuple[Float[Array, "b"], Metrics]:
            value, metrics = part(critic, samples, key, step)
            return weight * value, metrics

        return loss

    return Objective(scaled(term.discriminator), scaled(term.generator))


def every(n: int, term: Objective) -> Objective:
    """Regularises lazily: n * term on steps divisible by n, else 0 and not computed.

    Metrics are multiplied by n as well, so that their mean over a window of steps is
    what it would be with the term on every step.

    References:
        StyleGAN2, appendix B "Lazy regularization", https://arxiv.org/abs/1912.04958
    """
    if n < 1:
        raise ValueError(f"every needs n of at least 1, got {n}.")
    if n == 1:
        return term
    return _sometimes(lambda step: step % n == 0, n, term)


def after(n: int, term: Objective) -> Objective:
    """Lets a term begin at step n; before that it is 0 and not computed.

    An adversary that begins once there is a face to judge does not win at once.
    """
    if n < 0:
        raise ValueError(f"after needs n of at least 0, got {n}.")
    return _sometimes(lambda step: step >= n, 1, term) if n else term


def _sometimes(
    due: Callable[[jax.Array], jax.Array], weight: int, term: Objective
) -> Objective:
    """Multiplies a term on the steps that are due; on others it is not computed."""

    def lazy(part: LossFn) -> LossFn:
        if part is nothing:
            return part

        def loss(
            critic: Critic, samples: Samples, key: jax.Array, step: jax.Array | int
        ) -> tuple[Float[Array, "b"], Metrics]:
            def compute() -> tuple[jax.Array, Metrics]:
                values = part(critic, samples, key, step)
                return jax.tree.map(lambda x: weight * x, values)

            def skip() -> tuple[jax.Array, Metrics]:
                shapes = jax.eval_shape(compute)
                return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

            return jax.lax.cond(due(jnp.asarray(step)), compute, skip)

        return loss

    return Objective(lazy(term.discriminator), lazy(term.generator))
