"""A bank is read back as it was written, and not at all where something is wrong."""

import json

import numpy as np
import pytest

from jaxanon import pose, weights
from jaxanon.donors import bank as banks
from jaxanon.errors import MediaError, WeightsError
from jaxanon.types import KEYPOINTS


@pytest.fixture
def path(tmp_path, drawn_bank):
    banks.save(tmp_path / "a.bank", drawn_bank)
    return tmp_path / "a.bank"


def rewrite(path, *, tensors=None, **metadata):
    """Writes a bank again with other tensors or metadata."""
    old_tensors, old_metadata = weights.decode(path.read_bytes())
    changed = old_metadata | metadata
    changed = {name: value for name, value in changed.items() if value is not None}
    path.write_bytes(weights.encode(old_tensors | (tensors or {}), changed))


def face(*, at=(60.0, 50.0), unit=20.0):
    """Keypoints of a head that looks at the camera, in pixels of a photo."""
    points = np.full((len(KEYPOINTS), 2), np.nan)
    points[pose.INNER] = at + 2 * unit * (pose.USUAL - 0.5)
    return points


def test_a_bank_comes_back(tmp_path, drawn_bank):
    vectors = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float16)
    bank = drawn_bank._replace(vectors=vectors.astype(np.float32))
    sha256 = banks.save(tmp_path / "a.bank", bank)
    loaded = banks.load(tmp_path / "a.bank")
    assert loaded.pictures == bank.pictures and loaded.sha256 == sha256
    assert loaded.entries == bank.entries and loaded.provenance == bank.provenance
    np.testing.assert_array_equal(loaded.keypoints, bank.keypoints)
    np.testing.assert_array_equal(loaded.vectors, bank.vectors)
    assert banks.decode(loaded, 3).shape == (banks.SIDE, banks.SIDE, 3)


def test_equal_banks_make_equal_bytes(path, tmp_path, drawn_bank):
    entries = [dict(reversed(entry.items())) for entry in drawn_bank.entries]
    banks.save(tmp_path / "b.bank", drawn_bank._replace(entries=entries))
    assert (tmp_path / "b.bank").read_bytes() == path.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"a.bank", "b.bank"}


@pytest.mark.parametrize("statement", [None, "", "  \n"])
def test_real_people_without_a_statement_are_refused(path, drawn_bank, statement):
    provenance = {"people": "consenting", "statement": statement}
    before = path.read_bytes()
    with pytest.raises(WeightsError, match="no statement that they agreed"):
        banks.save(path, drawn_bank._replace(provenance=provenance))
    assert path.read_bytes() == before
    rewrite(path, provenance=json.dumps(provenance))
    with pytest.raises(WeightsError, match="a.bank.*no statement that they agreed"):
        banks.load(path)


def test_real_people_with_a_statement_are_taken(path, drawn_bank):
    provenance = {"people": "consenting", "statement": "I agree to be shown."}
    banks.save(path, drawn_bank._replace(provenance=provenance))
    assert banks.load(path).provenance == provenance


@pytest.mark.parametrize("people", [None, "", "somebody", 1])
def test_a_bank_must_say_who_its_donors_are(path, drawn_bank, people):
    rewrite(path, provenance=json.dumps({"people": people, "statement": "Yes."}))
    with pytest.raises(WeightsError, match="does not say who its donors are"):
        banks.load(path)


@pytest.mark.parametrize("length", [0, 4, 100, 2000, -1])
def test_a_truncated_bank_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="a.bank is no bank of donors"):
        banks.load(path)


def test_a_missing_bank_is_named(tmp_path):
    with pytest.raises(WeightsError, match="none.bank: No such file"):
        banks.load(tmp_path / "none.bank")


@pytest.mark.parametrize("name", ["version", "entries", "provenance"])
def test_a_bank_without_metadata_is_refused(path, name):
    rewrite(path, **{name: None})
    with pytest.raises(WeightsError, match="a.bank is no bank"):
        banks.load(path)


