"""``train.prepare``: photos of anybody become a set that the trainer opens."""

import argparse
import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

import jaxanon
from train import data, prepare
from train.config import DataConfig

SETTINGS = {
    "resolution": 32,
    "score": 0.5,
    "smallest": 32,
    "validation": 0.02,
    "licence": "by",
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with resources.as_file(resources.files(jaxanon) / "assets/astronaut.jpg") as file:
        for name in ("a", "b", "c"):
            shutil.copy(file, folder / f"{name}.jpg")
        (folder / "cut.jpg").write_bytes(file.read_bytes()[:3000])
    (folder / "text.png").write_text("not a picture")
    return folder


def run(photos: Path, out: Path) -> tuple[int, int]:
    return prepare.prepare(photos, out, argparse.Namespace(**SETTINGS))


def test_few_photos_make_both_splits_and_bad_ones_are_counted(photos, tmp_path, capsys):
    faces, bad = run(photos, tmp_path / "set")
    assert (faces, bad) == (3, 2)
    printed = capsys.readouterr().err
    assert "cut.jpg" in printed and "text.png" in printed
    config = DataConfig(path=str(tmp_path / "set"))
    sizes = [
        data.open_dataset(config, split, 32).size for split in ("train", "validation")
    ]
    assert sizes == [2, 1]


def test_a_stopped_run_goes_on_where_it_was(photos, tmp_path):
    whole = tmp_path / "whole"
    run(photos, whole)
    begun = tmp_path / "begun"
    (photos / "c.jpg").rename(tmp_path / "c.jpg")
    run(photos, begun)
    (tmp_path / "c.jpg").rename(photos / "c.jpg")
    with open(begun / prepare.JOURNAL, "a") as journal:
        journal.write('{"photo": "c.jpg", "fac')  # Cut short in the middle of a line.
    run(photos, begun)
    lines = (begun / prepare.JOURNAL).read_text().splitlines()
    assert json.loads(lines[-1])["photo"] == "c.jpg"

    def contents(folder):
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file() and file.name != prepare.JOURNAL
        }

    assert contents(begun) == contents(whole)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_share_of_held_out_photos(share):
    names = [f"{index}.jpg" for index in range(1000)]
    assert len(prepare.hold_out(names, share)) / 1000 == pytest.approx(share, abs=0.05)
    assert prepare.hold_out(names[:1], 0.001) == set()
