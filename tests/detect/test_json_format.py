import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxanon import detect
from jaxanon.detect import json_format
from jaxanon.detect.json_format import FileDetections, FrameDetections
from jaxanon.errors import DetectorError, MediaError
from jaxanon.types import KEYPOINTS, Detections

NUMBERS = st.floats(-1e6, 1e6, width=32)


def some_faces(n=2, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(-5, 90, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 50, (n, 2))], 1)
    keypoints = rng.uniform(0, 100, (n, 11, 2))
    keypoints[:, 3] = np.nan
    scores, chances = rng.uniform(0, 1, (2, n))
    return Detections(*(np.float32(x) for x in (boxes, scores, keypoints, chances)))


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_picture_comes_back_to_the_bit(tmp_path, n):
    faces = some_faces(n)
    path = tmp_path / "faces.json"
    json_format.write(path, {"a b/ü.jpg": FileDetections(100, 80, faces=faces)})
    read = json_format.read(path)
    assert list(read) == ["a b/ü.jpg"]
    assert (read["a b/ü.jpg"].width, read["a b/ü.jpg"].height) == (100, 80)
    assert_equal(read["a b/ü.jpg"].faces, faces)
    assert [p.name for p in tmp_path.iterdir()] == ["faces.json"]


def test_a_video_comes_back_to_the_bit(tmp_path):
    frames = tuple(FrameDetections(t / 29.97, some_faces(t, t)) for t in range(3))
    json_format.write(tmp_path / "v", {"v.mp4": FileDetections(9, 8, frames=frames)})
    found = json_format.read(tmp_path / "v")["v.mp4"]
    assert found.faces is None
    assert [f.time_seconds for f in found.frames] == [f.time_seconds for f in frames]
    for a, b in zip(found.frames, frames, strict=True):
        assert_equal(a.faces, b.faces)


@given(arrays.arrays(np.float32, (11, 2), elements=NUMBERS))
def test_every_float32_survives(points):
    faces = Detections(
        np.float32([[0, 0, 1, 1]]), np.float32([0.1]), points[None], np.float32([0.7])
    )
    text = json.loads(json_format._dump_faces(faces))
    assert_equal(json_format._load_faces(text, ""), faces)


def file_with(face):
    entry = {"width": 10, "height": 10, "faces": [face]}
    return json.dumps({"version": 1, "files": {"a.jpg": entry}})


def test_a_face_written_by_hand_needs_its_box_only(tmp_path):
    (tmp_path / "f").write_text(file_with({"box": [1, 2, 3, 4]}))
    faces = json_format.read(tmp_path / "f")["a.jpg"].faces
    assert faces.scores.tolist() == faces.faces.tolist() == [1]
    assert np.isnan(faces.keypoints).all()


