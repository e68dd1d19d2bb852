import numpy as np
import pytest

from jaxanon.metrics import stability


def texture(size=32):
    return np.random.default_rng(0).uniform(0, 1, (size, size, 3))


def window(x, y):
    return texture()[4 + y : 20 + y, 4 + x : 20 + x]


def test_identity_drift_by_hand():
    unit = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8], [np.nan, np.nan]])
    np.testing.assert_allclose(
        stability.identity_drift(unit), [0.4, 0.0, np.nan], atol=1e-12
    )


def test_landmark_jitter_is_zero_for_even_motion():
    points = np.arange(6.0)[:, None, None] * np.array([[[2.0, 1.0], [0.0, -3.0]]])
    assert stability.landmark_jitter(points, widths=np.full(6, 10.0)) == 0.0


def test_landmark_jitter_by_hand_over_points_that_are_seen():
    points = np.zeros((3, 2, 2))
    points[1, 0] = 3.0, 4.0  # Second difference -6, -8: length 10.
    points[2, 1] = np.nan
    assert stability.landmark_jitter(points, widths=np.full(3, 20.0)) == 0.5
    with pytest.raises(ValueError, match="three frames"):
        stability.landmark_jitter(points[:2], widths=np.full(2, 20.0))


def test_block_motion_finds_a_shift():
    # What the window at (0, 0) shows is at (-2, 1) in the window moved by (2, -1).
    motion = stability.block_motion(window(0, 0), window(2, -1), block=8, reach=3)
    assert motion.shape == (2, 2, 2)
    # The blocks whose picture is still whole in the second window.
    np.testing.assert_array_equal(motion[0, 1], [-2, 1])


def test_block_motion_prefers_rest_where_nothing_can_be_told():
    flat = np.zeros((16, 16, 3))
    assert not stability.block_motion(flat, flat).any()


def test_compensate_undoes_the_shift():
    motion = np.full((2, 2, 2), (-2, 1))
    back = stability.compensate(window(2, -1), motion, block=8)
    np.testing.assert_array_equal(back[:-1, 2:], window(0, 0)[:-1, 2:])


def test_flicker_is_what_motion_does_not_explain():
    still = np.stack([window(0, 0), window(-2, 0), window(-4, 0)])
    shimmer = still + np.array([0.0, 0.1, 0.1])[:, None, None, None]
    masks = np.zeros((3, 16, 16, 1))
    masks[:, 2:14, 2:10] = 1  # What is here has not left the window at the right.
    for clip, wanted in ((still, [0.0, 0.0]), (shimmer, [0.1, 0.0])):
        got = stability.flicker(clip, motion_of=still, masks=masks, block=4, reach=2)
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_flicker_without_painted_pixels_is_nan():
    frames = np.zeros((2, 8, 8, 3))
    got = stability.flicker(frames, motion_of=frames, masks=frames[..., :1])
    assert np.isnan(got).all()
