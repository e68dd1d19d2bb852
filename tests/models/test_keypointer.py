import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import weights
from jaxanon.models import keypointer
from jaxanon.models.keypointer import KeypointerConfig
from train import keypointer as trainer

CONFIG = KeypointerConfig(resolution=48, width=8, keypoints=11, verdict=True)
OLD = KeypointerConfig(resolution=48, width=8)
NEVER = np.full((11, 2), trainer.UNKNOWN, np.float32)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: keypointer.init(key, CONFIG))(jax.random.key(0))


@pytest.fixture(scope="module")
def predict():
    return jax.jit(lambda params, crops: keypointer.predict(CONFIG, params, crops))


def test_answers_of_each_crop_are_its_own(params, predict):
    crops = jax.random.uniform(jax.random.key(1), (2, 48, 48, 3), minval=-1)
    keypoints, visible, face = predict(params, crops)
    assert keypoints.shape == (2, 11, 2) and visible.shape == (2, 11)
    assert face.shape == (2,)
    assert bool(((visible > 0) & (visible < 1)).all())
    assert bool(((face > 0) & (face < 1)).all())
    swapped, _, swapped_face = predict(params, crops[::-1])
    np.testing.assert_allclose(swapped[::-1], keypoints, atol=1e-5)
    np.testing.assert_allclose(swapped_face[::-1], face, atol=1e-5)


def test_an_old_network_has_no_lips_and_takes_everything_for_a_face():
    params = keypointer.init(jax.random.key(0), OLD)
    keypoints, visible, face = keypointer.predict(
        OLD, params, jnp.zeros((1, 48, 48, 3))
    )
    assert keypoints.shape == (1, 11, 2)
    assert not np.asarray(visible[0, 9:]).any() and np.asarray(visible[0, :9]).all()
    np.testing.assert_array_equal(face, [1])


def test_a_file_of_before_the_lips_still_loads(tmp_path):
    params = keypointer.init(jax.random.key(0), OLD)
    path = tmp_path / "old.safetensors"
    weights.save(path, OLD.kind, OLD, params, {})
    data = path.read_bytes()
    newer = b', \\"keypoints\\": 9', b', \\"verdict\\": false'
    for field in newer:
        # The header keeps its length: JSON may end in spaces.
        assert data.count(field) == 1
        end = 8 + int.from_bytes(data[:8], "little")
        header = data[8:end].replace(field, b"").ljust(end - 8)
        data = data[:8] + header + data[end:]
    path.write_bytes(data)
    assert weights.load(path).config == OLD


def test_a_wider_network_begins_with_what_the_old_one_knows(predict):
    old = keypointer.init(jax.random.key(3), OLD)
    wider = trainer.widen(old, CONFIG, jax.random.key(4))
    crops = jax.random.uniform(jax.random.key(1), (1, 48, 48, 3), minval=-1)
    before, seen, _ = keypointer.predict(OLD, old, crops)
    after, still_seen, _ = predict(wider, crops)
    np.testing.assert_allclose(after[:, :9], before[:, :9], atol=1e-5)
    np.testing.assert_allclose(still_seen[:, :9], seen[:, :9], atol=1e-5)
    np.testing.assert_array_equal(after[:, 9:], after[:, 7:9])


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


def test_a_crop_reaches_as_far_as_the_config_says_and_ends_in_grey():
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[..., 0] = np.arange(90)
    box = np.array([4.0, 30, 20, 46])
    crop, low, side = trainer.cut(pixels, box, CONFIG)
    # 48 px, around (12, 38) and 4 lower: from (-12, 18), to (36, 66).
    np.testing.assert_array_equal(low, [-12, 18])
    assert side == 48 and crop.shape == (48, 48, 3)
    assert (crop[:, :12] == 128).all() and (crop[42:] == 128).all()
    np.testing.assert_array_equal(crop[10, 12:, 0], np.arange(36))


def test_a_degraded_crop_keeps_its_grey():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, (48, 48, 3), np.uint8)
    image[:, 30:] = 128
    coarse = trainer.degrade(rng, image)
    assert (coarse[:, 30:] == 128).all()
    assert (coarse[:, :30] != image[:, :30]).any()


def test_a_mask_hides_mouth_and_not_eyes_and_needs_to_know_them():
    points = np.full((11, 2), 0.9, np.float32)
    points[[1, 2]] = [0.58, 0.4], [0.42, 0.4]
    points[[7, 8]] = [0.55, 0.56], [0.45, 0.56]
    image = jnp.full((48, 48, 3), 0.5)
    keys = jax.random.split(jax.random.key(0), 200)
    masked, hidden = jax.vmap(lambda key: trainer._mask(key, image, points))(keys)
    is_on = np.asarray((masked != 0.5).any((1, 2, 3)))
    assert 5 < is_on.sum() < 60
    np.testing.assert_array_equal(np.asarray(hidden[:, [7, 8]]).all(1), is_on)
    assert not np.asarray(hidden[:, [1, 2]]).any()
    same, hidden = jax.vmap(lambda key: trainer._mask(key, image, NEVER))(keys)
    assert bool((same == 0.5).all()) and not bool(hidden.any())


def test_crops_without_labels_teach_the_verdict_and_no_keypoints(params):
    crops = trainer.Crops(
        np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), np.uint8),
        np.stack([NEVER] * 4),
        np.zeros((4, 11), np.float32),
        np.full(4, 1 / 3, np.float32),
        np.zeros(4, np.float32),
        np.ones(4, np.float32),
    )
    key = jax.random.key(0)
    grads = jax.jit(jax.grad(trainer.loss), static_argnums=4)(
        params, key, crops, crops.images, CONFIG
    )
    assert bool(jnp.isfinite(grads["stem"]["kernel"]).all())
    assert not bool(grads["maps"]["kernel"].any())
    assert not bool(grads["visible"]["kernel"].any())
    assert bool(grads["face"]["kernel"].any())


def test_the_threshold_loses_no_more_faces_than_it_says(params, monkeypatch):
    faces = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.float32)
    answers = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.65, 0.2, 0.95], np.float32)
    monkeypatch.setattr(trainer, "_predict", lambda *_: (None, None, answers))
    crops = trainer.Crops(answers, None, None, None, faces, None)
    report = trainer.judge(crops, CONFIG, params)
    assert report["lost_0.01"] == {"threshold": 0.6, "rejected": 0.5}


@pytest.mark.slow
def test_training_lowers_the_error_and_the_file_reads_back(tmp_path, params):
    rng = np.random.default_rng(0)
    usual = np.array(
        [
            [0.5, 0.45],
            *[[x, y] for y in (0.3, 0.4, 0.7, 0.5) for x in (0.6, 0.4)],
            *[[0.5, 0.48], [0.5, 0.52]],
        ]
    )
    keypoints = (usual + rng.normal(0, 0.02, (16, 11, 2))).astype(np.float32)
    faces = trainer.Crops(
        np.stack([drawn_face(points) for points in keypoints]),
        keypoints,
        np.ones((16, 11), np.float32),
        np.full(16, 1 / 3, np.float32),
        np.ones(16, np.float32),
        np.ones(16, np.float32),
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
    keypoints, _, _ = keypointer.predict(
        loaded.config, loaded.params, jnp.zeros((1, 96, 96, 3))
    )
    x, y = np.asarray(keypoints[0]).T
    assert x[1] > x[2] and x[3] > x[4] and x[5] > x[6] and x[7] > x[8]
    assert y[5] > y[0] and y[6] > y[0]
