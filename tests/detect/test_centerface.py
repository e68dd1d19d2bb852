import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxanon import detect
from jaxanon.errors import ConfigError, DetectorError
from jaxanon.ops import boxes
from jaxanon.types import KEYPOINTS

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("JAXANON_SHARED", ROOT.parent / "shared"))
PHOTOS = SHARED / "data" / "media" / "photos"
SIZES = [(1, 1), (1, 700), (700, 1), (31, 33), (5, 40)]


@pytest.fixture(scope="module")
def detector():
    return detect.make("centerface", threads=2)


@pytest.fixture(scope="module")
def portrait():
    path = ROOT / "jaxanon" / "assets" / "astronaut.jpg"
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_astronaut_is_found_with_left_and_right_of_the_subject(detector, portrait):
    (found,) = detector([portrait])
    best = found.scores.argmax()
    points = dict(zip(KEYPOINTS, found.keypoints[best], strict=True))
    assert found.scores[best] > 0.8
    x0, y0, x1, y1 = found.boxes[best]
    assert x0 < points["right_eye"][0] < points["nose"][0] < points["left_eye"][0] < x1
    assert y0 < points["left_eye"][1] < points["nose"][1] < points["left_mouth"][1] < y1
    assert points["right_mouth"][0] < points["left_mouth"][0]
    unseen = {name for name in KEYPOINTS if np.isnan(points[name]).all()}
    sides = {
        f"{side}_{part}" for side in ("left", "right") for part in ("ear", "shoulder")
    }
    assert unseen == sides | {"upper_lip", "lower_lip"}


def test_the_answer_is_valid_and_the_same_again(detector, portrait):
    frames = [portrait[20:220, 130:320], portrait[60:200, 150:300]]
    first, second = detector(frames), detector(frames)
    detect.validate(frames, first)
    for a, b in zip(first, second, strict=True):
        for field, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(field, other)


@pytest.mark.parametrize("size", SIZES)
def test_odd_sizes_are_looked_at(detector, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    detect.validate([noise], detector([noise]))


def test_an_empty_frame_has_no_faces(detector):
    (found,) = detector([np.zeros((0, 5, 3), np.uint8)])
    assert [field.shape for field in found] == [(0, 4), (0,), (0, 11, 2), (0,)]


def test_a_small_face_is_found_by_enlarging(detector, portrait):
    small = portrait[:256:1, 80:400].reshape(32, 8, 40, 8, 3).mean((1, 3))
    (found,) = detector([small.astype(np.uint8)])
    assert found.scores.max(initial=0) > 0.23  # the face is 14 pixels high


def test_a_huge_face_is_found_beside_the_tiles(portrait):
    face = portrait[20:220, 130:320]
    huge = face.repeat(12, axis=0).repeat(12, axis=1)  # [2400 2280 3], face 1400 px
    (found,) = detect.make("centerface", factors=(0.5, 1 / 6))([huge])
    expected = np.array([[181, 58, 270, 178]]) - [130, 20, 130, 20]
    overlap = boxes.iou(found.boxes, expected * 12.0)
    assert overlap.max() > 0.7
    assert found.scores[overlap.argmax()] > 0.5


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_frame_is_refused(detector, frame):
    with pytest.raises(DetectorError, match="uint8"):
        detector([frame])


@pytest.mark.parametrize(
    "settings", [{"factors": ()}, {"factors": (9.0,)}, {"floor": 0.0}, {"threads": 0}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match="Setting"):
        detect.make("centerface", **settings)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="shared photos are absent")
def test_every_annotated_face_of_a_photo_is_found(detector):
    annotated = json.loads((PHOTOS / "boxes.json").read_text())
    name = "maksssksksss199.jpg"
    (found,) = detector([np.asarray(Image.open(PHOTOS / name).convert("RGB"))])
    sure = found.boxes[found.scores >= 0.23]
    truth = np.array(annotated[name]["boxes"], np.float32)
    assert (boxes.iou(truth, sure).max(1) >= 0.4).all()
