import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.ops import sample


def ramp(height, width):
    """An image whose value is x + 10 y at every place."""
    y, x = np.mgrid[:height, :width] + 0.5
    return jnp.float32(x + 10 * y)[..., None]


@pytest.mark.parametrize("read", [sample.bilinear, sample.bicubic])
def test_reading_a_ramp_gives_the_place(read):
    points = jnp.float32([[3.5, 3.5], [4.25, 3.9], [5.1, 2.0]])
    expected = np.asarray(points) @ [1, 10]
    for run in (read, jax.jit(read)):
        np.testing.assert_allclose(run(ramp(8, 9), points)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("read", [sample.bilinear, sample.bicubic])
def test_reading_outside_goes_on_with_the_border(read):
    image = ramp(4, 4)
    value = read(image, jnp.float32([[-9, -9], [50, 50]]))
    np.testing.assert_allclose(value, [image[0, 0], image[3, 3]], rtol=1e-6)


@pytest.mark.parametrize("read", [sample.bilinear, sample.bicubic])
def test_reading_at_pixel_centres_is_identity_in_half_precision(read):
    image = jnp.bfloat16(np.random.default_rng(0).normal(size=(5, 5, 2)))
    read_back = read(image, sample.grid(5))
    assert read_back.dtype == jnp.bfloat16
    np.testing.assert_array_equal(read_back, image)


def test_grid_of_quarter_pixels():
    points = sample.grid(2, per_pixel=2)
    np.testing.assert_allclose(points[0, :, 0], [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(points[:, 0, 1], [0.25, 0.75, 1.25, 1.75])


@pytest.mark.parametrize(
    "extent, side", [(1, 16), (16, 16), (16.5, 32), (600, 1024), (5000, 8192)]
)
def test_window_side(extent, side):
    assert sample.window_side(extent) == side


@pytest.mark.parametrize("x, y", [(2, 1), (-3, -2), (6, 5), (20, 20)])
@pytest.mark.parametrize("stride", [1, 2])
def test_cut_window_repeats_the_border_and_tells_what_is_inside(x, y, stride):
    frame = np.arange(8 * 9 * 3).reshape(8, 9, 3)
    padded = np.pad(frame, ((30, 30), (30, 30), (0, 0)), mode="edge")
    expected = padded[y + 30 : y + 34, x + 30 : x + 34]
    expected = expected[stride // 2 :: stride, stride // 2 :: stride]
    for each in (frame, jnp.asarray(frame)):
        window = sample.cut_window(each, x, y, 4, stride=stride)
        np.testing.assert_array_equal(window, expected)
    inside = sample.window_inside((8, 9, 3), x, y, 4, stride=stride)
    padded = np.pad(np.ones((8, 9), bool), 30)
    expected = padded[y + 30 : y + 34, x + 30 : x + 34]
    np.testing.assert_array_equal(
        inside, expected[stride // 2 :: stride, stride // 2 :: stride]
    )
