"""The fast convolution is the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.models import winograd
from jaxanon.models.generators import deepprivacy_v1 as deepprivacy


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), "f4")


@pytest.mark.parametrize("shape", [(1, 2, 2, 1, 1), (2, 4, 8, 3, 5), (1, 10, 6, 2, 2)])
def test_equals_the_plain_convolution(shape):
    b, h, w, c, d = shape
    x, kernel = draw(0, b, h, w, c), draw(1, 3, 3, c, d)
    fast = winograd.convolve(x, winograd.transform(kernel))
    np.testing.assert_allclose(fast, deepprivacy.convolve(x, kernel), atol=1e-4)
    on_host = winograd.transform(np.asarray(kernel))
    np.testing.assert_allclose(on_host, winograd.transform(kernel), atol=1e-6)


def test_is_linear_and_has_the_gradient_of_the_plain_one():
    x, kernel, slope = draw(0, 1, 4, 4, 2), draw(1, 3, 3, 2, 3), draw(2, 1, 4, 4, 3)

    def fast(x):
        return winograd.convolve(x, winograd.transform(kernel))

    def plain(x):
        return deepprivacy.convolve(x, kernel)

    (got,), (wanted,) = (jax.vjp(f, x)[1](slope) for f in (fast, plain))
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    np.testing.assert_allclose(fast(2 * x), 2 * fast(x), rtol=1e-5, atol=1e-5)
