"""All that training carries from one step to the next."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxanon import models
from jaxanon.objectives import networks
from train.config import OptimizerConfig, TrainConfig, has_encoder

Params = Any


class TrainState(NamedTuple):
    """A plain tree; everything random derives from ``key`` and ``step``."""

    step: jax.Array
    """int32, updates made."""
    generator: Params
    """``{"generator": ...}``, with ``"encoder"`` where there is a posterior."""
    generator_ema: Params
    """The generator's alone; what is evaluated and exported."""
    generator_opt: Any
    discriminator: Params
    discriminator_opt: Any
    key: jax.Array
    """Never advanced."""


def with_dtype(config: TrainConfig, platform: str) -> TrainConfig:
    """Writes the compute dtype into the configs of the networks."""
    dtype = config.dtype
    if dtype == "auto":
        dtype = "float32" if platform == "cpu" else "bfloat16"
    names = ("generator", "discriminator", "encoder")
    networks = {n: dataclasses.replace(getattr(config, n), dtype=dtype) for n in names}
    return dataclasses.replace(config, **networks)


def make_optimizer(
    config: OptimizerConfig, run: TrainConfig
) -> optax.GradientTransformation:
    """Makes Adam with the schedule of the config."""

    def learning_rate(count: Any) -> jax.Array:
        images = jnp.asarray(count, jnp.float32) * run.batch_size
        rate = jnp.float32(config.learning_rate)
        if config.warmup_images:
            rate = rate * jnp.minimum(1.0, (images + 1) / config.warmup_images)
        if config.decay:
            share = jnp.minimum(1.0, images / run.images)
            rate = rate * (0.55 + 0.45 * jnp.cos(jnp.pi * share))
        return rate

    adam = optax.adam(learning_rate, config.beta1, config.beta2, config.epsilon)
    if not config.clip_norm:
        return adam
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam)


def make_optimizers(
    config: TrainConfig,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Makes the generator's and the discriminator's optimizer."""
    return (
        make_optimizer(config.generator_optimizer, config),
        make_optimizer(config.discriminator_optimizer, config),
    )


def init_state(config: TrainConfig) -> TrainState:
    """Draws the state that a run starts from."""
    return jax.jit(lambda: _init_state(config))()  # One compilation instead of many.


def _init_state(config: TrainConfig) -> TrainState:
    key = jax.random.key(config.seed)
    key_generator, key_discriminator, key_encoder, key_run = jax.random.split(key, 4)
    generator = {"generator": models.init_generator(key_generator, config.generator)}
    if has_encoder(config):
        generator["encoder"] = models.init_encoder(key_encoder, config.encoder)
    discriminator = models.init_discriminator(
        key_discriminator, config.discriminator, find_look(config)
    )
    generator_optimizer, discriminator_optimizer = make_optimizers(config)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        generator_ema=jax.tree.map(jnp.copy, generator["generator"]),
        generator_opt=generator_optimizer.init(generator),
        discriminator=discriminator,
        discriminator_opt=discriminator_optimizer.init(discriminator),
        key=key_run,
    )


def find_look(config: TrainConfig) -> models.Look | None:
    """Finds the fixed network through which the discriminator sees, if any."""
    if isinstance(config.discriminator, models.ProjectedConfig):
        return networks.find(config.discriminator.features)
    return None


def count_parameters(params: Params) -> int:
    """Counts numbers."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
