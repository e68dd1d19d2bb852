"""Who lends a face: pose first, then the key; nobody twice."""

import jax
import numpy as np
import pytest

from jaxanon import pose
from jaxanon.donors import bank as banks
from jaxanon.donors import choose
from jaxanon.types import KEYPOINTS, MIRROR

N = 40


def head(turn=0.0, *, mouth=0.0):
    """Keypoints of a head that is turned: the nose moves aside, to larger x."""
    points = np.full((len(KEYPOINTS), 2), np.nan, np.float32)
    points[pose.INNER] = pose.USUAL * [0.77, 1]
    points[pose.NOSE, 0] += 0.4 * turn
    points[pose.LOWER_LIP, 1] += mouth
    return points


def make_cast(heads, people=None, vectors=None):
    names = people or [f"p{index}" for index in range(len(heads))]
    entries = [{"id": f"e{i}", "person": name} for i, name in enumerate(names)]
    if vectors is None:
        vectors = np.zeros((len(heads), 0), np.float32)
    # Nobody's picture is looked at.
    pictures = [b""] * len(heads)
    bank = banks.Bank(pictures, np.stack(heads), vectors, entries, {}, "")
    shapes = choose.make_cast(bank._replace(vectors=vectors[:, :0])).shapes
    return choose.Cast(bank, shapes, {})


def keys(count):
    return jax.random.split(jax.random.key(0), count)


def chosen(cast, keypoints, count=60, **settings):
    return [choose.choose(key, cast, keypoints, **settings) for key in keys(count)]


def test_those_are_chosen_who_hold_their_heads_alike():
    turns = np.linspace(-0.6, 0.6, N)
    picks = chosen(make_cast([head(turn) for turn in turns]), head(0.55))
    # A head may be mirrored, so that either side serves.
    assert all(abs(turns[pick.index]) > 0.3 for pick in picks)
    assert all(pick.mirrored == (turns[pick.index] < 0) for pick in picks)
    frontal = chosen(make_cast([head(turn) for turn in turns]), head(0.0))
    assert all(abs(turns[pick.index]) < 0.3 for pick in frontal)
    shut = [head(mouth=mouth) for mouth in np.linspace(0, 0.2, N)]
    assert all(p.index >= N - choose.LEAST for p in chosen(make_cast(shut), shut[-1]))


@pytest.mark.parametrize("place", [(3.0, 0.0, 1.0), (7.0, 90.0, 0.2)])
def test_place_and_size_and_lean_of_a_head_do_not_matter(place):
    cast = make_cast([head(turn) for turn in np.linspace(-0.6, 0.6, N)])
    shift, degrees, scale = place
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.float32(scale * head(0.3) @ turn.T + shift)
    for one, other in zip(chosen(cast, head(0.3)), chosen(cast, moved), strict=True):
        assert one.index == other.index
        assert other.distance == pytest.approx(one.distance, abs=1e-3)


def test_a_mirrored_donor_is_read_mirrored(drawn_bank):
    cast = choose.make_cast(drawn_bank)
    plain, mirrored = (
        choose.read(cast, choose.Pick(2, flag, 0.0, "")) for flag in (False, True)
    )
    np.testing.assert_array_equal(mirrored.image, plain.image[:, ::-1])
    expected = ([1, 0] + plain.keypoints * [-1, 1])[list(MIRROR)]
    np.testing.assert_allclose(mirrored.keypoints, expected, atol=1e-6)
    assert plain.image.dtype == np.float32 and np.abs(plain.image).max() <= 1
    again = choose.read(cast, choose.Pick(2, False, 0.0, ""))
    np.testing.assert_array_equal(again.image, plain.image)


def test_a_mirrored_head_gets_the_same_donors_the_other_way_round():
    cast = make_cast([head(turn) for turn in np.linspace(0.1, 0.6, N)])
    points = head(0.4)
    for one, other in zip(
        chosen(cast, points), chosen(cast, choose.mirror(points)), strict=True
    ):
        assert one.index == other.index and not one.mirrored and other.mirrored


def test_the_key_draws_among_sixteen_at_least():
    picks = chosen(make_cast([head()] * N), head(), 300)
    counts = np.bincount([pick.index for pick in picks], minlength=N)
    assert (counts > 0).sum() >= 16
    # Of 19 on average, fewer than 5 would be a rare thing.
    assert counts[counts > 0].min() >= 5
    assert picks == chosen(make_cast([head()] * N), head(), 300)


def test_nobody_is_chosen_who_is_taken():
    people = [f"p{index // 2}" for index in range(N)]
    cast = make_cast([head()] * N, people)
    taken = set(range(0, N - 2, 2))
    # All but one person appear already, each on one of two pictures.
    assert {pick.index for pick in chosen(cast, head(), taken=taken)} == {N - 2}
    everybody = chosen(cast, head(), 200, taken=range(0, N, 2))
    assert len({people[pick.index] for pick in everybody}) >= 16


def test_a_person_of_many_pictures_is_drawn_no_more_often():
    people = ["many"] * 20 + [f"p{index}" for index in range(20)]
    picks = chosen(make_cast([head()] * N, people), head(), 200)
    counts = [people[pick.index] for pick in picks].count("many")
    assert counts < 200 / 16 * 2.5


@pytest.mark.parametrize("seen", [[], [pose.NOSE], [pose.LEFT_EYE, pose.RIGHT_EYE]])
def test_without_keypoints_a_head_is_asked_for_that_looks_at_the_camera(seen):
    # No two are as far from the camera, the one to the left and the other to the right.
    cast = make_cast([head(turn) for turn in np.linspace(-0.6, 0.5, N)])
    points = np.full((len(KEYPOINTS), 2), np.nan, np.float32)
    points[seen] = 300 + 80 * head()[seen]
    frontal = chosen(cast, head())
    for pick, wanted in zip(chosen(cast, points), frontal, strict=True):
        assert pick.index == wanted.index and np.isfinite(pick.distance)


@pytest.mark.parametrize("points", [head(1.5), np.full_like(head(), 5.0)])
def test_nobody_lends_a_face_whose_head_is_held_quite_otherwise(points):
    cast = make_cast([head(turn) for turn in np.linspace(-0.6, 0.5, N)])
    (key,) = keys(1)
    assert choose.choose(key, cast, points) is None
    assert choose.choose(key, cast, head(0.5)) is not None


def test_the_only_donor_lends_to_everybody():
    cast = make_cast([head(0.5)])
    for pick in chosen(cast, head(-0.5), 3, taken=[0]):
        assert pick.index == 0 and pick.mirrored
        assert pick.why.startswith("drawn from 1 of 1")


def test_among_the_nearest_those_are_drawn_who_fit():
    vectors = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    cast = make_cast([head()] * N, vectors=vectors)
    picks = chosen(cast, head(), 200, fit=lambda rows: rows[:, 0])
    best = set(np.argsort(-vectors[:, 0])[: choose.LEAST].tolist())
    assert {pick.index for pick in picks} == best
    assert all("fits what is visible" in pick.why for pick in picks)


def test_no_fit_brings_in_a_head_that_is_held_quite_otherwise():
    turns = np.linspace(0, 0.6, 100)
    cast = make_cast([head(t) for t in turns], vectors=np.float32(turns)[:, None])
    picks = chosen(cast, head(0.0), fit=lambda rows: 100 * rows[:, 0])
    assert max(pick.index for pick in picks) < choose.NEAREST
