import numpy as np
import pytest

from jaxanon.metrics import frechet


def test_distance_of_one_dimension_by_hand():
    # Means 0 and 3; unbiased variances 2 and 8: 9 + 2 + 8 - 2 * sqrt(16) = 11.
    first, second = np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])
    assert frechet.distance(first, second) == pytest.approx(11.0)


def test_distance_of_axis_aligned_gaussians_by_hand():
    # Crosses on the axes: means 0, variances 2 a^2 / 3 along x and 2 b^2 / 3 along y.
    def cross(a, b):
        return np.array([[a, 0.0], [-a, 0.0], [0.0, b], [0.0, -b]])

    # sum (sigma - sigma')^2 = 2/3 ((3 - 1)^2 + (2 - 5)^2)
    got = frechet.distance(cross(3.0, 2.0), cross(1.0, 5.0))
    assert got == pytest.approx(2 / 3 * 13)


def test_distance_does_not_depend_on_the_axes():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 5))
    second = rng.normal(size=(50, 5)) @ rng.normal(size=(5, 5)) + 1
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    straight = frechet.distance(first, second)
    assert frechet.distance(first @ turn, second @ turn) == pytest.approx(straight)
    assert frechet.distance(second, first) == pytest.approx(straight)


def test_distance_to_itself_is_zero_with_fewer_samples_than_dimensions():
    features = np.random.default_rng(0).normal(size=(10, 30)).astype(np.float32)
    assert frechet.distance(features, features) == pytest.approx(0.0, abs=1e-5)


def test_distance_to_a_shifted_copy_is_the_squared_shift():
    features = np.random.default_rng(0).normal(size=(40, 4))
    shifted = features + np.array([1.0, 2.0, 0.0, -2.0])
    assert frechet.distance(features, shifted) == pytest.approx(9.0)


def test_floor_falls_with_the_number_of_samples():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 8))
    few = frechet.floor(rng, features[:100], repeats=3)
    many = frechet.floor(rng, features, repeats=3)
    assert 0 < many < few / 5


def test_one_sample_is_no_gaussian():
    with pytest.raises(ValueError, match="at least 2"):
        frechet.distance(np.zeros((1, 2)), np.zeros((3, 2)))
