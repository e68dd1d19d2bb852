import numpy as np
import pytest

from jaxanon import pose
from jaxanon.types import KEYPOINTS, MIRROR


def head(**places):
    keypoints = np.full((len(KEYPOINTS), 2), np.nan)
    for name, place in places.items():
        keypoints[KEYPOINTS.index(name)] = place
    return keypoints


FRONTAL = head(
    nose=[50, 52],
    left_eye=[60, 40],
    right_eye=[40, 40],
    left_ear=[70, 45],
    right_ear=[30, 45],
    left_mouth=[58, 60],
    right_mouth=[42, 60],
)
PROFILE = head(  # Looks to the right of the picture; 20 from the eyes to the mouth.
    nose=[65, 52],
    left_eye=[60, 40],
    right_eye=[57, 40],
    left_ear=[66, 45],
    right_ear=[30, 45],
    left_mouth=[60, 60],
    right_mouth=[57, 60],
)


USUAL = pose.USUAL * [0.77, 1]
"""A usual face in units that are as long in x as in y."""


def mirrored(keypoints):
    return ([100, 0] + keypoints * [-1, 1])[list(MIRROR)]


def moved(keypoints, *, degrees, scale):
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return scale * keypoints @ matrix.T + [7, -3]


def test_roll_needs_both_eyes():
    assert pose.roll_degrees(head(left_eye=[3, 3])) == 0
    assert pose.roll_degrees(head(right_eye=[3, 3], left_eye=[3, 9])) == 90


def test_what_is_not_seen_is_guessed_from_the_rest():
    whole = np.full((len(KEYPOINTS), 2), np.nan)
    whole[pose.INNER] = moved(USUAL, degrees=50.0, scale=40.0)
    few = whole.copy()
    few[[pose.NOSE, pose.LEFT_EYE, pose.UPPER_LIP]] = np.nan
    np.testing.assert_allclose(pose.complete(few), whole, atol=1e-9)
    assert np.isnan(few[pose.NOSE]).all()
    np.testing.assert_array_equal(pose.complete(whole), whole)


@pytest.mark.parametrize("seen", [[], [pose.NOSE], [pose.RIGHT_MOUTH]])
def test_of_one_point_or_none_a_face_is_guessed_that_looks_at_the_camera(seen):
    few = np.full((len(KEYPOINTS), 2), np.nan)
    few[seen] = 400
    np.testing.assert_array_equal(pose.complete(few)[pose.INNER], USUAL)


def test_the_shape_of_a_face_knows_neither_place_nor_size_nor_lean():
    change = {"degrees": 130.0, "scale": 0.3}
    for keypoints in (FRONTAL, PROFILE):
        shape = pose.shape_of_face(keypoints)
        other = pose.shape_of_face(moved(keypoints, **change))
        np.testing.assert_allclose(other, shape, atol=1e-9)
    gap = np.linalg.norm(pose.shape_of_face(FRONTAL) - pose.shape_of_face(PROFILE))
    assert 0.3 < gap < 3
    # By hand: 20 from the eyes to the mouth, the nose 12 below the eyes.
    np.testing.assert_allclose(pose.shape_of_face(FRONTAL)[:2], [0, 0.6], atol=1e-9)
    flat = head(**dict.fromkeys(KEYPOINTS, [1, 1]))
    assert (pose.shape_of_face(flat) > 100).all()


def test_a_head_that_is_turned_less_stays():
    np.testing.assert_array_equal(pose.limit_turn(FRONTAL, 0.7), FRONTAL)
    np.testing.assert_array_equal(pose.limit_turn(PROFILE, 0.0), PROFILE)


def test_a_profile_is_turned_back_by_hand():
    got = pose.limit_turn(PROFILE, 0.6)
    # The eyes 12 apart, the mouth 9.6, the nose 0.46 x 0.8 x 20 from their middle.
    expected = head(
        nose=[54 + 7.36, 52],
        left_eye=[60, 40],
        right_eye=[48, 40],
        right_ear=[30, 45],
        left_mouth=[60, 60],
        right_mouth=[50.4, 60],
    )
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize("least", [0.5, 0.7])
def test_limiting_goes_along_with_mirror_rotation_and_scale(least):
    limited = pose.limit_turn(PROFILE, least)
    np.testing.assert_allclose(
        pose.limit_turn(mirrored(PROFILE), least), mirrored(limited)
    )
    change = {"degrees": 130.0, "scale": 0.3}
    np.testing.assert_allclose(
        pose.limit_turn(moved(PROFILE, **change), least), moved(limited, **change)
    )


def test_limiting_is_continuous_and_needs_all_points():
    at = PROFILE.copy()
    at[KEYPOINTS.index("right_eye")] = [46.001, 40]
    before = at.copy()
    before[KEYPOINTS.index("right_eye")] = [45.999, 40]
    gap = pose.limit_turn(at, 0.7) - pose.limit_turn(before, 0.7)
    assert np.nanmax(np.abs(gap)) < 0.01
    unknown = PROFILE.copy()
    unknown[KEYPOINTS.index("nose")] = np.nan
    np.testing.assert_array_equal(pose.limit_turn(unknown, 0.7), unknown)
    flat = head(**dict.fromkeys(KEYPOINTS, [1, 1]))
    np.testing.assert_array_equal(pose.limit_turn(flat, 0.7), flat)
