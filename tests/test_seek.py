import numpy as np
import pytest

from jaxanon import detect, pipeline, resume, seek, track
from jaxanon.detect.base import make_detections
from jaxanon.errors import DetectorError
from jaxanon.models import keypointer
from jaxanon.models.keypointer import KeypointerConfig
from jaxanon.types import KEYPOINTS, Detections
from jaxanon.weights import Weights

FRAME = np.zeros((50, 60, 3), np.uint8)
BOXES = [[10, 10, 20, 22], [30, 10, 41, 23]]


def some_faces(faces=None, *, keypoints=np.nan):
    points = np.full((2, len(KEYPOINTS), 2), keypoints, np.float32)
    found = Detections(np.float32(BOXES), np.float32([0.9, 0.4]), points)
    return found if faces is None else found._replace(faces=np.float32(faces))


@pytest.fixture
def look(monkeypatch):
    """Makes a keypoint network that gives out these probabilities, one a face."""

    def make(*faces, verdict=True):
        answers = list(faces)

        def predict(config, params, crops):
            points = np.full((1, len(KEYPOINTS), 2), 0.5, np.float32)
            return points, np.ones((1, len(KEYPOINTS))), np.float32([answers.pop(0)])

        monkeypatch.setattr(keypointer, "predict", predict)
        monkeypatch.setattr("jaxanon.paint._predict", predict_plainly)
        config = KeypointerConfig(keypoints=11, verdict=verdict)
        return Weights("keypointer", config, {}, {}, "")

    def predict_plainly(params, images, *, config):
        return keypointer.predict(config, params, images)

    return make


def test_one_look_gives_keypoints_and_verdict(look):
    # A third look would find no answer.
    found = seek.complete_keypoints(FRAME, some_faces(), look(0.25, 0.75))
    # The detector's own doubt counts, too.
    np.testing.assert_allclose(found.faces, [0.25, 0.4 / seek.SURE], rtol=1e-6)
    assert np.isfinite(found.keypoints).all()


def test_a_face_whose_keypoints_are_all_known_is_looked_at_too(look):
    found = seek.complete_keypoints(FRAME, some_faces(keypoints=7), look(0.1, 0.2))
    np.testing.assert_array_equal(found.faces, np.float32([0.1, 0.2]))
    assert (found.keypoints == 7).all()


def test_a_sure_verdict_is_not_taken_for_no_look(look):
    found = seek.complete_keypoints(FRAME, some_faces(), look(1.0, 0.5))
    assert 0.999 < found.faces[0] < 1


def test_without_a_verdict_the_score_speaks(look):
    found = seek.complete_keypoints(FRAME, some_faces(), look(1.0, 1.0, verdict=False))
    np.testing.assert_allclose(found.faces, [1, 0.4 / seek.SURE], rtol=1e-6)


def test_detectors_need_not_know_of_a_second_look():
    found = seek.find_faces(FRAME, lambda _: [some_faces()], None, score=0.5)
    np.testing.assert_array_equal(found.faces, [1])
    np.testing.assert_array_equal(found.boxes, BOXES[:1])
    np.testing.assert_array_equal(make_detections([], [], []).faces, [])


def test_selected_faces_keep_their_verdicts():
    kept = seek.select(some_faces([0.25, 0.5]), score=0.5)
    np.testing.assert_array_equal(kept.faces, [0.25])


@pytest.mark.parametrize("faces", [[0.5], [0.5, 1.5], [0.5, np.nan]])
def test_verdicts_that_cannot_be_are_refused(faces):
    with pytest.raises(DetectorError, match="shapes|probability"):
        detect.validate([FRAME], [some_faces(faces)])


def test_the_best_look_at_a_track_counts_and_no_look_does_not():
    looks = [[0.25, 0.5], [1, 1], [0.75, 0.125], [0.125, 1]]
    seen = [track.Seen(some_faces(faces)) for faces in looks]
    followed = list(track.follow(seen, track.Settings(look_ahead=0, longest_gap=0)))
    verdicts = [item.detections.faces.tolist() for item in followed]
    assert verdicts == [[0.25, 0.5], [0.25, 0.5], [0.75, 0.5], [0.75, 0.5]]


def test_a_track_that_nobody_looked_at_is_a_face():
    (followed,) = track.follow([track.Seen(some_faces())])
    np.testing.assert_array_equal(followed.detections.faces, [1, 1])


def test_interrupted_work_remembers_verdicts():
    given = [some_faces([0.25, 0.5]), None, some_faces()]
    first, none, last = resume._unpack_faces(resume._pack_faces(given))
    np.testing.assert_array_equal(first.faces, np.float32([0.25, 0.5]))
    assert none is None
    np.testing.assert_array_equal(last.faces, [1, 1])


def test_what_is_surely_no_face_is_hidden_all_the_same(look):
    frame = np.random.default_rng(0).integers(1, 255, FRAME.shape, np.uint8)
    black = pipeline.Options(mode="black", score=0.1)
    found = seek.complete_keypoints(frame, some_faces(), look(0.0, 0.0))
    result = pipeline.run(frame, found, None, options=black)
    (x0, y0, x1, y1), _ = BOXES
    assert not result.frame[y0:y1, x0:x1].any()
