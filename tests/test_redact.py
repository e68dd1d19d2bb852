import numpy as np
import pytest

from jaxanon import redact


def noise(height, width, dtype=np.uint8):
    high = np.iinfo(dtype).max
    random = np.random.default_rng(0)
    return random.integers(0, high, (height, width, 3), dtype, endpoint=True)


def test_black_is_black():
    assert not redact.black(noise(3, 4)).any()


def test_pixelate_by_hand():
    region = np.zeros((32, 32, 3), np.uint8)
    region[:4, :4] = np.arange(16).reshape(4, 4, 1) * 2
    result = redact.pixelate(region)
    assert (result[:4, :4] == 15).all()
    assert not result[4:].any() and not result[:, 4:].any()


def test_pixelate_leaves_about_eight_tiles_a_side():
    result = redact.pixelate(noise(80, 120))
    assert len(np.unique(result[0], axis=0)) == 8
    assert len(np.unique(result[:, 0], axis=0)) == 5


@pytest.mark.parametrize("height, width", [(1, 9), (8, 8), (5, 7), (9, 30)])
def test_no_tile_of_a_small_face_is_a_copy_of_one_pixel(height, width):
    tile = max(max(height, width) / redact.TILES, 4.0)
    rows, columns = redact._tiles(height, tile), redact._tiles(width, tile)
    smallest = (rows > 0).sum(1).min() * (columns > 0).sum(1).min()
    assert smallest >= min(height, 4) * min(width, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blur_equals_a_gaussian_over_the_region(dtype):
    region = noise(40, 30, dtype)
    sigma = redact.SIGMA * 40
    weights = [
        np.exp(-0.5 * ((np.arange(n)[:, None] - np.arange(n)) / sigma) ** 2)
        for n in (40, 30)
    ]
    rows, columns = (w / w.sum(1, keepdims=True) for w in weights)
    expected = np.einsum("ij,jkc,lk->ilc", rows, region.astype(float), columns)
    result = redact.blur(region)
    assert result.dtype == dtype
    # Samples lie a quarter of sigma apart, with straight lines between.
    atol = 0.01 * np.iinfo(dtype).max
    np.testing.assert_allclose(result, expected, atol=atol)


@pytest.mark.parametrize("hide", [redact.black, redact.blur, redact.pixelate])
@pytest.mark.parametrize("height, width", [(1, 1), (1, 5), (17, 2)])
def test_any_size_keeps_its_shape_and_an_even_region_its_colour(hide, height, width):
    region = np.full((height, width, 3), 77, np.uint8)
    result = hide(region)
    assert result.shape == region.shape
    assert (result == (0 if hide is redact.black else 77)).all()
