import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import weights
from jaxanon.models import keypointer
from jaxanon.models.keypointer import KeypointerConfig
from train import keypointer as trainer

CONFIG = KeypointerConfig(resolution=48, width=8)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: keypointer.init(key, CONFIG))(jax.random.key(0))


@pytest.fixture(scope="module")
def predict():
    return jax.jit(lambda params, crops: keypointer.predict(CONFIG, params, crops))


def test_answers_of_each_crop_are_its_own(params, predict):
    crops = jax.random.uniform(jax.random.key(1), (2, 48, 48, 3), minval=-1)
    keypoints, visible = predict(params, crops)
    assert keypoints.shape == (2, 11, 2) and visible.shape == (2, 11)
    assert bool(((visible > 0) & (visible < 1)).all())
    swapped, _ = predict(params, crops[::-1])
    np.testing.assert_allclose(swapped[::-1], keypoints, atol=1e-5)


def test_a_wrong_size_raises(params):
    with pytest.raises(ValueError, match="48"):
        keypointer.predict(CONFIG, params, jnp.zeros((1, 32, 32, 3)))


def test_centres_of_sharp_maps_by_hand():
    maps = np.full((1, 4, 8, 2), -100, np.float32)
    maps[0, 1, 2, 0] = maps[0, 3, 7, 1] = 100
    # Cell (2 + .5) / 8 of a grid from -0.1 to 1.1.
    expected = [[2.5 / 8 * 1.2 - 0.1, 1.5 / 4 * 1.2 - 0.1], [7.5 / 8 * 1.2 - 0.1, 0.95]]
    np.testing.assert_allclose(
        keypointer._centres(jnp.asarray(maps))[0], expected, atol=1e-5
    )


def drawn_face(keypoints, side=48):
    """Draws each keypoint as a square of its own colour."""
    image = np.full((side, side, 3), 128, np.uint8)
    for index, (x, y) in enumerate(keypoints * side):
        x, y = int(x), int(y)
        image[y - 1 : y + 2, x - 1 : x + 2] = (25 * index, 255 - 25 * index, 30)
    return image


def test_moving_a_picture_moves_its_keypoints_alike():
    keypoints = jnp.array([[0.4, 0.4], [0.6, 0.45], [0.5, 0.6]])
    image = np.full((96, 96, 3), 0, np.float32)
    for index, (x, y) in enumerate(np.asarray(keypoints) * 96):
        image[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3, index] = 1
    moved, found = trainer._move(jax.random.key(3), image, keypoints)
    assert float(jnp.abs(found - keypoints).max()) > 0.02
    grid = (np.arange(96) + 0.5) / 96
    for index in range(3):
        spot = np.asarray(moved)[..., index]
        x = (spot.sum(0) * grid).sum() / spot.sum()
        y = (spot.sum(1) * grid).sum() / spot.sum()
        # The spots are drawn to whole pixels of 1 / 96.
        np.testing.assert_allclose([x, y], found[index], atol=0.012)


def test_covered_and_cut_off_keypoints_are_not_seen():
    keypoints = jnp.array([[11.5 / 24, 11.5 / 24], [0.02, 0.5]])
    image = jnp.ones((24, 24, 3))
    keys = jax.random.split(jax.random.key(0), 400)
    covered, hidden = jax.vmap(lambda key: trainer._cover(key, image, keypoints))(keys)
    is_painted = (covered[:, 11, 11] != 1).any(-1)
    assert 0 < int(hidden[:, 0].sum()) < 400
    np.testing.assert_array_equal(np.asarray(hidden[:, 0]), np.asarray(is_painted))
    assert not bool(hidden[:, 1].any())


@pytest.mark.slow
def test_training_lowers_the_error_and_the_file_reads_back(tmp_path, params):
    rng = np.random.default_rng(0)
    usual = np.array(
        [[0.5, 0.45], *[[x, y] for y in (0.3, 0.4, 0.7, 0.5) for x in (0.6, 0.4)]]
    )
    keypoints = (usual + rng.normal(0, 0.02, (16, 9, 2))).astype(np.float32)
    faces = trainer.Faces(
        np.stack([drawn_face(points) for points in keypoints]),
        keypoints,
        np.ones((16, 9), np.float32),
        np.full(16, 1 / 3, np.float32),
    )
    trained, images = trainer.train(
        faces, CONFIG, batch_size=8, seconds=60.0, steps=100
    )
    assert images == 800
    before = trainer.evaluate(faces, CONFIG, params, batch_size=8)
    report = trainer.evaluate(faces, CONFIG, trained, batch_size=8)
    for name in ("left_eye", "right_shoulder"):
        median = report[name]["seen"]["median_face_widths"]
        assert median < before[name]["seen"]["median_face_widths"]
    assert report["nose"]["seen"]["faces"] == 16
    assert report["nose"]["guessed"] == {"faces": 0}

    path = tmp_path / "k.safetensors"
    weights.save(path, CONFIG.kind, CONFIG, trained, {"validation": report})
    loaded = weights.load(path)
    assert loaded.config == CONFIG
    assert loaded.provenance["validation"] == report


@pytest.mark.skipif("keypointer" not in weights.names(), reason="no shipped weights")
def test_shipped_weights_know_left_from_right_on_a_blank_crop():
    loaded = weights.load("keypointer")
    keypoints, _ = keypointer.predict(
        loaded.config, loaded.params, jnp.zeros((1, 96, 96, 3))
    )
    x, y = np.asarray(keypoints[0]).T
    assert x[1] > x[2] and x[3] > x[4] and x[5] > x[6] and x[7] > x[8]
    assert y[5] > y[0] and y[6] > y[0]
