"""One update of discriminator, generator and EMA: a pure function.

Each fake is made once. The discriminator learns from it; then the generator's gradient
is taken through the discriminator that has just learnt, at the same fake. All that is
random about an example follows from the step and the example's place in the whole
batch, so the number of devices changes nothing but the order of sums.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxanon import models, objectives
from jaxanon.objectives import Critic, Samples
from jaxanon.types import Condition, Crops
from train import augment
from train.config import TrainConfig
from train.faces import Faces, take
from train.state import Params, TrainState, make_optimizers

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Faces], tuple[TrainState, Metrics]]


class Batch(NamedTuple):
    """What one update, or a part of it, looks at."""

    crops: Crops
    noise: jax.Array
    """[b *z], z itself, or the noise of a posterior's sample."""
    second: jax.Array
    """[b *z]."""
    keys: jax.Array
    """[b], for what the discriminator sees."""
    key: jax.Array
    """For the objectives."""


class Painted(NamedTuple):
    """What the generator made of a batch."""

    faces: jax.Array
    """[b h w 3], as painted, unmasked."""
    second: jax.Array | None
    divergence: jax.Array
    """[b / 2], of the posteriors from the prior; empty without a posterior."""


def make_step(config: TrainConfig, *, axis: str | None = None) -> Step:
    """Makes the update for a batch, or one device's share of it.

    Args:
        config: The run.
        axis: Name of the axis of devices, where there are several.

    Returns:
        ``step(state, faces) -> (state, metrics)``; metrics are means over all devices.
    """
    losses = make_losses(config)
    optimizers = make_optimizers(config)

    def mean(tree: Any) -> Any:
        return jax.lax.pmean(tree, axis) if axis else tree

    def step(state: TrainState, faces: Faces) -> tuple[TrainState, Metrics]:
        batches = draw_batches(config, state, faces, axis)
        learn = functools.partial(_learn_critic, losses, state)
        if config.accumulate == 1:
            batch = jax.tree.map(lambda x: x[0], batches)
            forward = functools.partial(losses.paint, batch=batch)
            painted, pull = jax.vjp(forward, state.generator)
            critic_grads, critic_metrics = learn(batch, painted)
        else:
            pull = painted = None

            def learn_part(batch: Batch) -> tuple[Params, Metrics]:
                return learn(batch, losses.paint(state.generator, batch))

            critic_grads, critic_metrics = _mean_over_parts(learn_part, batches)
        critic_grads = mean(critic_grads)
        discriminator, discriminator_opt = _update(
            optimizers[1], critic_grads, state.discriminator_opt, state.discriminator
        )

        def teach(batch: Batch) -> tuple[Params, Metrics]:
            made, back = (
                (painted, pull)
                if pull
                else jax.vjp(
                    functools.partial(losses.paint, batch=batch), state.generator
                )
            )
            grads, metrics = jax.grad(losses.generator, has_aux=True)(
                made, discriminator, batch, state.step
            )
            return back(grads)[0], metrics

        grads, metrics = _mean_over_parts(teach, batches)
        grads = mean(grads)
        generator, generator_opt = _update(
            optimizers[0], grads, state.generator_opt, state.generator
        )
        metrics = mean(critic_metrics | metrics) | {
            "generator_gradient": optax.global_norm(grads),
            "discriminator_gradient": optax.global_norm(critic_grads),
        }
        return TrainState(
            step=state.step + 1,
            generator=generator,
            generator_ema=_average(config, state, generator["generator"]),
            generator_opt=generator_opt,
            discriminator=discriminator,
            discriminator_opt=discriminator_opt,
            key=state.key,
        ), metrics

    return step


def make_many(step: Step) -> Callable:
    """Makes several updates in one go.

    Returns:
        ``many(state, resident, items) -> (state, metrics)``: ``items`` are ``[t b]``
        indices of the resident faces or, where those are None, ``[t b ...]`` faces;
        metrics are means over the t steps.
    """

    def many(
        state: TrainState, resident: Faces | None, items: Any
    ) -> tuple[TrainState, Metrics]:
        def one(state: TrainState, item: Any) -> tuple[TrainState, Metrics]:
            return step(state, item if resident is None else take(resident, item))

        if len(jax.tree.leaves(items)[0]) == 1:
            return one(state, jax.tree.map(lambda x: x[0], items))
        state, metrics = jax.lax.scan(one, state, items)
        return state, jax.tree.map(lambda x: x.mean(0), metrics)

    return many


def draw_batches(
    config: TrainConfig, state: TrainState, faces: Faces, axis: str | None
) -> Batch:
    """Augments a batch and draws all its randomness; splits it into ``[parts ...]``."""
    place = jax.lax.axis_index(axis) if axis else 0
    key = jax.random.fold_in(state.key, state.step)
    count = len(faces.boxes)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(
        place * count + jnp.arange(count)
    )
    keys = jax.vmap(functools.partial(jax.random.split, num=4))(keys)
    shape = models.latent_shape(config.generator)
    normal = jax.vmap(lambda key: jax.random.normal(key, shape))
    crops = augment.augment(
        keys[:, 0], faces, config.augment, keypoint_score=config.data.keypoint_score
    )
    parts = config.accumulate
    examples = (crops, normal(keys[:, 1]), normal(keys[:, 2]), keys[:, 3])
    split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), examples)
    key_loss = jax.random.fold_in(jax.random.fold_in(key, 1 << 30), place)
    return Batch(*split, jax.random.split(key_loss, parts))


