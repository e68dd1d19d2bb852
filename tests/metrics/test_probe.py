import numpy as np
import pytest

from jaxanon.metrics import probe


def draw(seed, n=200, d=20, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


@pytest.mark.parametrize(
    "positive, negative, expected",
    [
        ([2, 3], [0, 1], 1.0),
        ([0, 1], [2, 3], 0.0),
        ([1, 1], [1], 0.5),
        ([1, 3], [2], 0.5),
    ],
)
def test_auc_counts_pairs(positive, negative, expected):
    found = probe.auc(np.array(positive, float), np.array(negative, float))
    assert found == expected


def test_auc_of_nothing_is_unknown():
    assert np.isnan(probe.auc(np.array([]), np.array([1.0])))


def test_one_distribution_cannot_be_told_apart():
    found = probe.compare(
        np.random.default_rng(0), real=draw(1, 800), painted=draw(2, 800)
    )[""]
    # The deviation of an AUC of 400 against 400 is 0.02.
    assert found["auc"] == pytest.approx(0.5, abs=0.05)
    assert found["auc_floor"] == pytest.approx(0.5, abs=0.05)


def test_separable_features_are_told_apart_also_where_there_are_many():
    real, painted = draw(1, 60, 300), draw(2, 60, 300, shift=1.0)
    found = probe.compare(np.random.default_rng(0), real=real, painted=painted)[""]
    assert found["auc"] == pytest.approx(1, abs=1e-3)
    assert found["auc_floor"] == pytest.approx(0.5, abs=0.15)


def test_a_group_is_judged_by_the_probe_of_all():
    group = np.arange(400) % 2 == 0
    real, painted = draw(1, 400), draw(2, 400)
    painted[group] += 1.0
    groups = {"odd": group, "none": np.zeros(400, bool)}
    found = probe.compare(
        np.random.default_rng(0), real=real, painted=painted, groups=groups
    )
    assert found["odd"]["auc"] > 0.95 > found[""]["auc"] > 0.6
    assert found["odd"]["auc_floor"] == pytest.approx(0.5, abs=0.1)
    assert np.isnan(found["none"]["auc"])


def test_scale_and_place_of_features_do_not_matter():
    real, painted = draw(1), draw(2, shift=0.3)
    scale = np.random.default_rng(3).uniform(0.01, 100, 20)
    plain, other = (
        probe.held_out_scores(np.random.default_rng(0), f(painted), f(real))
        for f in (lambda x: x, lambda x: x * scale + 5)
    )
    assert np.allclose(plain[0], other[0], atol=1e-5)
    assert np.allclose(plain[1], other[1], atol=1e-5)


def test_a_feature_that_never_changes_is_left_out():
    real = np.concatenate([draw(1), np.ones((200, 1))], 1)
    scores, _ = probe.held_out_scores(np.random.default_rng(0), real, real)
    assert np.isfinite(scores).all()


def test_too_few_pictures_are_refused():
    with pytest.raises(ValueError, match="5 folds"):
        probe.held_out_scores(np.random.default_rng(0), draw(1, 4), draw(2))
