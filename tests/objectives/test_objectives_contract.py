"""What every objective owes, by name: a new file in the folder is tested as it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import objectives

NAMES = objectives.names()
# Their noise belongs to a place in the batch, so they permute where slopes are constant.
RANDOM = ("dragan", "gradient_penalty", "wgan_gp")
# Of constant slopes, too, it sees a random direction each.
NOISY = ("r1_difference",)
ADVERSARIAL = (
    "dragan",
    "hinge",
    "least_squares",
    "non_saturating",
    "projected",
    "r3gan",
    "relativistic",
    "relativistic_average",
    "wasserstein",
    "wgan_gp",
)
WEIGHTS = np.random.default_rng(7).normal(size=(4, 4, 3)).astype(np.float32)
WEIGHTS /= 4
# Compile for the compiler's sake, not for speed.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
KEY, STEP = jax.random.key(5), 16


def make_critic(curvature):
    """Scores w . x + curvature / 2 |x|^2: slopes are constant where curvature is 0."""

    def scores(images):
        weights = jnp.asarray(WEIGHTS, images.dtype)[None]
        bend = 0.5 * curvature.astype(images.dtype)
        return (weights * images + bend * jnp.square(images)).sum((1, 2, 3))

    return objectives.Critic(scores, lambda images: [images, jnp.tanh(images)])


def draw(dtype=jnp.float32):
    rng = np.random.default_rng(3)
    real, fake, painted, second = (
        jnp.asarray(rng.uniform(-0.5, 0.5, (4, 4, 4, 3)), dtype) for _ in range(4)
    )
    mask = jnp.asarray(rng.uniform(size=(4, 4, 4, 1)) > 0.5, dtype)
    return objectives.Samples(real, fake, mask, painted, second)


def run(name, samples, curvature):
    """Returns the losses of both players with their metrics."""
    objective, critic = objectives.make(name), make_critic(curvature)
    discriminator = objective.discriminator(critic, samples, KEY, STEP)
    generator = objective.generator(critic, samples, KEY, STEP)
    return discriminator, generator


@functools.cache
def compiled(name):
    def total(samples, curvature):
        results = run(name, samples, curvature)
        # Weighed apart, so that the players' gradients cannot cancel.
        return results[0][0].sum() + 3 * results[1][0].sum(), results

    return jax.jit(jax.grad(total, has_aux=True), compiler_options=QUICK)


CURVED, FLAT = jnp.float32(1.0), jnp.float32(0.0)


def test_the_folder_holds_what_the_library_promises():
    assert set(ADVERSARIAL) < set(NAMES)
    assert {"r1", "r2", "gradient_penalty", "epsilon", "l1"} < set(NAMES)
    assert {"feature_matching", "diversity", "perceptual"} < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_losses_and_gradients_are_finite_per_example_and_float32(name, dtype):
    gradient, results = compiled(name)(draw(dtype), CURVED)
    for loss, metrics in results:
        assert loss.shape == (4,) and loss.dtype == jnp.float32
        assert np.isfinite(loss).all()
        for metric in metrics.values():
            assert metric.shape == () and metric.dtype == jnp.float32
            assert np.isfinite(metric)
    for leaf in jax.tree.leaves(gradient):
        assert leaf.dtype == dtype
        assert np.isfinite(np.asarray(leaf, np.float32)).all()


@pytest.mark.parametrize("name", NAMES)
def test_jit_equals_eager(name):
    eager = run(name, draw(), CURVED)
    _, jitted = compiled(name)(draw(), CURVED)
    # XLA fuses, and so rounds, otherwise: a few units in the last place, which the
    # quotient of two small differences enlarges.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        eager,
        jitted,
    )


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(NOISY)))
def test_permuting_the_batch_permutes_the_loss(name):
    order = np.array([2, 0, 3, 1])
    permuted = jax.tree.map(lambda x: x[order], draw())
    curvature = FLAT if name in RANDOM else CURVED
    _, before = compiled(name)(draw(), curvature)
    _, after = compiled(name)(permuted, curvature)
    for (first, _), (second, _) in zip(before, after, strict=True):
        np.testing.assert_allclose(first[order], second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize(("player", "improved"), [(0, "real"), (1, "fake")])
def test_each_player_gains_when_its_images_score_higher(name, player, improved):
    samples = draw()
    images = getattr(samples, improved)
    if name == "projected":  # Its critic sees other pictures, so ask its own gradient.
        gradient, _ = compiled(name)(samples, FLAT)
        uphill = -getattr(gradient, improved)
        assert jnp.abs(uphill).max() > 0
    else:
        uphill = jnp.broadcast_to(jnp.asarray(WEIGHTS)[None], images.shape)
    better = samples._replace(**{improved: images + 0.02 * uphill})
    _, before = compiled(name)(samples, FLAT)
    _, after = compiled(name)(better, FLAT)
    assert (after[player][0] < before[player][0]).all()