class Losses(NamedTuple):
    """The functions that a step differentiates."""

    paint: Callable[..., Painted]
    """(generator params, batch)."""
    discriminator: Callable[..., tuple[jax.Array, Metrics]]
    """(discriminator params, painted, batch, step) -> (loss, metrics)."""
    generator: Callable[..., tuple[jax.Array, Metrics]]
    """(painted, discriminator params, batch, step) -> (loss, metrics)."""


def make_losses(config: TrainConfig) -> Losses:
    """Binds the networks and the objectives of a config."""
    adversarial = objectives.make(config.objective)
    reconstruct = config.posterior and config.reconstruction
    reconstruction = objectives.make(config.reconstruction) if reconstruct else None

    def paint(params: Params, batch: Batch) -> Painted:
        crops, z, divergence = batch.crops, batch.noise, jnp.zeros(0)
        if config.posterior:
            mean, log_variance = models.encode(
                config.encoder, params["encoder"], crops.image[::2], crops.mask[::2]
            )
            z = z.at[::2].set(mean + jnp.exp(log_variance / 2) * z[::2])
            terms = mean**2 + jnp.exp(log_variance) - 1 - log_variance
            divergence = 0.5 * terms.sum(-1)
        condition = to_condition(crops)
        generate = functools.partial(
            models.generate, config.generator, params["generator"], condition
        )
        second = generate(batch.second) if config.second else None
        return Painted(generate(z), second, divergence)

    def discriminator(
        params: Params, painted: Painted, batch: Batch, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        critic = bind_critic(config, params, batch)
        samples = _samples(painted, batch.crops)
        loss, metrics = adversarial.discriminator(critic, samples, batch.key, step)
        return loss.mean(), metrics | {"discriminator_loss": loss.mean()}

    def generator(
        painted: Painted, params: Params, batch: Batch, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        samples = _samples(painted, batch.crops)
        critic = bind_critic(config, params, batch)
        losses, metrics = adversarial.generator(critic, samples, batch.key, step)
        loss = losses.mean()
        metrics = metrics | {"adversarial_loss": loss}
        if reconstruction is not None:
            half = jax.tree.map(lambda x: x[::2], samples)
            half = half._replace(reconstruction=half.fake)
            few = batch._replace(
                crops=jax.tree.map(lambda x: x[::2], batch.crops), keys=batch.keys[::2]
            )
            critic = bind_critic(config, params, few)
            terms, more = reconstruction.generator(critic, half, batch.key, step)
            loss, metrics = loss + terms.mean(), more | metrics
        if config.posterior:
            divergence = painted.divergence.mean()
            loss = loss + config.kl * divergence
            metrics["kl"] = divergence
        kept = jnp.abs(painted.faces - samples.real) * (1 - samples.mask)
        loss = loss + config.background * kept.mean()
        metrics |= {"background_l1": kept.mean(), "generator_loss": loss}
        return loss, metrics

    return Losses(paint, discriminator, generator)


def bind_critic(config: TrainConfig, params: Params, batch: Batch) -> Critic:
    """Binds the discriminator to its parameters, the conditions and transforms."""
    network, condition = config.discriminator, to_condition(batch.crops)

    def view(images: jax.Array) -> tuple[jax.Array, Condition]:
        if not config.augment.critic:
            return images, condition

        def one(key: jax.Array, image: jax.Array, seen: Condition):
            images, seen = augment.transform(key, image[None], seen, config.augment)
            return images[0], seen

        return jax.vmap(one)(batch.keys, images, condition)

    return Critic(
        lambda images: models.discriminate(network, params, *view(images)),
        lambda images: models.discriminator_features(network, params, *view(images)),
    )


def to_condition(crops: Crops) -> Condition:
    """Erases the face: what the generator may see."""
    image = crops.image * (1 - crops.mask)
    return Condition(image, crops.mask, crops.keypoints, crops.visible)


def inpaint(faces: jax.Array, crops: Crops) -> jax.Array:
    """Puts painted faces into the masks of their crops."""
    return faces * crops.mask + crops.image * (1 - crops.mask)


def _samples(painted: Painted, crops: Crops) -> Samples:
    second = painted.second
    return Samples(
        real=crops.image,
        fake=inpaint(painted.faces, crops),
        mask=crops.mask,
        second=None if second is None else inpaint(second, crops),
    )


def _learn_critic(
    losses: Losses, state: TrainState, batch: Batch, painted: Painted
) -> tuple[Params, Metrics]:
    painted = jax.lax.stop_gradient(painted)
    return jax.grad(losses.discriminator, has_aux=True)(
        state.discriminator, painted, batch, state.step
    )


def _mean_over_parts(function: Callable, batches: Batch) -> Any:
    """Maps over the parts of a batch, one after the other, and takes the mean."""
    parts = len(batches.noise)
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
