import jax
import jax.numpy as jnp
import numpy as np

from jaxanon import models
from jaxanon.models.discriminator import NormalizedConv

CONFIG = models.ProjectedConfig(resolution=16)


def look(images):
    return [images[:, ::2, ::2], images[:, ::4, ::4, :2]]


def test_projected_discriminator_scores_each_place_of_each_map():
    key, condition = jax.random.key(0), models.empty_condition(2, 16)
    params = jax.jit(lambda key: models.init_discriminator(key, CONFIG, look))(key)
    images = jax.random.normal(key, (2, 16, 16, 3))

    @jax.jit
    def judge(images):
        return models.discriminate(CONFIG, params, look(images), condition)

    scores, features = judge(images)
    assert scores.shape == (2, 2 * 16)
    assert [x.shape for x in features] == [(2, 8, 8, 3), (2, 4, 4, 2)]
    alone, _ = judge(images.at[1].set(0))
    np.testing.assert_allclose(alone[0], scores[0], atol=1e-6)


def test_normalized_convolution_stretches_nothing():
    network = NormalizedConv(6, kernel=2, stride=2, padding="VALID")
    x = jax.random.normal(jax.random.key(1), (5, 2, 2, 3))
    params = network.init(jax.random.key(0), x)
    scaled = jax.tree.map(lambda leaf: 1000 * leaf, params)
    one, two = network.apply(params, x), network.apply(scaled, x)
    np.testing.assert_allclose(one, two, rtol=1e-4)
    stretched = jnp.linalg.norm(one.reshape(5, -1), axis=-1)
    assert (stretched <= 1.05 * jnp.linalg.norm(x.reshape(5, -1), axis=-1)).all()
