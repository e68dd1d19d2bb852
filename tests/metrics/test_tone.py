import numpy as np
import pytest

from jaxanon.metrics import tone


@pytest.mark.parametrize(
    "rgb, lab",
    [
        ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([1.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
        ([0.0, 0.0, 1.0], [32.30, 79.19, -107.86]),
    ],
)
def test_known_colours_have_their_published_lab(rgb, lab):
    # Two decimals are published; the matrix has four digits.
    assert tone.to_lab(np.array(rgb)) == pytest.approx(lab, abs=0.05)


@pytest.mark.parametrize(
    "lab, angle",
    [([70.0, 10, 20], 45), ([50.0, 10, 20], 0), ([30.0, 10, 20], -45)],
)
def test_the_angle_is_of_lightness_over_yellow(lab, angle):
    assert tone.typology_angle(np.array(lab)) == pytest.approx(angle)


def test_grey_is_at_the_end_of_the_scale():
    assert tone.typology_angle(np.array([70.0, 0, 0])) == pytest.approx(90, abs=0.1)


def test_the_median_colour_in_the_mask_counts_and_nothing_else():
    light, dark = [0.9, 0.75, 0.65], [0.35, 0.22, 0.15]
    images = np.tile(np.array(light), (2, 8, 8, 1))
    images[1, :4] = dark
    masks = np.zeros((2, 8, 8), bool)
    masks[:, :4] = True
    masks[1, 4, :8] = True  # Fewer than half of what is looked at.
    first, second = tone.angles(images, masks)
    assert first == pytest.approx(tone.typology_angle(tone.to_lab(np.array(light))))
    assert second == pytest.approx(tone.typology_angle(tone.to_lab(np.array(dark))))
    assert second < tone.DARKER < first


def test_an_empty_mask_has_no_tone():
    assert np.isnan(tone.angles(np.ones((1, 4, 4, 3)), np.zeros((1, 4, 4), bool)))
