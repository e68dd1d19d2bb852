import numpy as np
import pytest

from jaxanon.metrics import seam


def square_mask():
    mask = np.zeros((1, 16, 16, 1))
    mask[:, 4:12, 4:12] = 1
    return mask


def ramp(slope):
    return (slope * np.arange(16.0))[None, :, None, None] + np.zeros((1, 16, 16, 3))


def test_a_step_at_the_border_is_the_error():
    measured = seam.measure(0.25 * square_mask(), square_mask())
    np.testing.assert_allclose(measured.across, [0.25])
    np.testing.assert_allclose(measured.around, [0.0])
    np.testing.assert_allclose(measured.error, [0.25])


def test_a_ramp_through_the_border_is_no_seam():
    # Slope .1 along y alone: half of the border's steps (top, bottom) are .1.
    measured = seam.measure(ramp(0.1), square_mask(), reach=2)
    np.testing.assert_allclose(measured.across, [0.05])
    np.testing.assert_allclose(measured.error, [0.0], atol=0.005)


def test_what_is_out_of_reach_does_not_count():
    image = np.zeros((1, 16, 16, 1))
    image[:, 8, 8] = 100.0
    measured = seam.measure(image, square_mask(), reach=2)
    np.testing.assert_allclose(measured.around, [0.0])
    assert seam.measure(image, square_mask(), reach=4).around[0] > 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_without_border_gives_nan(value):
    measured = seam.measure(ramp(0.1), np.full((1, 16, 16, 1), value))
    assert np.isnan(measured.error).all()