def unknown_nose(keypoints):
    keypoints = keypoints.copy()
    keypoints[4, pose.NOSE] = np.nan
    return keypoints


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"version": "9"}, "layout '9'"),
        (lambda b: {"entries": "["}, "no bank"),
        (lambda b: {"entries": "3"}, "no bank"),
        (lambda b: {"entries": "[]"}, "do not fit"),
        (lambda b: {"entries": json.dumps(b.entries[:-1])}, "do not fit"),
        (lambda b: {"provenance": "{"}, "no bank"),
        (lambda b: {"tensors": {"keypoints": b.keypoints[:, :9]}}, "do not fit"),
        (lambda b: {"tensors": {"keypoints": unknown_nose(b.keypoints)}}, "missing"),
        (lambda b: {"tensors": {"vectors": np.zeros((3, 0), "f2")}}, "missing"),
        (lambda b: {"tensors": {"ends": np.arange(3)}}, "do not fit"),
    ],
)
def test_what_does_not_fit_together_is_refused(path, drawn_bank, change, message):
    rewrite(path, **change(drawn_bank))
    with pytest.raises(WeightsError, match=message):
        banks.load(path)


def test_a_weights_file_is_no_bank():
    with pytest.raises(WeightsError, match="no bank of donors"):
        banks.load(weights.ASSETS / "keypointer.safetensors")


def test_a_damaged_picture_is_refused(drawn_bank):
    cut = [picture[: len(picture) // 2] for picture in drawn_bank.pictures]
    with pytest.raises(MediaError, match="cannot be decoded"):
        banks.decode(drawn_bank._replace(pictures=cut), 0)


@pytest.mark.parametrize("unit", [20.0, 60.0])
def test_cutting_keeps_the_keypoints_where_they_are(unit):
    y, x = np.mgrid[:200, :240]
    photo = np.stack([x, y, 0 * x], -1).astype(np.uint8)
    points = face(at=(120.0, 100.0), unit=unit)
    picture, places = banks.cut(photo, points)
    assert picture.shape == (banks.SIDE, banks.SIDE, 3) and picture.dtype == np.uint8
    column, row = np.int32(places[pose.INNER] * banks.SIDE).T
    # The picture's colours say where its pixels come from, but for half a pixel.
    found = picture[row, column, :2]
    np.testing.assert_allclose(found + 0.5, points[pose.INNER], atol=1.1)
    assert np.isnan(places[pose.LEFT_EAR]).all()


def test_all_donors_are_cut_alike():
    photo = np.zeros((200, 240, 3), np.uint8)
    _, small = banks.cut(photo, face(at=(60.0, 50.0), unit=12.0))
    _, large = banks.cut(photo, face(at=(130.0, 110.0), unit=50.0))
    np.testing.assert_allclose(small, large, atol=1e-9)
    eyes = small[[pose.LEFT_EYE, pose.RIGHT_EYE]].mean(0)
    mouth = small[[pose.LEFT_MOUTH, pose.RIGHT_MOUTH]].mean(0)
    assert np.hypot(*(mouth - eyes)) == pytest.approx(1 / banks.REACH)


def test_beyond_the_photo_its_border_goes_on():
    photo = np.full((40, 40, 3), 77, np.uint8)
    picture, _ = banks.cut(photo, face(at=(4.0, 36.0), unit=20.0))
    assert (picture == 77).all()


def test_a_face_that_is_not_known_or_has_no_size_is_not_cut():
    photo, unknown = np.zeros((80, 80, 3), np.uint8), face()
    unknown[pose.UPPER_LIP] = np.nan
    with pytest.raises(ValueError, match="needs eyes"):
        banks.cut(photo, unknown)
    with pytest.raises(ValueError, match="in one place"):
        banks.cut(photo, face(unit=0.0))


def test_the_shipped_bank_can_be_read_and_shows_nobody_real():
    if not banks.DEFAULT.is_file():
        pytest.skip("no bank is shipped")
    bank = banks.load()
    assert bank.provenance["people"] == "nobody"
    assert len({entry["id"] for entry in bank.entries}) == len(bank.entries)
    assert all(entry["licence"] and entry["person"] for entry in bank.entries)
    for index in (0, len(bank.entries) - 1):
        assert banks.decode(bank, index).shape == (banks.SIDE, banks.SIDE, 3)
