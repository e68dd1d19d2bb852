import os
from pathlib import Path

import numpy as np
import pytest

from jaxanon.errors import WeightsError
from jaxanon.metrics import embedding
from jaxanon.types import KEYPOINTS, MIRROR

SHARED = Path(
    os.environ.get("JAXANON_SHARED", Path(__file__).parents[2].parent / "shared")
)
NETWORK = SHARED / "eval" / "MobileFaceNet.onnx"


def template_keypoints(scale=1.0, shift=0.0):
    points = np.full((11, 2), np.nan)
    for name, point in zip(embedding.POINTS, embedding.TEMPLATE, strict=True):
        points[KEYPOINTS.index(name)] = point * scale + shift
    return points


def picture(size=112):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (size, size, 3), dtype=np.uint8)


def colours(faces):
    """Is a network whose features are the mean colours of the two halves."""
    left, right = faces[:, :, :56], faces[:, :, 56:]
    return np.concatenate([left.mean((1, 2)), right.mean((1, 2))], 1)


def test_fit_similarity_recovers_turn_scale_and_shift():
    source = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    turned = np.array([[5.0, 1.0], [5.0, 4.0], [-1.0, 1.0]])  # 3 x, a quarter turn
    got = embedding.fit_similarity(source, turned)
    np.testing.assert_allclose(got, [[0, -3, 5], [3, 0, 1]], atol=1e-12)


def test_fit_similarity_never_mirrors():
    source = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    got = embedding.fit_similarity(source, source * [-1.0, 1.0])
    assert np.linalg.det(got[:, :2]) >= -1e-12
    with pytest.raises(ValueError, match="different points"):
        embedding.fit_similarity(source[:1], source[:1])


def test_a_face_at_the_template_is_cut_as_it_is():
    image = picture()
    np.testing.assert_allclose(
        embedding.align(image, template_keypoints()), image, atol=1e-3
    )


def test_a_shifted_face_is_brought_back_with_black_outside():
    image = np.zeros((112, 120, 3), np.uint8)
    image[2:, 5:117] = picture()[:-2]
    points = template_keypoints() + [5.0, 2.0]
    got = embedding.align(image, points)
    np.testing.assert_allclose(got[:-2], picture()[:-2], atol=1e-3)
    np.testing.assert_allclose(got[-2:], 0.0, atol=1e-3)


def test_a_larger_face_is_averaged_and_not_aliased():
    image = picture(336)
    got = embedding.align(image, template_keypoints(3.0))
    wanted = image.reshape(112, 3, 112, 3, 3).mean((1, 3))
    # Three points per pixel and axis sit on the three pixels' centres.
    np.testing.assert_allclose(got, wanted, atol=1e-2)


def test_embeddings_are_unit_mirror_proof_and_nan_without_three_points():
    image, points = picture(), template_keypoints()
    mirrored = points[list(MIRROR)] * [-1.0, 1.0] + [112.0, 0.0]
    hidden = points.copy()
    hidden[KEYPOINTS.index("nose") : KEYPOINTS.index("left_ear")] = np.nan
    embed = embedding.make(colours)
    got = embed([image, image[:, ::-1], image], np.stack([points, mirrored, hidden]))
    np.testing.assert_allclose(np.linalg.norm(got[:2], axis=1), 1.0, rtol=1e-6)
    # The template is not quite symmetric, so the two cuts differ by a fraction.
    np.testing.assert_allclose(got[0], got[1], atol=2e-3)
    assert np.isnan(got[2]).all()


def test_no_face_at_all_is_an_error():
    with pytest.raises(ValueError, match="three of the five"):
        embedding.make(colours)([picture()], np.full((1, 11, 2), np.nan))


def test_load_refuses_what_is_no_network(tmp_path):
    with pytest.raises(WeightsError, match="No embedding network"):
        embedding.load(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="Cannot load"):
        embedding.load(tmp_path / "bad.onnx")


@pytest.mark.skipif(not NETWORK.is_file(), reason="the embedding network is not here")
def test_a_network_gives_unit_vectors_whatever_the_batch():
    images = [picture(), np.full((112, 112, 3), 90, np.uint8), picture()[::-1]]
    points = np.stack([template_keypoints()] * 3)
    small = embedding.load(NETWORK, batch=2)(images, points)
    whole = embedding.load(NETWORK)(images, points)
    assert small.shape == (3, 128)
    np.testing.assert_allclose(np.linalg.norm(small, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(small, whole, atol=1e-4)
