import json
from pathlib import Path

import numpy as np
import pytest

from jaxanon.ops import boxes

# Height, width, box and square of the published code, 400 times.
PUBLISHED = Path(__file__).parents[1] / "data" / "expand_square.json"


def test_expand_square_equals_the_published_code():
    rows = np.array(json.loads(PUBLISHED.read_text()))
    squares = [boxes.expand_square(row[2:6], int(row[0]), int(row[1])) for row in rows]
    np.testing.assert_array_equal(squares, rows[:, 6:])


def test_expand_square_without_rounding_stays_near_the_published_one():
    for row in np.array(json.loads(PUBLISHED.read_text())):
        box, height, width = row[2:6], int(row[0]), int(row[1])
        smooth = boxes.expand_square(box, height, width, whole=False)
        # Four roundings of at most a pixel each.
        np.testing.assert_allclose(smooth, row[6:], atol=4)
        assert smooth[2] - smooth[0] == pytest.approx(smooth[3] - smooth[1])


def test_expand_square_without_rounding_follows_a_moving_box():
    box = np.array([40.0, 50.0, 60.0, 74.0])
    moved = boxes.expand_square(box + 0.25, 200, 200, whole=False)
    still = boxes.expand_square(box, 200, 200, whole=False)
    np.testing.assert_allclose(moved - still, 0.25)


def test_area_and_iou_by_hand():
    first = np.array([[0, 0, 2, 2], [1, 1, 1, 5]], np.float32)
    second = np.array([[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_array_equal(boxes.area(first), [4, 0])
    expected = [[2 / 6, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(boxes.iou(first, second), expected)


def test_area_of_an_inside_out_box_is_zero():
    assert boxes.area(np.array([[5, 5, 2, 2]])) == 0


def test_scale_keeps_the_centre():
    scaled = boxes.scale(np.array([[10.0, 20.0, 14.0, 30.0]]), 1.5)
    np.testing.assert_allclose(scaled, [[9, 17.5, 15, 32.5]])


def test_clip_and_round_outward():
    box = np.array([[-0.5, 1.2, 7.1, 12.0]])
    np.testing.assert_array_equal(boxes.round_outward(box), [[-1, 1, 8, 12]])
    np.testing.assert_array_equal(boxes.clip(box, 10, 6), [[0, 1.2, 6, 10]])


def test_nms_keeps_the_better_of_two_that_overlap():
    found = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.7], np.float32)
    np.testing.assert_array_equal(boxes.nms(found, scores, 0.4), [1, 2])
    np.testing.assert_array_equal(boxes.nms(found, scores, 0.95), [1, 2, 0])


def test_nms_of_nothing_is_nothing():
    empty = boxes.nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5)
    assert empty.shape == (0,)
