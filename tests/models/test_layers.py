import jax
import jax.numpy as jnp
import numpy as np

from jaxanon.models import layers

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 6, 3)), jnp.float32)


def test_smooth_keeps_flat_pictures_and_stops_checkerboards():
    np.testing.assert_allclose(layers.smooth(jnp.ones((1, 4, 4, 1))), 1)
    board = (-1.0) ** (jnp.arange(8)[:, None] + jnp.arange(8))
    np.testing.assert_allclose(layers.smooth(board[None, ..., None])[0, 1:-1, 1:-1], 0)


def test_smooth_is_its_own_transpose_at_any_order_and_under_vmap():
    one, pull = jax.vjp(layers.smooth, X)
    np.testing.assert_allclose(pull(X)[0], one, rtol=1e-6)

    def energy(x):
        return jnp.square(layers.smooth(x)).sum()

    curved = jax.grad(lambda x: jax.grad(energy)(x)[0, 1, 1, 0])(X)
    assert np.abs(curved).sum() > 0
    mapped = jax.vmap(lambda x: layers.smooth(x[None])[0])(X)
    np.testing.assert_allclose(mapped, one, rtol=1e-6)


def test_upsample_doubles():
    assert layers.upsample(X).shape == (2, 8, 12, 3)
    np.testing.assert_allclose(layers.upsample(jnp.ones((1, 2, 2, 1))), 1)


def test_thin_convolution_is_one():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 4))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 4, 3))
    expected = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layers.convolve_thin(x, kernel), expected, atol=1e-5)
