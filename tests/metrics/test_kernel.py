import numpy as np
import pytest

from jaxanon.metrics import kernel


def test_squared_mmd_by_hand():
    # d = 1. Within {0, 1}: k(0, 1) = 1. Within {1, 2}: k = 27.
    # Across: k(0,1) = k(0,2) = 1, k(1,1) = 8, k(1,2) = 27: mean 37/4.
    first, second = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    assert kernel.squared_mmd(first, second) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_distance_of_one_whole_subset_is_the_squared_mmd():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(9, 3)), rng.normal(size=(9, 3)) + 1
    got = kernel.distance(rng, first, second, subsets=2, size=50)
    assert got.mean == pytest.approx(kernel.squared_mmd(first, second))
    assert got.deviation == pytest.approx(0.0, abs=1e-12)


def test_distance_is_unbiased_and_tells_sets_apart():
    rng = np.random.default_rng(0)
    first, same = rng.normal(size=(2, 400, 4))
    other = rng.normal(size=(400, 4)) + 1
    near = kernel.distance(rng, first, same, subsets=20, size=100)
    far = kernel.distance(rng, first, other, subsets=20, size=100)
    assert abs(near.mean) < 0.15 and far.mean > 1


def test_one_sample_is_too_few():
    with pytest.raises(ValueError, match="at least 2"):
        kernel.distance(np.random.default_rng(0), np.zeros((1, 2)), np.zeros((5, 2)))
