"""One value per objective, worked out by hand in NumPy.

Images are constant, so a critic's score is a function of one number. With 4 x 4 x 3
pixels: a mean has the slope 1/48 at each, of norm 1/sqrt(48); a sum of squares has the
slope 2x, of squared norm 48 * 4 x^2.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import objectives

R, F = np.array([0.5, -0.25]), np.array([-1.0, 0.75])


def flat(values):
    return jnp.broadcast_to(
        jnp.asarray(values, jnp.float32)[:, None, None, None], (2, 4, 4, 3)
    )


HALF_MASK = jnp.zeros((2, 4, 4, 1)).at[:, :2].set(1.0)
SAMPLES = objectives.Samples(flat(R), flat(F), HALF_MASK)
MEAN = objectives.Critic(
    lambda images: images.mean((1, 2, 3)), lambda images: [images, 3 * images[:, 0]]
)
SQUARES = objectives.Critic(lambda images: jnp.square(images).sum((1, 2, 3)))


def softplus(x):
    return np.log1p(np.exp(x))


def check(objective, wanted_d, wanted_g, *, critic=MEAN, samples=SAMPLES):
    key = jax.random.key(1)
    d, _ = objective.discriminator(critic, samples, key, 0)
    g, _ = objective.generator(critic, samples, key, 0)
    np.testing.assert_allclose(d, wanted_d, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(g, wanted_g, rtol=2e-6, atol=1e-6)


def test_non_saturating():
    wanted = softplus(-R) + softplus(F)
    check(objectives.make("non_saturating"), wanted, softplus(-F))


def test_hinge():
    # [.5 + 0, 1.25 + 1.75]
    check(objectives.make("hinge"), [0.5, 3.0], [1.0, -0.75])


def test_least_squares():
    # (.25 + 1) / 2, (1.5625 + .5625) / 2; 4 / 2, .0625 / 2
    check(objectives.make("least_squares"), [0.625, 1.0625], [2.0, 0.03125])


def test_wasserstein():
    check(objectives.make("wasserstein"), [-1.5, 1.0], [1.0, -0.75])


def test_wgan_gp():
    penalty = 10 * (1 / np.sqrt(48) - 1) ** 2
    wanted = F - R + penalty + 0.001 * R**2
    check(objectives.make("wgan_gp"), wanted, -F)


def test_relativistic():
    # Pairs: R - F = 1.5, -1
    wanted = softplus(np.array([-1.5, 1.0]))
    check(objectives.make("relativistic"), wanted, softplus(np.array([1.5, -1.0])))


def test_relativistic_average():
    # Means: R .125, F -.125
    d = softplus(-(R + 0.125)) + softplus(F - 0.125)
    g = softplus(-(F - 0.125)) + softplus(R + 0.125)
    check(objectives.make("relativistic_average"), d, g)


def test_r3gan():
    scores = 48 * R**2, 48 * F**2
    slopes = 48 * 4 * (R**2 + F**2)
    d = softplus(scores[1] - scores[0]) + 0.5 * 0.1 * slopes
    g = softplus(scores[0] - scores[1])
    check(objectives.make("r3gan", gamma=0.1), d, g, critic=SQUARES)


def test_dragan():
    # Constant images have no spread, so the slope is asked for at the images themselves.
    slope = np.sqrt(48) * 2 * abs(R)
    d = softplus(-48 * R**2) + softplus(48 * F**2) + 2 * (slope - 1) ** 2
    check(
        objectives.make("dragan", weight=2.0), d, softplus(-48 * F**2), critic=SQUARES
    )


def test_r1_and_r2():
    check(objectives.make("r1", gamma=3.0), 1.5 * 192 * R**2, 0.0, critic=SQUARES)
    check(objectives.make("r2", gamma=3.0), 1.5 * 192 * F**2, 0.0, critic=SQUARES)


def test_r1_difference():
    key, shape = jax.random.key(1), (2, 4, 4, 3)
    noise = np.asarray(jax.random.normal(key, shape))
    critic = objectives.Critic(lambda images: 5 * images.mean((1, 2, 3)))
    slope = 5 * noise.mean((1, 2, 3))
    made = objectives.make("r1_difference", gamma=3.0, sigma=0.5)
    check(made, 1.5 * slope**2, 0.0, critic=critic)
    slope = 5 * (noise * np.asarray(HALF_MASK)).mean((1, 2, 3))
    made = objectives.make("r1_difference", gamma=3.0, sigma=0.5, masked=True)
    check(made, 1.5 * slope**2, 0.0, critic=critic)


def test_r1_difference_is_r1_on_average():
    made = objectives.make("r1_difference", gamma=2.0, sigma=1e-3)
    many = SAMPLES._replace(real=jnp.full((4000, 4, 4, 3), 0.5))
    loss, _ = made.discriminator(SQUARES, many, jax.random.key(2), 0)
    # |2x|^2 over 48 numbers; the mean of 4000 squares is off by 2 % or so.
    np.testing.assert_allclose(loss.mean(), 48.0, rtol=0.08)


def test_epsilon():
    check(objectives.make("epsilon", weight=0.1), 0.1 * R**2, 0.0)


@pytest.mark.parametrize(
    ("settings", "slope", "wanted"),
    [
        ({"weight": 2.0}, 1.0, 2 * (1 / np.sqrt(48) - 1) ** 2),
        ({"weight": 2.0, "one_sided": True}, 1.0, 0.0),
        ({"weight": 2.0, "one_sided": True}, 96.0, 2 * (96 / np.sqrt(48) - 1) ** 2),
        ({"weight": 1.0, "target": 0.0, "masked": True}, 48.0, 24.0),
    ],
)
def test_gradient_penalty(settings, slope, wanted):
    critic = objectives.Critic(lambda images: slope * images.mean((1, 2, 3)))
    made = objectives.make("gradient_penalty", **settings)
    check(made, [wanted] * 2, 0.0, critic=critic)


def test_gradient_penalty_looks_between_real_and_fake():
    # Slope norm of 2x at x = R + u (F - R) for one u per image; from 0 to 1 here.
    samples = SAMPLES._replace(real=flat([0.0, 0.0]), fake=flat([1.0, 1.0]))
    made = objectives.make("gradient_penalty", weight=1.0, target=0.0)
    loss, _ = made.discriminator(SQUARES, samples, jax.random.key(1), 0)
    share = np.sqrt(np.asarray(loss) / 192)
    assert ((share > 0) & (share < 1)).all() and share[0] != share[1]


def test_l1():
    # |R - F| = 1.5, 1; half of the pixels is masked.
    check(objectives.make("l1"), 0.0, [1.5, 1.0])
    made = objectives.make("l1", masked_weight=2.0, context_weight=0.5)
    check(made, 0.0, [1.875, 1.25])


def test_perceptual():
    # Of two_maps' maps both differ by |R - F| = 1.5, 1, at any weight of channels.
    made = objectives.make("perceptual", features=f"{__name__}.two_maps")
    check(made, 0.0, [1.5, 1.0])
    made = objectives.make("perceptual", features=f"{__name__}.tripled")
    check(made, 0.0, [0.5 * (4.5 + 1.5), 0.5 * (3.0 + 1.0)])


@pytest.mark.parametrize("name", ["l1", "feature_matching", "perceptual"])
def test_reconstruction_is_preferred_to_the_fake(name):
    samples = SAMPLES._replace(reconstruction=flat(R))
    check(objectives.make(name), 0.0, 0.0, samples=samples)


def test_feature_matching():
    # Layers differ by |R - F| and 3 |R - F|: on average 2 |R - F|.
    check(objectives.make("feature_matching"), 0.0, [3.0, 2.0])


@pytest.mark.parametrize("name", ["feature_matching", "perceptual"])
def test_wanted_features_are_not_moved(name):
    def loss(samples):
        made = objectives.make(name)
        return made.generator(MEAN, samples, jax.random.key(1), 0)[0].sum()

    gradient = jax.grad(loss)(SAMPLES)
    assert not gradient.real.any() and gradient.fake.any()


def test_diversity():
    samples = SAMPLES._replace(second=flat(F + np.array([0.4, 0.0])))
    made = objectives.make("diversity", margin=0.1)
    check(made, 0.0, [1 / 0.5, 1 / 0.1], samples=samples)
    with pytest.raises(ValueError, match="second"):
        made.generator(MEAN, SAMPLES, jax.random.key(1), 0)


def two_maps(images):
    """Is a feature network: half the image's width in one map, its negative in two."""
    return [images[:, :, ::2], jnp.concatenate([-images, -images], -1)]


