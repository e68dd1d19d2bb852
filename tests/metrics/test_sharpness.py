import numpy as np
import pytest

from jaxanon.metrics import sharpness


def draw_noise(n=3, size=24):
    return np.random.default_rng(0).uniform(size=(n, size, size, 3))


def soften(images):
    """Averages each pixel with its neighbours."""
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return np.mean([np.roll(images, shift, (1, 2)) for shift in shifts], 0)


def draw_inner(images):
    inner = np.zeros(images.shape[:3], bool)
    inner[:, 6:18, 6:18] = True
    return inner


def test_a_blurred_face_is_less_sharp_than_its_surroundings():
    images = draw_noise()
    inner = draw_inner(images)
    blurred = np.where(inner[..., None], soften(images), images)
    real = sharpness.against_surroundings(images, inner, ~inner)
    ratio = sharpness.against_surroundings(blurred, inner, ~inner) / real
    assert (ratio < 0.5).all() and (ratio > 0).all()


def test_an_untouched_face_keeps_its_sharpness_whatever_the_contrast():
    images = draw_noise()
    inner = draw_inner(images)
    ratio = sharpness.against_surroundings(images, inner, ~inner)
    faint = sharpness.against_surroundings(images * 0.5 + 0.2, inner, ~inner)
    assert faint == pytest.approx(ratio, rel=1e-3)  # LEAST does not shrink with it.
    assert ratio == pytest.approx(1, abs=0.3)  # 300 pixels of one noise.


def test_the_energy_of_one_bright_pixel_is_known():
    image = np.zeros((1, 7, 7, 3))
    image[0, 3, 3] = 1
    everything = np.ones((1, 7, 7), bool)
    # 16 in the middle and 1 at each of four neighbours, over 25 whole pixels.
    assert sharpness.energy(image, everything) == pytest.approx([20 / 25])


def test_pixels_beyond_the_mask_have_no_part():
    images = draw_noise()
    inner = draw_inner(images)
    other = np.where(inner[..., None], images, 0)
    assert (sharpness.energy(images, inner) == sharpness.energy(other, inner)).all()


def test_an_empty_mask_has_no_energy():
    images = draw_noise(1)
    assert np.isnan(sharpness.energy(images, np.zeros((1, 24, 24), bool))).all()
