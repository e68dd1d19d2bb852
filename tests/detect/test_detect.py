import numpy as np
import pytest

from jaxanon import detect
from jaxanon.errors import ConfigError, DetectorError
from jaxanon.types import Detections

FRAME = np.zeros((8, 8, 3), np.uint8)


def detections(**fields):
    good = Detections(
        np.array([[1, 1, 4, 5]], np.float32),
        np.array([0.5], np.float32),
        np.full((1, 11, 2), np.nan, np.float32),
    )
    return good._replace(**fields)


def test_the_folder_is_the_registry():
    assert detect.names() == ("centerface", "centerface_jax", "fixed")


def test_an_unknown_name_is_refused_with_a_hint():
    with pytest.raises(ConfigError, match="Did you mean centerface"):
        detect.make("centreface")


def test_an_unknown_setting_is_refused_with_the_allowed_ones():
    with pytest.raises(ConfigError, match="factors, floor, threads"):
        detect.make("centerface", scale=2)


def test_a_module_elsewhere_is_a_detector(tmp_path, monkeypatch):
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nothing.py").write_text(
        "def make(*, n=0):\n    return lambda frames: [n] * len(frames)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert detect.make("elsewhere.nothing", n=3)([FRAME]) == [3]
    with pytest.raises(DetectorError, match="cannot be loaded"):
        detect.make("elsewhere.missing")
    with pytest.raises(ConfigError, match="no make"):
        detect.make("os.path")


def test_good_detections_pass_unchanged():
    (found,) = detect.validate([FRAME], [detections()])
    np.testing.assert_array_equal(found.boxes, detections().boxes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"boxes": np.zeros((2, 4))}, "shapes"),
        ({"keypoints": np.zeros((1, 5, 2))}, "shapes"),
        ({"scores": np.zeros(())}, "shapes"),
        ({"boxes": np.array([[4, 1, 1, 5]])}, "inside out"),
        ({"boxes": np.array([[np.nan, 1, 1, 5]])}, "not finite"),
        ({"scores": np.array([1.5])}, "score"),
        ({"scores": np.array([np.nan])}, "score"),
        ({"keypoints": np.full((1, 11, 2), np.inf)}, "keypoint"),
        ({"boxes": "none"}, "not Detections"),
    ],
)
def test_nonsense_is_refused(fields, message):
    with pytest.raises(DetectorError, match=message):
        detect.validate([FRAME], [detections(**fields)])


def test_an_answer_is_due_to_every_frame():
    with pytest.raises(DetectorError, match="1 times to 2 frames"):
        detect.validate([FRAME, FRAME], [detections()])
