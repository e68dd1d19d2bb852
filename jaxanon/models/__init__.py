"""The networks as pure functions of explicit parameters.

``init_*`` makes parameters, the other functions use them; a config says which network.
Images are NHWC in [-1, 1], parameters are nested dicts of float32 arrays.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import generators
from jaxanon.models.discriminator import (
    Discriminator,
    Encoder,
    ProjectedDiscriminator,
)
from jaxanon.models.discriminator import DiscriminatorConfig as DiscriminatorConfig
from jaxanon.models.discriminator import EncoderConfig as EncoderConfig
from jaxanon.models.discriminator import ProjectedConfig as ProjectedConfig
from jaxanon.models.generators.donor import DonorConfig as DonorConfig
from jaxanon.models.generators.unet import GeneratorConfig as GeneratorConfig
from jaxanon.types import Condition
from jaxanon.types import empty_condition as empty_condition

Params = Mapping[str, Any]
AnyDiscriminator = DiscriminatorConfig | ProjectedConfig
Look = Callable[[Array], Sequence[Array]]
"""images [b h w 3] -> maps of a fixed network."""


def is_generator(kind: str) -> bool:
    """Says whether a kind of weights is a generator's."""
    return kind in generators.names()


def latent_kind(config: Any) -> str:
    """Returns what a generator draws a face from: ``normal``, a z, or ``donor``."""
    return generators.find(config.kind).LATENT


def latent_shape(config: Any) -> tuple[int, ...]:
    """Returns the shape of one latent z of a generator that has a normal one."""
    return generators.find(config.kind).latent_shape(config)


def turn_limit(config: Any) -> float:
    """Returns how far heads may be turned for a generator; see ``pose.limit_turn``."""
    return getattr(config, "turn", 0.0)


def init_generator(key: jax.Array, config: Any) -> Params:
    """Draws the parameters of a generator."""
    return generators.find(config.kind).init(key, config)


def generate(
    config: Any, params: Params, condition: Condition, latent: Any
) -> Float[Array, "b h w 3"]:
    """Paints one face per condition.

    Args:
        config: Of a generator; see ``models.generators``.
        params: What ``init_generator`` or a weights file gave for this config.
        condition: The erased crops, masks and keypoints, of ``config.resolution``.
        latent: Latents, ``[b, *latent_shape(config)]``, see ``sample_latent``; or
            a ``Donor``.

    Returns:
        float32 images in about [-1, 1], not clipped. Only the masked part is meant to
        be used: see ``blend.inpaint``.
    """
    faces = generators.find(config.kind).generate(config, params, condition, latent)
    return jnp.asarray(faces, jnp.float32)


def prepare(kind: str, params: Params) -> Params:
    """Rearranges parameters for a CPU, where their network has something to gain."""
    if not is_generator(kind):
        return params
    module = generators.find(kind)
    return module.prepare(params) if hasattr(module, "prepare") else params


def sample_latent(
    key: jax.Array, batch: int, shape: tuple[int, ...], *, truncation: float = 1.0
) -> Float[Array, "b *z"]:
    """Draws latents from a normal distribution of standard deviation ``truncation``.

    Args:
        key: A typed random key.
        batch: How many.
        shape: Of one latent; see ``latent_shape``.
        truncation: 1 = as trained; smaller is more ordinary and less diverse.
    """
    return truncation * jax.random.normal(key, (batch, *shape))


def init_discriminator(
    key: jax.Array, config: AnyDiscriminator, look: Look | None = None
) -> Params:
    """Draws the parameters of a discriminator.

    Args:
        key: A typed random key.
        config: Of it.
        look: The fixed network through which a projected one sees.
    """
    condition = empty_condition(1, config.resolution)
    seen, network = condition.image, _discriminator(config)
    if look is not None:
        shapes = jax.eval_shape(look, condition.image)
        seen = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), list(shapes))
    return network.init(key, seen, condition)["params"]


def discriminate(
    config: AnyDiscriminator, params: Params, seen: Any, condition: Condition
) -> tuple[Float[Array, "b n"], list[Float[Array, "b _ _ _"]]]:
    """Scores images given their condition; higher means more real.

    Args:
        config: Of the discriminator.
        params: Of it.
        seen: Images ``[b h w 3]`` or, for a ``ProjectedConfig``, the maps of them.
        condition: What the generator was given.

    Returns:
        Scores, one or several for each image, and features, finest first.
    """
    network = _discriminator(config)
    scores, features = network.apply({"params": params}, seen, condition)  # type: ignore[misc]
    return scores.reshape(len(scores), -1), features  # type: ignore[return-value]


def _discriminator(config: AnyDiscriminator) -> Discriminator | ProjectedDiscriminator:
    if isinstance(config, ProjectedConfig):
        return ProjectedDiscriminator(config)
    return Discriminator(config)


def init_encoder(key: jax.Array, config: EncoderConfig) -> Params:
    """Draws the parameters of the training-time face encoder."""
    condition = empty_condition(1, config.resolution)
    return Encoder(config).init(key, condition.image, condition.mask)["params"]


def encode(
    config: EncoderConfig,
    params: Params,
    images: Float[Array, "b h w 3"],
    mask: Float[Array, "b h w 1"],
) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
    """Returns mean and log variance of each real face's latent."""
    return Encoder(config).apply({"params": params}, images, mask)  # type: ignore[return-value]
