"""What a step consists of: traced, never compiled."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxanon import models
from train import config as config_
from train import drawn, losses, state, step

CONFIGS = sorted(Path(__file__).parents[2].glob("configs/[a-z]*.py"))


def trace(config, resolution=8):
    """Returns the names of the metrics of a step that keeps the state's structure."""
    first = jax.eval_shape(lambda: state._init_state(config))
    faces = drawn.draw_set(config.batch_size, resolution).faces
    # Anybody may be a donor.
    donors = [faces] if config_.paints_donors(config) else []
    after, metrics = jax.eval_shape(step.make_step(config), first, faces, *donors)
    assert jax.tree.structure(after) == jax.tree.structure(first)
    return set(metrics)


def blank_state(config):
    """Makes a state of zeros, which takes no compilation."""
    shapes = jax.eval_shape(lambda: state._init_state(config))
    shapes = shapes._replace(key=None)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    return zeros._replace(key=jax.random.key(0))


def draw_batch(config):
    faces = drawn.draw_set(config.batch_size, 8).faces
    batch = step.draw_batches(config, blank_state(config), faces, None, None)
    return jax.tree.map(lambda x: x[0], batch)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_makes_a_step(path):
    config = config_.load(path)
    count = 2 * config_.stride(config) * config.accumulate
    config = dataclasses.replace(config, batch_size=count)
    config_.check(config, 1)
    metrics = trace(config, config.generator.resolution)
    assert "generator_loss" in metrics
    assert ("discriminator_loss" in metrics) == bool(config.objective)


def test_without_adversary_no_discriminator_is_run(tiny, monkeypatch):
    def refuse(*_):
        pytest.fail("The discriminator was run.")

    monkeypatch.setattr(models, "discriminate", refuse)
    for parts in (1, 2):
        config = dataclasses.replace(
            tiny, objective=(), posterior=1.0, accumulate=parts, kl=0.1
        )
        config_.check(config, 1)
        metrics = trace(config)
        assert {"l1", "kl", "background_l1", "generator_loss"} <= metrics
        assert not {name for name in metrics if name.startswith(("discr", "adv"))}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_encoder_looks_at_its_share_of_the_batch(tiny, monkeypatch, share):
    seen, encode = [], models.encode

    def count(config, params, images, mask):
        seen.append(len(images))
        return encode(config, params, images, mask)

    monkeypatch.setattr(models, "encode", count)
    metrics = trace(dataclasses.replace(tiny, posterior=share))
    assert seen == ([round(share * tiny.batch_size)] if share else [])
    assert ("kl" in metrics) == ("l1" in metrics) == (share > 0)
    assert {"discriminator_loss", "adversarial_loss"} <= metrics


def test_encoder_finds_z_again_on_the_faces_of_the_prior(tiny):
    assert "latent_l1" in trace(dataclasses.replace(tiny, posterior=0.5, latent=1.0))
    assert "latent_l1" not in trace(
        dataclasses.replace(tiny, posterior=1.0, latent=1.0)
    )


def test_swapped_faces_get_the_z_of_the_encoded_one_before(tiny, monkeypatch):
    config = dataclasses.replace(tiny, posterior=0.5, swap=True, latent=1.0)
    config_.check(config, 1)
    begin, batch = blank_state(config), draw_batch(config)
    seen, generate = [], models.generate

    def watch(network, params, condition, z):
        seen.append(z)
        return generate(network, params, condition, z)

    monkeypatch.setattr(models, "generate", watch)
    losses.make_losses(config).paint(begin.generator, batch)
    (z,) = seen
    np.testing.assert_array_equal(z[1::2], z[::2])
    assert not np.isclose(z[::2], batch.latent[::2]).all()


def test_adversary_of_swapped_faces_has_a_weight_of_its_own(tiny, monkeypatch):
    def discriminate(config, params, images, condition):
        del config, params, condition
        return images.mean((1, 2, 3))[:, None], [images]

    monkeypatch.setattr(models, "discriminate", discriminate)
    config = dataclasses.replace(
        tiny, posterior=0.5, swap=True, objective="hinge", reconstruction=()
    )
    batch = draw_batch(config)
    batch = batch._replace(crops=batch.crops._replace(mask=batch.crops.mask * 0 + 1))
    zero = np.zeros(0)

    def slopes(weight):
        losses_ = losses.make_losses(dataclasses.replace(config, swap_weight=weight))
        return jax.grad(
            lambda faces: losses_.generator(
                losses.Painted(faces, None, np.zeros(1), zero, zero), {}, batch, 0
            )[0]
        )(batch.crops.image * 0)

    whole, third = slopes(1.0), slopes(0.3)
    assert np.abs(whole).min() > 0
    np.testing.assert_allclose(third[::2], whole[::2])
    np.testing.assert_allclose(third[1::2], 0.3 * whole[1::2], rtol=1e-5)


def test_encoder_does_not_learn_the_light_it_sees(tiny, monkeypatch):
    config = dataclasses.replace(tiny, posterior=1.0, objective=())
    begin, batch = blank_state(config), draw_batch(config)
    seen, encode = [], models.encode

    def watch(network, params, images, mask):
        seen.append(images)
        return encode(network, params, images, mask)

    monkeypatch.setattr(models, "encode", watch)
    for exposure in (0.0, 0.3):
        changed = dataclasses.replace(config, exposure=exposure)
        losses.make_losses(changed).paint(begin.generator, batch)
    plain, relit = seen
    np.testing.assert_array_equal(plain, batch.crops.image)
    assert (np.abs(plain - relit).mean((1, 2, 3)) > 0.01).all()
    assert np.abs(relit).max() <= 1


def test_projected_discriminator_trains_in_the_same_step(tiny):
    seen = models.ProjectedConfig(resolution=8, features=f"{__name__}.look")
    config = dataclasses.replace(tiny, discriminator=seen, objective="hinge")
    assert {"score_real", "adversarial_loss"} <= trace(config)
    assert config_.from_dict(tiny, config_.as_dict(config)) == config


def look(images):
    return [images[:, ::2, ::2]]
