"""What a step differentiates: the networks and objectives of a config, bound."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxanon import align, blend, models, objectives
from jaxanon.models.generators import donor
from jaxanon.objectives import Critic, Samples
from jaxanon.types import Condition, Crops
from train import views
from train.config import TrainConfig, has_encoder, paints_donors, stride
from train.state import Params, find_look

Metrics = dict[str, jax.Array]

CORE = 0.9
"""Of ``Painting.inner``, from which on a pixel is well inside the face."""


class Batch(NamedTuple):
    """What one update, or a part of it, looks at."""

    crops: Crops
    latent: Any
    """[b *z], z itself, or the noise of a posterior's sample; or a ``Donor``."""
    second: Any
    """[b *z]; None with donors."""
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
    """[n], of the n posteriors from the prior; empty without a posterior."""
    lost: jax.Array
    """[m], how far the encoder's guess is from the z of each face that was not
    encoded; empty where that is not asked."""
    hidden: jax.Array
    """[b], how much of the inner face is not the donor's; empty without donors."""


class Losses(NamedTuple):
    """The functions that a step differentiates."""

    paint: Callable[..., Painted]
    """(generator params, batch)."""
    discriminator: Callable[..., tuple[jax.Array, Metrics]] | None
    """(discriminator params, painted, batch, step) -> (loss, metrics); None where
    nothing is adversarial, so that there is nothing for a discriminator to learn."""
    generator: Callable[..., tuple[jax.Array, Metrics]]
    """(painted, discriminator params, batch, step) -> (loss, metrics)."""


def make_losses(config: TrainConfig) -> Losses:
    """Binds the networks and the objectives of a config."""
    return Losses(
        paint=functools.partial(_paint, config),
        discriminator=_discriminator_loss(config) if config.objective else None,
        generator=_generator_loss(config),
    )


def _paint(config: TrainConfig, params: Params, batch: Batch) -> Painted:
    none = jnp.zeros(0)
    if paints_donors(config):
        painting = donor.paint(
            config.generator,
            params["generator"],
            align.condition(batch.crops),
            batch.latent,
        )
        return Painted(painting.face, None, none, none, _hidden(painting))
    crops, z, divergence = batch.crops, batch.latent, none
    if config.posterior:
        known = slice(None, None, stride(config))
        image = crops.image[known]
        if config.exposure:
            keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(batch.keys[known])
            relight = functools.partial(views.relight, amount=config.exposure)
            image = jax.vmap(relight)(keys, image)
        mean, log_variance = models.encode(
            config.encoder, params["encoder"], image, crops.mask[known]
        )
        encoded = mean + jnp.exp(log_variance / 2) * z[known]
        if config.swap:
            z = jax.lax.stop_gradient(jnp.repeat(encoded, stride(config), axis=0))
        z = z.at[known].set(encoded)
        terms = mean**2 + jnp.exp(log_variance) - 1 - log_variance
        divergence = 0.5 * terms.sum(-1)
    generate = functools.partial(
        models.generate, config.generator, params["generator"], align.condition(crops)
    )
    second = generate(batch.second) if config.second else None
    faces = generate(z)
    lost = _lost(config, params, batch, z, faces)
    return Painted(faces, second, divergence, lost, none)


def _hidden(painting: donor.Painting) -> jax.Array:
    """Measures how much of each inner face is not the donor's."""
    core = (painting.inner > CORE).astype(jnp.float32)
    covered = ((1 - painting.alpha) * core).sum((1, 2, 3))
    return covered / jnp.maximum(core.sum((1, 2, 3)), 1)


def _lost(
    config: TrainConfig, params: Params, batch: Batch, z: jax.Array, faces: jax.Array
) -> jax.Array:
    """Measures how much of z the encoder, which does not learn here, reads back."""
    rest = [i for i in range(len(faces)) if i % max(stride(config), 1)]
    if not (config.posterior and config.latent and rest):
        return jnp.zeros(0)
    encoder = jax.lax.stop_gradient(params["encoder"])
    rest = jnp.array(rest)
    mask = batch.crops.mask[rest]
    mean, _ = models.encode(config.encoder, encoder, faces[rest], mask)
    return jnp.abs(mean - jax.lax.stop_gradient(z[rest])).mean(-1)