BAD = [
    ("{", "not a detections file"),
    ("[" * 100_000, "not a detections file"),
    ("[]", "is not an object"),
    ('{"version": 2, "files": {}}', "version is 2"),
    ('{"version": 1}', "lacks files"),
    ('{"version": 1, "files": {"a": {}, "a": {}}}', "twice"),
    ('{"version": 1, "files": {"a": {"width": 1, "height": 1}}}', "either"),
    ('{"version": 1, "files": {"a": {"width": 0, "height": 1, "faces": []}}}', "width"),
    ('{"version": 1, "files": {"a": {"width": 1, "height": 1, "faces": 3}}}', "list"),
    (
        '{"version": 1, "files": {"a": {"width": 1, "height": 1, "frames": '
        '[{"time": 1, "faces": []}, {"time": 1, "faces": []}]}}}',
        "do not grow",
    ),
    (file_with({"box": [1, 2, 3]}), r"faces\[0\].box"),
    (file_with({"box": [3, 2, 1, 4]}), "x0 < x1"),
    (file_with({"box": [1, 2, 3, "4"]}), "finite"),
    (file_with({"box": [1, 2, 3, True]}), "finite"),
    (file_with({"box": [1, 2, 3, 1e30]}), "finite"),
    (file_with({"box": [1, 2, 3, float("nan")]}), "NaN is not a number"),
    (file_with({"box": [1, 2, 3, 4], "score": 2}), "score is 2"),
    (file_with({"box": [1, 2, 3, 4], "face": -1}), "face is -1"),
    (file_with({"box": [1, 2, 3, 4], "colour": 2}), "unknown colour"),
    (file_with({"box": [1, 2, 3, 4], "keypoints": {"chin": [1, 2]}}), "unknown chin"),
    (file_with({"box": [1, 2, 3, 4], "keypoints": {"nose": [1]}}), "keypoints.nose"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong_is_said(tmp_path, text, message):
    (tmp_path / "f").write_text(text)
    with pytest.raises(MediaError, match=message):
        json_format.read(tmp_path / "f")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(MediaError, match="cannot be read"):
        json_format.read(tmp_path / "none")
    with pytest.raises(MediaError, match="cannot be written"):
        json_format.write(tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_fixed_answers_to_each_picture_with_the_same_faces(tmp_path):
    path, faces = tmp_path / "f", some_faces()
    json_format.write(path, {"a": FileDetections(140, 150, faces=faces)})
    detector = detect.make("fixed", file=path)
    frames = [np.zeros((150, 140, 3), np.uint8)] * 2
    for found in detector(frames):
        assert_equal(found, faces)
    with pytest.raises(DetectorError, match="140 x 150"):
        detector([np.zeros((140, 150, 3), np.uint8)])
    with pytest.raises(DetectorError, match="no entry"):
        detect.make("fixed", file=path, name="b")


def test_fixed_gives_out_a_video_frame_by_frame_and_then_stops(tmp_path):
    frames = tuple(FrameDetections(t, some_faces(t)) for t in (1, 2))
    json_format.write(tmp_path / "f", {"v": FileDetections(140, 140, frames=frames)})
    detector = detect.make("fixed", file=tmp_path / "f", name="v")
    frame = np.zeros((140, 140, 3), np.uint8)
    assert [len(d.scores) for d in [*detector([frame]), *detector([frame])]] == [1, 2]
    with pytest.raises(DetectorError, match="more frames"):
        detector([frame])


def at(*box):
    """The detections of a picture of 640x480 with one box."""
    unseen = np.full((1, len(KEYPOINTS), 2), np.nan, np.float32)
    faces = Detections(np.float32([box]), np.ones(1, np.float32), unseen)
    return FileDetections(640, 480, faces=faces)


@st.composite
def hides_nothing(draw):
    """A box in fractions, beside the picture, or with less than a pixel in it."""
    kind = draw(st.sampled_from(["fractions", "beside", "sliver"]))
    x, y = draw(st.floats(0, 600)), draw(st.floats(0, 440))
    wide, high = draw(st.floats(2, 30)), draw(st.floats(2, 30))
    if kind == "fractions":
        x, y = x / 640, y / 480
        return x, y, draw(st.floats(x, 1)), draw(st.floats(y, 1))
    if kind == "beside":
        dx, dy = draw(
            st.sampled_from([(640, 0), (-640, 0), (0, 480), (0, -480), (9e5, 9e5)])
        )
        return x + dx, y + dy, min(x + wide, 640) + dx, min(y + high, 480) + dy
    thin = draw(st.floats(0.01, 0.9))
    return draw(
        st.sampled_from(
            [
                (x, y, x + thin, y + high),
                (x, y, x + wide, y + thin),
                (640 - thin, y, 640 + wide, y + high),
                (x, thin - high, x + wide, thin),
            ]
        )
    )


@given(hides_nothing())
def test_box_that_hides_nothing_is_refused(box):
    with pytest.raises(MediaError, match="fractions|hides nothing"):
        json_format.check_hides(at(*box), "a.jpg")
    frames = tuple(FrameDetections(t, f) for t, f in enumerate([some_faces(0)] * 2))
    last = FrameDetections(2, at(*box).faces)
    clip = FileDetections(640, 480, frames=(*frames, last))
    with pytest.raises(MediaError, match="v.mp4: at 2"):
        json_format.check_hides(clip, "v.mp4")


@given(st.floats(-20, 600), st.floats(-20, 440), st.floats(25, 900), st.floats(25, 900))
def test_box_that_hides_something_is_taken(x, y, width, height):
    json_format.check_hides(at(x, y, x + width, y + height), "a.jpg")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_byte_order_mark_is_no_error(tmp_path, encoding):
    json_format.write(tmp_path / "a", {"ü.jpg": at(3, 4, 60, 70)})
    text = (tmp_path / "a").read_text(encoding="utf-8")
    (tmp_path / "b").write_text(text, encoding=encoding)
    assert list(json_format.read(tmp_path / "b")) == ["ü.jpg"]
