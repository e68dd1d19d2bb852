"""One update of discriminator, generator and EMA: a pure function.

Each fake is made once. The discriminator learns from it; then the generator's gradient
is taken through the discriminator that has just learnt, at the same fake. All that is
random about an example follows from the step and the example's place in the whole
batch, so the number of devices changes nothing but the order of sums.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxanon import models
from train import augment
from train.config import TrainConfig, paints_donors, stride
from train.donors import draw_donors
from train.faces import Faces, take
from train.losses import Batch, Losses, Metrics, Painted, make_losses
from train.state import Params, TrainState, make_optimizers

Step = Callable[..., tuple[TrainState, Metrics]]


def make_step(config: TrainConfig, *, axis: str | None = None) -> Step:
    """Makes the update for a batch, or one device's share of it.

    Args:
        config: The run.
        axis: Name of the axis of devices, where there are several.

    Returns:
        ``step(state, faces, donors) -> (state, metrics)``; metrics are means over all
        devices. ``donors`` are one for each face, of a painter of donors only.
    """
    losses = make_losses(config)
    optimizers = make_optimizers(config)

    def mean(tree: Any) -> Any:
        return jax.lax.pmean(tree, axis) if axis else tree

    def step(
        state: TrainState, faces: Faces, donors: Faces | None = None
    ) -> tuple[TrainState, Metrics]:
        batches = draw_batches(config, state, faces, donors, axis)
        once = None
        if config.accumulate == 1:
            once = _paint(losses, state, jax.tree.map(lambda x: x[0], batches))
        discriminator, discriminator_opt = state.discriminator, state.discriminator_opt
        metrics: Metrics = {}
        if losses.discriminator is not None:
            learn = functools.partial(_learn, losses, state, once)
            grads, metrics = mean(_mean_over_parts(learn, batches))
            discriminator, discriminator_opt = _update(
                optimizers[1], grads, discriminator_opt, discriminator
            )
            metrics["discriminator_gradient"] = optax.tree.norm(grads)
        teach = functools.partial(_teach, losses, state, once, discriminator)
        grads, more = mean(_mean_over_parts(teach, batches))
        generator, generator_opt = _update(
            optimizers[0], grads, state.generator_opt, state.generator
        )
        more["generator_gradient"] = optax.tree.norm(grads)
        return TrainState(
            step=state.step + 1,
            generator=generator,
            generator_ema=_average(config, state, generator["generator"]),
            generator_opt=generator_opt,
            discriminator=discriminator,
            discriminator_opt=discriminator_opt,
            key=state.key,
        ), metrics | more

    return step


def make_many(step: Step) -> Callable:
    """Makes several updates in one go.

    Returns:
        ``many(state, resident, items) -> (state, metrics)``: ``items`` are ``[t b]``
        indices of the resident faces, ``[t b 2]`` of faces and their donors or, where
        no faces are resident, ``[t b ...]`` faces; metrics are means over the t steps.
    """

    def many(
        state: TrainState, resident: Faces | None, items: Any
    ) -> tuple[TrainState, Metrics]:
        def one(state: TrainState, item: Any) -> tuple[TrainState, Metrics]:
            if resident is None:
                return step(state, item)
            if item.ndim == 1:
                return step(state, take(resident, item))
            faces, donors = (take(resident, item[:, i]) for i in range(2))
            return step(state, faces, donors)

        if len(jax.tree.leaves(items)[0]) == 1:
            return one(state, jax.tree.map(lambda x: x[0], items))
        state, metrics = jax.lax.scan(one, state, items)
        return state, jax.tree.map(lambda x: x.mean(0), metrics)

    return many


def draw_batches(
    config: TrainConfig,
    state: TrainState,
    faces: Faces,
    donors: Faces | None,
    axis: str | None,
) -> Batch:
    """Augments a batch and draws all its randomness; splits it into ``[parts ...]``."""
    place = jax.lax.axis_index(axis) if axis else 0
    key = jax.random.fold_in(state.key, state.step)
    count = len(faces.boxes)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(
        place * count + jnp.arange(count)
    )
    keys = jax.vmap(functools.partial(jax.random.split, num=4))(keys)
    crops = augment.augment(
        keys[:, 0], faces, config.augment, keypoint_score=config.data.keypoint_score
    )
    parts = config.accumulate
    examples = (crops, *_draw_latents(config, keys, donors), keys[:, 3])
    split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), examples)
    key_loss = jax.random.fold_in(jax.random.fold_in(key, 1 << 30), place)
    crops, latent, second, seen = split
    return Batch(crops, latent, second, seen, jax.random.split(key_loss, parts))


def _draw_latents(
    config: TrainConfig, keys: jax.Array, donors: Faces | None
) -> tuple[Any, Any]:
    """Draws what the faces of a batch are painted from, and second ones."""
    if not paints_donors(config):
        shape = models.latent_shape(config.generator)
        normal = jax.vmap(lambda key: jax.random.normal(key, shape))
        return normal(keys[:, 1]), normal(keys[:, 2])
    if donors is None:
        raise ValueError("A painter of donors needs a donor for each face.")
    every = stride(config)
    drawn = draw_donors(keys[:, 0], donors, config.augment, config.donors, every)
    return drawn, None


def _paint(losses: Losses, state: TrainState, batch: Batch) -> tuple[Painted, Callable]:
    """Paints; and pulls gradients back to the generator's parameters."""
    return jax.vjp(lambda params: losses.paint(params, batch), state.generator)


def _learn(
    losses: Losses, state: TrainState, once: tuple[Painted, Any] | None, batch: Batch
) -> tuple[Params, Metrics]:
    """Differentiates the discriminator's loss."""
    assert losses.discriminator is not None
    painted = once[0] if once else losses.paint(state.generator, batch)
    return jax.grad(losses.discriminator, has_aux=True)(
        state.discriminator, jax.lax.stop_gradient(painted), batch, state.step
    )


def _teach(
    losses: Losses,
    state: TrainState,
    once: tuple[Painted, Callable] | None,
    discriminator: Params,
    batch: Batch,
) -> tuple[Params, Metrics]:
    """Differentiates the generator's loss."""
    painted, pull = once or _paint(losses, state, batch)
    grads, metrics = jax.grad(losses.generator, has_aux=True)(
        painted, discriminator, batch, state.step
    )
    return pull(grads)[0], metrics


def _mean_over_parts(function: Callable, batches: Batch) -> Any:
    """Maps over the parts of a batch, one after the other, and takes the mean."""
    parts = len(batches.keys)
    if parts == 1:
        return function(jax.tree.map(lambda x: x[0], batches))
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], batches))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total: Any, batch: Batch) -> tuple[Any, None]:
        return jax.tree.map(lambda a, b: a + b / parts, total, function(batch)), None

    return jax.lax.scan(add, zeros, batches)[0]


def _update(
    optimizer: optax.GradientTransformation, grads: Params, opt: Any, params: Params
) -> tuple[Params, Any]:
    updates, opt = optimizer.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt


def _average(config: TrainConfig, state: TrainState, new: Params) -> Params:
    """Moves the EMA; its half-life grows with the images seen, up to the config's."""
    images = (state.step + 1.0) * config.batch_size
    half_life = jnp.minimum(config.ema_half_life_images, config.ema_rampup * images)
    decay = 0.5 ** (config.batch_size / jnp.maximum(half_life, 1e-8))
    return jax.tree.map(
        lambda old, fresh: decay * old + (1 - decay) * fresh, state.generator_ema, new
    )