def _discriminator_loss(config: TrainConfig) -> Callable:
    adversarial = objectives.make(config.objective)

    def loss(
        params: Params, painted: Painted, batch: Batch, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        critic = bind_critic(config, params, batch)
        samples = _samples(config, painted, batch)
        losses, metrics = adversarial.discriminator(critic, samples, batch.key, step)
        return losses.mean(), metrics | {"discriminator_loss": losses.mean()}

    return loss


def _generator_loss(config: TrainConfig) -> Callable:
    adversarial = objectives.make(config.objective) if config.objective else None
    reconstruct = config.posterior and config.reconstruction
    reconstruction = objectives.make(config.reconstruction) if reconstruct else None

    def loss(
        painted: Painted, params: Params, batch: Batch, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        samples = _samples(config, painted, batch)
        total, metrics = jnp.float32(0), {}
        if adversarial is not None:
            critic = bind_critic(config, params, batch)
            terms, metrics = adversarial.generator(critic, samples, batch.key, step)
            if config.swap or paints_donors(config):
                is_own = jnp.arange(len(terms)) % stride(config) == 0
                terms = jnp.where(is_own, terms, config.swap_weight * terms)
            total = terms.mean()
            metrics = metrics | {"adversarial_loss": total}
        if reconstruction is not None:
            few, samples_ = _reconstructed(config, batch, samples)
            critic = bind_critic(config, params, few)
            terms, more = reconstruction.generator(critic, samples_, few.key, step)
            total, metrics = total + terms.mean(), more | metrics
        if has_encoder(config):
            metrics["kl"] = painted.divergence.mean()
            total = total + config.kl * metrics["kl"]
        if len(painted.hidden):
            metrics["hidden"] = painted.hidden.mean()
            total = total + config.keep * metrics["hidden"]
        if len(painted.lost):
            metrics["latent_l1"] = painted.lost.mean()
            total = total + config.latent * metrics["latent_l1"]
        crops = batch.crops
        kept = jnp.abs(painted.faces - crops.image) * (1 - crops.mask)
        total = total + config.background * kept.mean()
        return total, metrics | {"background_l1": kept.mean(), "generator_loss": total}

    return loss


def bind_critic(config: TrainConfig, params: Params, batch: Batch) -> Critic:
    """Binds the discriminator to its parameters, the conditions and transforms."""
    network, condition = config.discriminator, align.condition(batch.crops)
    if config.augment.zoom:
        condition = jax.vmap(views.enlarge_condition)(
            condition, _windows(config, batch)
        )

    def view(images: jax.Array) -> tuple[jax.Array, Condition]:
        if not config.augment.critic:
            return images, condition

        def one(key: jax.Array, image: jax.Array, seen: Condition):
            images, seen = views.transform(key, image[None], seen, config.augment)
            return images[0], seen

        return jax.vmap(one)(batch.keys, images, condition)

    look = find_look(config)

    def judge(images: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        images, seen = view(images)
        return models.discriminate(
            network, params, look(images) if look else images, seen
        )

    return Critic(
        lambda images: judge(images)[0].mean(-1),
        lambda images: judge(images)[1],
        lambda images: judge(images)[0],
    )


def _samples(config: TrainConfig, painted: Painted, batch: Batch) -> Samples:
    crops, second = batch.crops, painted.second
    samples = Samples(
        real=crops.image,
        fake=blend.inpaint(painted.faces, crops),
        mask=crops.mask,
        second=None if second is None else blend.inpaint(second, crops),
    )
    if not config.augment.zoom:
        return samples
    windows = _windows(config, batch)
    return jax.tree.map(lambda x: jax.vmap(views.enlarge)(x, windows), samples)


def _windows(config: TrainConfig, batch: Batch) -> jax.Array:
    """Draws where the losses look, the same for all pictures of an example."""
    draw = functools.partial(views.draw_window, probability=config.augment.zoom)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 2))(batch.keys)
    return jax.vmap(draw)(keys, batch.crops.mask)


def _reconstructed(
    config: TrainConfig, batch: Batch, samples: Samples
) -> tuple[Batch, Samples]:
    """Selects the faces whose z comes from the encoder."""
    every = stride(config)
    crops, keys, chosen = jax.tree.map(
        lambda x: x[::every], (batch.crops, batch.keys, samples)
    )
    few = batch._replace(crops=crops, keys=keys)
    return few, chosen._replace(reconstruction=chosen.fake)
