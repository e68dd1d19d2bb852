import json

import numpy as np
import pytest

from train import evaluate, log


def test_people_are_named_by_source_and_identity_and_else_apart():
    facts = [
        {"source": "a", "identity": "Ann"},
        {"source": "a", "identity": None},
        {"source": "a", "identity": "Ann"},
        {"source": "b", "identity": "Ann"},
        {},
        {},
    ]
    assert list(evaluate.name_people(facts)) == [0, 1, 0, 2, 3, 4]


def test_groups_are_summarised_by_themselves_over_all_latents():
    nan = np.nan
    tables = {
        "detected": np.array([[True, False, True], [True, True, False]]),
        "keypoint_error": np.array([[[1.0], [9.0], [nan]], [[2.0], [9.0], [nan]]]),
    }
    groups = {
        "a": np.array([True, False, False]),
        "b": np.array([False, True, True]),
        "nobody": np.zeros(3, bool),
    }
    assert evaluate.summarize(tables) == {
        "detected": pytest.approx(4 / 6),
        "keypoint_error": 5.5,
    }
    assert evaluate.by_group(tables, groups, {"b": {"realism_auc": 0.7}}) == {
        "a": {"faces": 1, "detected": 1.0, "keypoint_error": 1.5},
        "b": {
            "faces": 2,
            "detected": 0.5,
            "keypoint_error": 9.0,
            "realism_auc": 0.7,
        },
    }


def test_facts_of_the_chosen_faces_are_read(tmp_path):
    folder = tmp_path / "val"
    (folder / "images" / "16").mkdir(parents=True)
    (folder / "bounding_box").mkdir()
    for index in range(3):
        (folder / "images" / "16" / f"{index}.png").touch()
    np.save(folder / "bounding_box" / "16.npy", np.ones((3, 4), np.float32))
    np.save(folder / "landmarks.npy", np.ones((3, 7, 2), np.float32))
    entries = {str(i): {"source": f"s{i}"} for i in range(3)}
    (folder / "fdf_metainfo.json").write_text(json.dumps(entries))
    chosen = np.array([0, 2])
    assert evaluate.read_facts(str(tmp_path), 16, chosen) == [
        {"source": "s0"},
        {"source": "s2"},
    ]
    assert evaluate.read_facts(str(tmp_path / "none.npz"), 16, chosen) == [{}, {}]


def test_a_sheet_shows_what_was_painted_and_nothing_else():
    mask = np.zeros((2, 16, 16, 1), np.float32)
    mask[:, 4:12, 5:11] = 1
    photo = np.full((2, 16, 16, 3), -1, np.float32)
    painted = [np.where(mask > 0, level, photo) for level in (0.0, 1.0)]
    sheet = np.asarray(log.draw_sheet(mask, painted, columns=4))
    assert sheet.shape == (16, 48, 3)
    assert (sheet[:, :12] == 128).all() and (sheet[:, 12:24] == 255).all()
    assert (sheet[:, 24:36] == 128).all() and (sheet[:, 36:] == 255).all()
