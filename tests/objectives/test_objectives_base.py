"""Composition: add, scale, every and after."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import objectives
from jaxanon.objectives import base

CRITIC = objectives.Critic(lambda images: images.mean((1, 2, 3)))
SAMPLES = objectives.Samples(
    real=jnp.full((2, 4, 4, 3), 0.5),
    fake=jnp.full((2, 4, 4, 3), -0.5),
    mask=jnp.ones((2, 4, 4, 1)),
)
KEY = jax.random.key(0)


def noisy():
    def loss(critic, samples, key, step):
        del critic, samples, step
        return jax.random.normal(key, (2,)), {}

    return objectives.Objective(loss, base.nothing)


def test_add_sums_losses_and_unites_metrics():
    both = objectives.add(objectives.make("hinge"), objectives.make("l1"))
    real, metrics = both.discriminator(CRITIC, SAMPLES, KEY, 0)
    np.testing.assert_allclose(real, [1.0, 1.0])  # (1 - .5) + (1 - .5)
    assert set(metrics) == {"score_real", "score_fake"}
    fake, metrics = both.generator(CRITIC, SAMPLES, KEY, 0)
    np.testing.assert_allclose(fake, [1.5, 1.5])  # .5 + 1
    assert set(metrics) == {"l1"}


def test_add_gives_every_term_its_own_randomness():
    value, _ = objectives.add(noisy(), noisy()).discriminator(CRITIC, SAMPLES, KEY, 0)
    first, second = (
        jax.random.normal(jax.random.fold_in(KEY, index), (2,)) for index in (0, 1)
    )
    np.testing.assert_allclose(value, first + second)
    assert abs(first - second).min() > 1e-3


def test_add_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        objectives.add()


def test_scale_weighs_the_loss_and_not_the_metrics():
    value, metrics = objectives.scale(3.0, objectives.make("l1")).generator(
        CRITIC, SAMPLES, KEY, 0
    )
    np.testing.assert_allclose(value, [3.0, 3.0])
    np.testing.assert_allclose(metrics["l1"], 1.0)


@pytest.mark.parametrize(("step", "factor"), [(0, 4), (1, 0), (3, 0), (4, 4), (8, 4)])
def test_every_multiplies_on_its_steps_and_is_zero_between(step, factor):
    lazy = objectives.every(4, objectives.make("epsilon", weight=1.0))
    value, metrics = jax.jit(lambda s: lazy.discriminator(CRITIC, SAMPLES, KEY, s))(
        jnp.int32(step)
    )
    np.testing.assert_allclose(value, [factor * 0.25] * 2, rtol=1e-6)  # .5 squared
    np.testing.assert_allclose(metrics["epsilon"], factor * 0.25, rtol=1e-6)


def test_every_one_is_the_term_and_every_zero_an_error():
    term = objectives.make("r1")
    assert objectives.every(1, term) is term
    with pytest.raises(ValueError, match="at least 1"):
        objectives.every(0, term)


@pytest.mark.parametrize(("step", "factor"), [(0, 0), (4, 0), (5, 1), (6, 1)])
def test_after_begins_at_its_step(step, factor):
    late = objectives.after(5, objectives.make("epsilon", weight=1.0))
    value, metrics = jax.jit(lambda s: late.discriminator(CRITIC, SAMPLES, KEY, s))(
        jnp.int32(step)
    )
    np.testing.assert_allclose(value, [factor * 0.25] * 2, rtol=1e-6)
    np.testing.assert_allclose(metrics["epsilon"], factor * 0.25, rtol=1e-6)


def test_after_zero_is_the_term_and_less_an_error():
    term = objectives.make("r1")
    assert objectives.after(0, term) is term
    with pytest.raises(ValueError, match="at least 0"):
        objectives.after(-1, term)


def test_every_can_be_differentiated():
    lazy = objectives.every(2, objectives.make("epsilon", weight=1.0))

    def loss(scale, step):
        critic = objectives.Critic(lambda images: scale * images.mean((1, 2, 3)))
        return lazy.discriminator(critic, SAMPLES, KEY, step)[0].sum()

    slope = jax.jit(jax.grad(loss))
    # d/ds of 2 steps * 2 examples * (s / 2)^2 at s = 1.
    np.testing.assert_allclose(slope(1.0, 0), 2.0)
    np.testing.assert_allclose(slope(1.0, 1), 0.0)


def test_a_critic_without_features_says_so():
    with pytest.raises(ValueError, match="without features"):
        objectives.make("feature_matching").generator(CRITIC, SAMPLES, KEY, 0)
