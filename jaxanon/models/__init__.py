"""The networks as pure functions of explicit parameters.

``init_*`` makes parameters, the other functions use them; a config says which network.
Images are NHWC in [-1, 1], parameters are nested dicts of float32 arrays.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanon.models import generator as _unet
from jaxanon.models.discriminator import (
    Discriminator,
    Encoder,
    ProjectedDiscriminator,
)
from jaxanon.models.discriminator import DiscriminatorConfig as DiscriminatorConfig
from jaxanon.models.discriminator import EncoderConfig as EncoderConfig
from jaxanon.models.discriminator import ProjectedConfig as ProjectedConfig
from jaxanon.models.generator import Generator
from jaxanon.models.generator import GeneratorConfig as GeneratorConfig
from jaxanon.types import KEYPOINTS, Condition

Params = Mapping[str, Any]
AnyDiscriminator = DiscriminatorConfig | ProjectedConfig
Look = Callable[[Array], Sequence[Array]]
"""images [b h w 3] -> maps of a fixed network."""


def empty_condition(batch: int, resolution: int) -> Condition:
    """Makes a condition of zeros, to initialise or compile a network with."""
    size = (batch, resolution, resolution)
    return Condition(
        image=jnp.zeros((*size, 3)),
        mask=jnp.zeros((*size, 1)),
        keypoints=jnp.zeros((batch, len(KEYPOINTS), 2)),
        visible=jnp.zeros((batch, len(KEYPOINTS))),
    )


def latent_shape(config: Any) -> tuple[int, ...]:
    """Returns the shape of one latent z of a generator."""
    if isinstance(config, GeneratorConfig):
        return (config.latent_dim,)
    return _published().latent_shape(config)


def turn_limit(config: Any) -> float:
    """Returns how far heads may be turned for a generator; see ``pose.limit_turn``."""
    return config.turn if isinstance(config, GeneratorConfig) else 0.0


def init_generator(key: jax.Array, config: Any) -> Params:
    """Draws the parameters of a generator."""
    if not isinstance(config, GeneratorConfig):
        return _published().init(key, config)
    condition = empty_condition(1, config.resolution)
    z = jnp.zeros((1, config.latent_dim))
    return Generator(config).init(key, condition, z)["params"]


def generate(
    config: Any, params: Params, condition: Condition, z: Float[Array, "b *z"]
) -> Float[Array, "b h w 3"]:
    """Paints one face per condition.

    Args:
        config: A ``GeneratorConfig`` or ``DeepPrivacyConfig``.
        params: What ``init_generator`` or a weights file gave for this config.
        condition: The erased crops, masks and keypoints, of ``config.resolution``.
        z: Latents, ``[b, *latent_shape(config)]``; see ``sample_latent``.

    Returns:
        float32 images in about [-1, 1], not clipped. Only the masked part is meant to
        be used: see ``blend.inpaint``.
    """
    if isinstance(config, GeneratorConfig):
        faces = Generator(config).apply({"params": params}, condition, z)
    else:
        faces = _published().generate(config, params, condition, z)
    return jnp.asarray(faces, jnp.float32)


def prepare(kind: str, params: Params) -> Params:
    """Rearranges parameters for a CPU, where their network has something to gain."""
    if kind == "deepprivacy_v1":
        return _published().prepare(params)
    return _unet.prepare(params) if kind == "unet" else params


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


def _published():
    from jaxanon.models import deepprivacy

    return deepprivacy
