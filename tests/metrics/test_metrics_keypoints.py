import numpy as np
import pytest

from jaxanon.metrics import keypoints


def test_errors_are_in_face_widths_and_nan_where_unknown():
    wanted = np.array([[[0.0, 0.0], [1.0, 1.0]], [[np.nan, np.nan], [2.0, 0.0]]])
    found = np.array([[[3.0, 4.0], [1.0, 1.0]], [[0.0, 0.0], [2.0, 8.0]]])
    got = keypoints.errors(found, wanted, widths=np.array([10.0, 40.0]))
    np.testing.assert_allclose(got, [[0.5, 0.0], [np.nan, 0.2]])
    assert keypoints.median(got) == pytest.approx(0.2)


def test_no_width_and_no_point_are_errors():
    points = np.zeros((1, 2, 2))
    with pytest.raises(ValueError, match="above 0"):
        keypoints.errors(points, points, widths=np.array([0.0]))
    with pytest.raises(ValueError, match="No keypoint"):
        keypoints.median(np.full((1, 2), np.nan))
