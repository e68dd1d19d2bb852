import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxanon.errors import ConfigError, MediaError
from train import data, drawn, faces, fdf, pack
from train.config import DataConfig

SHARED = Path(os.environ.get("JAXANON_SHARED", Path(__file__).parents[3] / "shared"))
SAMPLE = SHARED / "parity" / "fdf_sample"
needs_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"needs {SAMPLE}")


def write_folder(path, licences, size=16):
    face_set = drawn.draw_set(len(licences), size)
    (path / "images" / str(size)).mkdir(parents=True)
    (path / "bounding_box").mkdir()
    for index, image in enumerate(face_set.faces.images):
        Image.fromarray(image).save(path / "images" / str(size) / f"{index}.png")
    np.save(path / "bounding_box" / f"{size}.npy", face_set.faces.boxes * size)
    np.save(path / "landmarks.npy", face_set.faces.keypoints[:, :7].reshape(-1))
    entries = {str(i): {"license": name} for i, name in enumerate(licences)}
    (path / "fdf_metainfo.json").write_text(json.dumps(entries))
    return face_set


@needs_sample
@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize(("split", "count"), [("train", 9), ("val", 3)])
def test_fdf_sample_is_read_at_every_size(split, count, size):
    found = fdf.read_all(fdf.open_folder(SAMPLE / split, size))
    assert found.faces.images.shape == (count, size, size, 3)
    faces.check(found.faces, "sample")
    x0, y0, x1, y1 = found.faces.boxes.T
    nose = found.faces.keypoints[:, 0]
    assert ((x0 < nose[:, 0]) & (nose[:, 0] < x1)).all()
    assert ((y0 < nose[:, 1]) & (nose[:, 1] < y1)).all()
    assert (found.faces.scores[:, 7:] == 0).all()  # FDF has no mouths.


@needs_sample
def test_fdf_sample_goes_through_the_builder_and_comes_back(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    import subprocess
    import sys

    # In a process of its own: TFDS warns about itself.
    command = [sys.executable, "-m", "train.fdf_builder", SAMPLE, "-o", tmp_path]
    root = Path(__file__).parents[2]
    subprocess.run([*command, "--resolution", "16"], check=True, cwd=root)
    path = str(tmp_path / "fdf" / "16" / "1.0.0")
    for resident in (True, False):
        config = DataConfig(path=path, resident=resident)
        found = data.open_dataset(config, "train", 16)
        assert found.size == 9 and found.licences == {"drawn by code": 9}
        direct = fdf.read_all(fdf.open_folder(SAMPLE / "train", 16)).faces
        sums = sorted(int(found.read(i).images.sum()) for i in range(9))
        assert sums == sorted(int(x.sum()) for x in direct.images)
    assert data.open_dataset(config, "validation", 16).size == 3


def test_licence_filter_keeps_only_what_is_asked_for(tmp_path):
    names = [
        "Attribution License",
        "Attribution-ShareAlike License",
        "Attribution-NonCommercial License",
        "Attribution License",
    ]
    write_folder(tmp_path, names)
    kept = fdf.open_folder(tmp_path, 16, licences=("by", "by-sa"))
    assert kept.licences == ["by", "by-sa", "by"]
    assert [f.stem for f in kept.files] == ["0", "1", "3"]
    with pytest.raises(ConfigError, match="by-nd.*'by' \\(2\\)"):
        fdf.open_folder(tmp_path, 16, licences=("by-nd",))


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (
            {"license_url": "http://creativecommons.org/licenses/by-nc-sa/2.0/"},
            "by-nc-sa",
        ),
        ({"license": "Attribution-NonCommercial-ShareAlike License"}, "by-nc-sa"),
        ({"license": "drawn by code"}, "drawn by code"),
        ({}, "unknown"),
    ],
)
def test_licence_codes(entry, code):
    assert fdf.licence_code(entry) == code


def test_packed_file_holds_what_the_folder_held(tmp_path):
    face_set = write_folder(tmp_path / "in", ["by", "by-sa"])
    out = tmp_path / "a-train.npz"
    assert pack.main([str(tmp_path / "in"), "-o", str(out), "--resolution", "16"]) == 0
    packed = data.open_dataset(DataConfig(path=str(out)), "train", 16)
    assert packed.licences == {"by": 1, "by-sa": 1}
    np.testing.assert_array_equal(packed.resident.images, face_set.faces.images)
    np.testing.assert_allclose(packed.resident.boxes, face_set.faces.boxes, atol=1e-6)
    small = data.open_dataset(DataConfig(path=str(out)), "train", 8)
    assert small.resident.images.shape == (2, 8, 8, 3)


def test_damaged_data_is_named(tmp_path):
    write_folder(tmp_path / "a", ["by", "by"])
    (tmp_path / "a" / "images" / "16" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(MediaError, match="1.png"):
        fdf.read_all(fdf.open_folder(tmp_path / "a", 16))
    (tmp_path / "b.npz").write_bytes(b"nothing")
    with pytest.raises(MediaError, match="b.npz"):
        faces.load(tmp_path / "b.npz")
    with pytest.raises(ConfigError, match="there are 16"):
        fdf.open_folder(tmp_path / "a", 32)


def test_order_is_a_permutation_per_epoch_and_follows_the_place():
    whole = data.order(3, 10, 0, 30)
    assert [sorted(whole[i : i + 10]) for i in (0, 10, 20)] == [list(range(10))] * 3
    assert list(whole[:10]) != list(whole[10:20])
    np.testing.assert_array_equal(data.order(3, 10, 7, 9), whole[7:16])


def test_stream_resumes_at_the_batch_and_is_shared_out():
    pytest.importorskip("grain")
    dataset = data.open_dataset(DataConfig(drawn=10), "train", 8)
    settings = dict(seed=1, batch_size=4, steps=1, threads=2)
    whole = data.stream_batches(dataset, share=slice(0, 4), first_step=0, **settings)
    batches = [next(whole) for _ in range(5)]
    half = data.stream_batches(dataset, share=slice(2, 4), first_step=4, **settings)
    np.testing.assert_array_equal(batches[4].images[:, 2:], next(half).images)
