import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.ops import affine


def test_square_to_crop_maps_corners_to_corners():
    to_crop = affine.square_to_crop(np.array([10, 20, 40, 50]), size=120)
    points = np.array([[10, 20], [40, 50], [25, 35]])
    mapped = affine.apply(jnp.asarray(to_crop, jnp.float32), jnp.float32(points))
    np.testing.assert_allclose(mapped, [[0, 0], [120, 120], [60, 60]], atol=1e-4)


@pytest.mark.parametrize("degrees", [-120.0, 45.0, 90.0])
def test_turned_square_makes_that_direction_level(degrees):
    to_crop = affine.square_to_crop(np.array([0, 0, 10, 10]), size=10, degrees=degrees)
    turn = np.deg2rad(degrees)
    level = to_crop[:, :2] @ [np.cos(turn), np.sin(turn)]
    np.testing.assert_allclose(level, [1, 0], atol=1e-12)
    np.testing.assert_allclose(to_crop @ [5, 5, 1], [5, 5], atol=1e-12)


def test_translate_adds_the_offset_first():
    to_crop = affine.square_to_crop(np.array([3, 4, 9, 10]), size=32, degrees=20.0)
    moved = affine.translate(to_crop, np.array([2, 3]))
    np.testing.assert_allclose(moved @ [5, 6, 1], to_crop @ [7, 9, 1])


def test_invert_undoes_apply_in_every_way_of_running():
    random = np.random.default_rng(0)
    maps = jnp.float32(random.normal(size=(3, 2, 3)) + 2 * np.eye(2, 3))
    points = jnp.float32(random.normal(size=(3, 7, 2)))

    def there_and_back(maps, points):
        return affine.apply(affine.invert(maps), affine.apply(maps, points))

    for run in (there_and_back, jax.jit(there_and_back), jax.vmap(there_and_back)):
        np.testing.assert_allclose(run(maps, points), points, atol=1e-4)