def tripled(images):
    """Is a feature network: three times the first pixels, and the image itself."""
    return [3 * images[:, :1], images]


def test_projected():
    made = objectives.make(
        "projected", objective="wasserstein", features=f"{__name__}.two_maps", seed=4
    )
    rng = np.random.default_rng(4)
    first = rng.normal(size=(3, 3)) / np.sqrt(3)
    second = rng.normal(size=(6, 3)) / np.sqrt(6)
    # Constant images stay constant, so a score is x times the mean of both mixtures.
    factor = (first.sum(0) - second.sum(0)).mean() / np.sqrt(2)
    check(made, factor * (F - R), -factor * F)


def test_projected_random_features_keep_the_shape_and_the_scale():
    made = objectives.make("projected", objective="wasserstein")
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    seen = []
    critic = objectives.Critic(lambda x: (seen.append(x), x.mean((1, 2, 3)))[1])
    samples = objectives.Samples(images, images, images[..., :1])
    made.generator(critic, samples, jax.random.key(0), 0)
    assert seen[0].shape == images.shape
    assert 0.3 < float(seen[0].std()) < 3


def test_hinge_is_the_mean_over_the_parts_of_a_picture():
    critic = objectives.Critic(
        lambda images: images.mean((1, 2, 3)),
        parts=lambda images: images.mean((1, 3)) * 3,
    )
    made = objectives.make("hinge")
    real = jnp.asarray([[0.0, 1.0]]).reshape(1, 1, 2, 1) * jnp.ones((1, 1, 2, 3))
    samples = objectives.Samples(real=real, fake=-real, mask=jnp.ones((1, 1, 2, 1)))
    loss, _ = made.discriminator(critic, samples, jax.random.key(0), 0)
    np.testing.assert_allclose(loss, [1.0])  # Parts 0 and 3: (2 x 1 + 2 x 0) / 2.
    loss, _ = made.generator(critic, samples, jax.random.key(0), 0)
    np.testing.assert_allclose(loss, [1.5])


def test_projected_keeps_the_parts_of_its_critic():
    seen = []
    critic = objectives.Critic(
        lambda images: images.mean((1, 2, 3)),
        parts=lambda images: (seen.append(images), images.mean((1, 3)))[1],
    )
    samples = objectives.Samples(*(jnp.ones((2, 8, 8, 3)),) * 2, jnp.ones((2, 8, 8, 1)))
    objectives.make("projected").generator(critic, samples, jax.random.key(0), 0)
    assert len(seen) == 1
