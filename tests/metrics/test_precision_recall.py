import numpy as np
import pytest

from jaxanon.metrics import precision_recall


def column(*values):
    return np.array(values, np.float64)[:, None]


def test_precision_and_recall_by_hand():
    # Nearest-neighbour radii: real 0, 1, 3 -> 1, 1, 2; fake 0.5, 6, 7 -> 5.5, 1, 1.
    real, fake = column(0, 1, 3), column(0.5, 6, 7)
    got = precision_recall.precision_recall(real, fake, neighbours=1)
    assert got.precision == pytest.approx(1 / 3)  # 0.5 alone is near a real one.
    assert got.recall == pytest.approx(1.0)  # 0, 1 and 3 are within 5.5 of 0.5.


def test_equal_sets_cover_each_other_across_chunks(monkeypatch):
    monkeypatch.setattr(precision_recall, "CHUNK", 7)
    features = np.random.default_rng(0).normal(size=(40, 3))
    assert precision_recall.precision_recall(features, features) == (1.0, 1.0)


def test_a_collapsed_generator_has_precision_but_no_recall():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 2))
    fake = real[:1] * 0 + 0.001 * rng.normal(size=(200, 2))
    got = precision_recall.precision_recall(real, fake)
    assert got.precision > 0.9 and got.recall < 0.05


def test_too_few_members_are_refused():
    with pytest.raises(ValueError, match="3 neighbours"):
        precision_recall.precision_recall(column(0, 1, 2), column(0, 1, 2, 3))
