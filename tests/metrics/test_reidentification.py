import numpy as np
import pytest

from jaxanon.metrics import reidentification as reid

NAN = [np.nan, np.nan]
AXES = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], NAN])


def test_cosine_by_hand_and_nan_where_a_face_is_missing():
    other = np.array([[0.6, 0.8], [0.0, -1.0], [0.8, 0.6], [1.0, 0.0]])
    got = reid.cosine(AXES, other)
    np.testing.assert_allclose(got, [0.6, -1.0, 0.96, np.nan])


def test_impostors_are_pairs_of_different_people():
    got = reid.impostor_scores(AXES, np.array(["a", "b", "a", "c"]))
    np.testing.assert_allclose(np.sort(got), [0.0, 0.8])


@pytest.mark.parametrize(("rate", "passing"), [(0.01, 1), (0.1, 10), (0.005, 0)])
def test_threshold_lets_no_more_impostors_through(rate, passing):
    scores = np.random.default_rng(0).permutation(np.arange(100) / 100)
    at = reid.threshold(scores, false_accept=rate)
    assert (scores >= at).sum() == passing


def test_threshold_counts_equal_scores_against_it():
    scores = np.array([0.5] * 10 + [0.1] * 90)
    at = reid.threshold(scores, false_accept=0.05)
    assert at > 0.5 and reid.accepted(scores, at=at) == 0.0


def test_threshold_needs_a_rate_and_scores():
    with pytest.raises(ValueError, match="false-accept"):
        reid.threshold(np.array([0.1]), false_accept=0.0)
    with pytest.raises(ValueError, match="different people"):
        reid.threshold(np.array([]), false_accept=0.1)


def test_accepted_leaves_unknown_scores_out():
    scores = np.array([0.1, 0.3, np.nan, 0.5])
    assert reid.accepted(scores, at=0.3) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no score"):
        reid.accepted(np.array([np.nan]), at=0.3)


def test_stranger_rates_by_hand():
    unit = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], NAN, [1.0, 0.0]])
    people, groups = np.array([0, 1, 2, 3, 0]), np.array(["a", "a", "a", "a", "b"])
    # 0.6 and 0.8 and 0 between the first three; the last is alone in its group.
    got = reid.stranger_rates(unit, people, groups, at=0.5)
    np.testing.assert_allclose(got, [0.5, 1.0, 0.5, np.nan, np.nan])
    same = reid.stranger_rates(unit, people * 0, groups, at=0.5)
    assert np.isnan(same).all()


def test_rank_one_by_hand():
    probes = np.array([[1.0, 0.1], [1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    # Right, wrong (most like the first), right; the fourth has no original.
    assert reid.rank_one(probes, AXES) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no face"):
        reid.rank_one(probes[3:], AXES[3:])


def test_diversity_by_hand():
    faces = np.array([AXES[:3], [[1.0, 0.0], NAN, [1.0, 0.0]], [NAN, NAN, [1.0, 0.0]]])
    got = reid.diversity(faces)
    np.testing.assert_allclose(got, [(0 + 0.6 + 0.8) / 3, 1.0, np.nan])
