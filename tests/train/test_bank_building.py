"""Which pictures become donors."""

import numpy as np
import pytest

from jaxanon.donors import bank as banks
from jaxanon.metrics import tone
from jaxanon.pose import shape_of_face
from train import bank, drawn

GOOD = {"cast": 5.0, "uneven": 3.0, "clipped": 0.0, "turn": 0.1, "tone": 20.0}


def unit(*angles):
    turned = np.deg2rad(angles)
    return np.stack([np.cos(turned), np.sin(turned)], -1)


def test_twins_look_like_an_earlier_one_that_is_kept():
    # The cosine of 10 degrees is .985, that of 30 is .866.
    assert bank.find_twins(unit(0, 90, 10, 180), 0.95) == {2}
    # 20 is like 10, but 10 goes; 20 is not so like 0.
    assert bank.find_twins(unit(0, 10, 20), 0.95) == {1}
    assert bank.find_twins(unit(0, 10, 20), 0.9) == {1, 2}
    assert bank.find_twins(unit(0), 0.0) == set()


def test_who_is_like_a_real_person_is_found():
    alike = bank.find_look_alikes(unit(0, 45, 90), unit(5, 180), 0.7)
    assert alike.tolist() == [True, True, False]


def test_whose_vector_is_unknown_counts_as_a_look_alike():
    unknown = np.full((1, 2), np.nan)
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        assert bank.find_look_alikes(unknown, unit(5), 0.7).all()


def test_odd_light_and_colours_are_not_usable():
    assert bank.is_usable(GOOD)
    for name, value in [
        ("cast", 40.0),
        ("uneven", 30.0),
        ("clipped", 0.2),
        ("turn", 0.9),
        ("turn", -0.9),
        ("cast", np.nan),
    ]:
        assert not bank.is_usable(GOOD | {name: value}), name


def test_colours_are_converted_by_hand():
    lab = tone.to_lab(np.array([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]))
    # White, black and red under D65, as in CIE's tables.
    expected = [[0, 0, 0], [100, 0, 0], [53.24, 80.09, 67.2]]
    np.testing.assert_allclose(lab, expected, atol=0.1)


def candidates(count, tone=None):
    faces = drawn.draw_set(count, 16).faces
    return [
        bank.Candidate(
            f"c{index}",
            faces.images[index],
            np.float64(faces.keypoints[index]),
            GOOD | {"tone": float(index if tone is None else tone[index])},
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(("count", "first"), [(6, []), (6, [3, 4]), (50, [1])])
def test_a_choice_holds_the_first_and_nobody_twice(count, first):
    chosen = bank.choose_balanced(candidates(12), count, first)
    assert len(chosen) == len(set(chosen)) == min(count, 12)
    assert set(first) <= set(chosen)


def test_a_choice_covers_the_rare():
    # One dark face among many light ones.
    tones = [50.0] * 11 + [-50.0]
    assert 11 in bank.choose_balanced(candidates(12, tones), 4, [0])


def test_a_picture_is_measured():
    (picture,), _, (points,), _ = drawn.draw_set(1, 64).faces
    cut, places = banks.cut(picture, np.float64(points) * 64)
    measures = bank.measure(cut, places)
    assert all(np.isfinite(value) for value in measures.values())
    assert measures["turn"] == pytest.approx(shape_of_face(places)[0])
    flat = bank.measure(np.full_like(cut, 128), places)
    assert flat["sharpness"] == flat["uneven"] == flat["clipped"] == 0
    assert measures["sharpness"] > 0.5
    black = bank.measure(np.zeros_like(cut), places)
    assert black["clipped"] == 1 and not bank.is_usable(black)
    half = cut.copy()
    half[:, 128:] //= 4
    assert bank.measure(half, places)["uneven"] > measures["uneven"] + 10
