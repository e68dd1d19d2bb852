import numpy as np
import pytest

from jaxanon import regions
from jaxanon.types import KEYPOINTS


def find(*boxes, height=40, width=50, scale=1.0):
    return regions.find(np.array(boxes, np.float32), height, width, scale=scale)


def eyes(right, left):
    keypoints = np.full((11, 2), np.nan)
    keypoints[KEYPOINTS.index("right_eye")] = right
    keypoints[KEYPOINTS.index("left_eye")] = left
    return keypoints


def place(box, keypoints=None, *, height=40, width=50):
    keypoints = np.full((11, 2), np.nan) if keypoints is None else keypoints
    region = find(box, height=height, width=width, scale=1.1)[0]
    return regions.place(
        np.array(box, float), region, keypoints, height, width, size=16, feather=0.1
    )


def test_regions_are_scaled_whole_and_inside_the_frame():
    expected = [[9, 9, 21, 32], [0, 29, 11, 40]]
    found = find((10, 10, 20, 31), (-5, 30.5, 10, 60), scale=1.09)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 5), (60, 5, 70, 9), (9, 9, 4, 4), (-9, 0, -2, 5)]
)
def test_empty_boxes_have_empty_regions(box):
    np.testing.assert_array_equal(find(box), [[0, 0, 0, 0]])


def test_box_that_is_not_finite_raises():
    with pytest.raises(ValueError, match="finite"):
        find((0, 0, np.nan, 4))


def test_erase_blackens_regions_and_nothing_else():
    frame = np.full((40, 50, 3), 9, np.uint8)
    erased = regions.erase(frame, find((10, 10, 20, 30)))
    assert (erased == 0).sum() == 10 * 20 * 3
    assert not erased[10:30, 10:20].any()
    assert (frame == 9).all()


def test_each_erased_pixel_has_one_owner_whatever_the_order():
    found = find((5, 5, 25, 25), (15, 8, 30, 38), (22, 2, 28, 12))
    owner = regions.assign(found, 40, 50)
    turned = regions.assign(found[::-1], 40, 50)
    erased = regions.erase(np.ones((40, 50, 3), np.uint8), found)[..., 0] == 0
    np.testing.assert_array_equal(owner != regions.NOBODY, erased)
    same = np.where(turned == regions.NOBODY, turned, 2 - turned)
    # Only pixels as near to one face as to another may go by order.
    assert (same != owner).sum() <= 2
    assert owner[15, 10] == 0 and owner[30, 20] == 1 and owner[5, 26] == 2


def test_window_holds_crop_region_and_feather():
    for box in ((10, 10, 20, 30), (0, 0, 50, 40), (-4, 30, 9, 44), (49, 39, 50, 40)):
        placement = place(box)
        region = find(box, scale=1.1)[0]
        margin = max(0.1 * (region[2:] - region[:2]).max(), 1)
        low = np.array([placement.x, placement.y])
        assert (low <= region[:2] - margin).all()
        assert (low + placement.side >= region[2:] + margin).all()
        back = np.linalg.inv(placement.to_crop[:, :2])
        for corner in ([0, 0], [16, 16]):
            point = back @ (corner - placement.to_crop[:, 2])
            assert (low <= point).all() and (point <= low + placement.side).all()


def test_crop_holds_the_region():
    for box in ((10, 10, 20, 30), (0, 0, 50, 40), (-4, 30, 9, 44), (49, 39, 50, 40)):
        placement, region = place(box), find(box, scale=1.1)[0]
        for point in (region[:2], region[2:]):
            mapped = placement.to_crop @ [*point, 1]
            assert (mapped > -1e-9).all() and (mapped < 16 + 1e-9).all()


@pytest.mark.parametrize("degrees", [-170.0, -90.0, 45.0, 120.0])
def test_leaning_head_is_turned_upright(degrees):
    turn = np.deg2rad(degrees)
    eye = 4 * np.array([np.cos(turn), np.sin(turn)])
    placement = place((10, 10, 30, 30), eyes(20 - eye, 20 + eye))
    across = placement.to_crop[:, :2] @ eye
    assert across[0] > 0
    assert across[1] == pytest.approx(0, abs=1e-9)


def test_head_that_hardly_leans_is_not_turned():
    placement = place((10, 10, 30, 30), eyes([16, 18], [24, 21]))
    assert placement.to_crop[0, 1] == 0


@pytest.mark.parametrize(
    "box, whole",
    [
        ((10, 10, 25, 30), (10, 10, 25, 30)),
        ((0, 10, 8, 30), (-7.4, 10, 8, 30)),
        ((42, 10, 50, 30), (42, 10, 57.4, 30)),
        ((10, 0, 25.4, 10), (10, -10, 25.4, 10)),
        ((10, 30, 25.4, 40), (10, 30, 25.4, 50)),
        ((20, 10, 28, 30), (20, 10, 28, 30)),
    ],
)
def test_a_face_that_the_frame_cuts_is_completed_beyond_it(box, whole):
    np.testing.assert_allclose(regions.complete(np.array(box, float), 40, 50), whole)


def test_a_cut_face_lies_in_its_crop_as_a_whole_one_would():
    whole, cut = place((20, 10, 35.4, 30)), place((0, 10, 7.7, 30))
    middle = whole.to_crop @ [27.7, 20, 1]
    np.testing.assert_allclose(cut.to_crop @ [0, 20, 1], middle, atol=1e-9)
    scales = whole.to_crop[0, 0], cut.to_crop[0, 0]
    assert scales[0] == pytest.approx(scales[1])
