import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.ops import filters


def test_halve_by_hand():
    image = jnp.float32([[0, 2, 4, 4], [2, 4, 4, 4]])[..., None]
    np.testing.assert_allclose(filters.halve(image)[..., 0], [[2, 4]])


def test_halve_refuses_an_odd_side():
    with pytest.raises(ValueError, match="must be even"):
        filters.halve(jnp.zeros((1, 3, 4, 1)))


def test_blur_of_a_point_is_a_gaussian():
    image = jnp.zeros((1, 21, 21, 1)).at[0, 10, 10, 0].set(1)
    blurred = filters.blur(image, sigma=2.0)[0, :, :, 0]
    y, x = np.mgrid[:21, :21] - 10
    expected = np.exp(-(x**2 + y**2) / 8) / (8 * np.pi)
    np.testing.assert_allclose(blurred, expected, atol=1e-6)


def test_fill_of_a_constant_is_that_constant():
    weights = jnp.float32(np.random.default_rng(0).random((2, 16, 16, 1)) > 0.9)
    filled = filters.fill(jnp.full((2, 16, 16, 3), 0.3), weights)
    np.testing.assert_allclose(filled, 0.3, rtol=1e-5)


def test_fill_ignores_what_has_no_weight_and_stays_between_its_sources():
    weights = jnp.zeros((1, 16, 16, 1)).at[0, :, 0].set(1).at[0, :, 15].set(1)
    across = jnp.broadcast_to(
        jnp.linspace(0.0, 1.0, 16)[None, None, :, None], (1, 16, 16, 1)
    )
    values = jnp.where(weights > 0, across, 77.0)
    filled = filters.fill(values, weights)[0, :, :, 0]
    assert (filled[:, 1:] > filled[:, :-1]).all()
    np.testing.assert_allclose(filled[:, 7] + filled[:, 8], 1, rtol=1e-4)
    assert (filled[:, 0] < 0.1).all()


def test_fill_without_any_weight_is_zero_and_has_a_finite_gradient():
    def total(values):
        return filters.fill(values, jnp.zeros((1, 8, 8, 1))).sum()

    value, gradient = jax.value_and_grad(total)(jnp.ones((1, 8, 8, 2)))
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize(
    "filter", [filters.halve, lambda x: filters.blur(x, sigma=1.5)]
)
def test_filters_run_alike_in_every_way(filter):
    image = jnp.float32(np.random.default_rng(0).normal(size=(2, 8, 8, 3)))
    expected = filter(image)
    np.testing.assert_allclose(jax.jit(filter)(image), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(filter)(image), expected, atol=1e-6)
    half = filter(image.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    # bfloat16 has 8 bits of precision.
    np.testing.assert_allclose(half.astype(jnp.float32), expected, atol=0.05)
