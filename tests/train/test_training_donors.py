"""Whose face is a donor in training, and what is done to it."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from jaxanon import models, pipeline
from jaxanon import weights as weights_
from jaxanon.errors import ConfigError
from jaxanon.pose import shape_of_face
from train import augment, donors, drawn, loop
from train import config as config_
from train.config import DonorsConfig

FACES = drawn.draw_set(24, 16).faces
PEOPLE = ["", *(f"p{index // 3}" for index in range(22)), "alone"]
SETTINGS = DonorsConfig(nearest=5)
QUIET = DonorsConfig(mirror=0.0, jitter=0.0, light=0.0)


def draw(people, *, every=2, **settings):
    partners = donors.Partners(FACES, people, dataclasses.replace(SETTINGS, **settings))
    generator = np.random.default_rng(0)
    faces = np.arange(24)
    return [partners.draw(generator, faces, every) for _ in range(40)]


def test_faces_get_their_own_or_somebody_elses():
    for drawn_donors in draw([]):
        np.testing.assert_array_equal(drawn_donors[::2], np.arange(0, 24, 2))
        assert (drawn_donors[1::2] != np.arange(1, 24, 2)).all()
        assert drawn_donors.dtype == np.int32


def test_pairs_are_other_photos_of_the_person():
    others = set()
    for drawn_donors in draw(PEOPLE, pairs=1.0):
        for face in range(0, 24, 2):
            alone = PEOPLE.count(PEOPLE[face]) == 1 or not PEOPLE[face]
            donor = int(drawn_donors[face])
            assert PEOPLE[donor] == PEOPLE[face] and (donor == face) == alone
            others.add((face, donor))
    # Each of both other photos is drawn now and then.
    assert {(2, 1), (2, 3)} <= others
    for drawn_donors in draw(PEOPLE, pairs=0.0):
        np.testing.assert_array_equal(drawn_donors[::2], np.arange(0, 24, 2))


def test_draws_follow_from_the_generator():
    np.testing.assert_array_equal(draw(PEOPLE), draw(PEOPLE))


@pytest.mark.parametrize("chunk", [5, 2048])
def test_the_nearest_are_those_whose_heads_are_held_most_alike(monkeypatch, chunk):
    monkeypatch.setattr(donors, "CHUNK", chunk)
    tones = donors.skin_tones(FACES)
    near = donors.find_nearest(FACES.keypoints, 4, tones=tones)
    rows = np.array([shape_of_face(points) for points in FACES.keypoints])
    rows = np.concatenate([rows, tones], 1)
    for index in range(24):
        distance = np.linalg.norm(rows - rows[index], axis=1)
        distance[index] = np.inf
        assert set(near[index].tolist()) == set(np.argsort(distance)[:4].tolist())


def test_there_are_no_more_others_than_faces():
    near = donors.find_nearest(FACES.keypoints[:3], 24)
    assert [sorted(row) for row in near.tolist()] == [[1, 2], [0, 2], [0, 1]]


def test_skin_is_measured_in_the_middle_of_the_box():
    images = np.full((1, 16, 16, 3), 255, np.uint8)
    images[:, 6:10, 6:10] = [51, 102, 153]
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)
    face = FACES._replace(images=images, boxes=box)
    tone = donors.skin_tones(face)
    # The middle half of 8 pixels from 4 to 12 is 6 to 10, and the pixel it ends in.
    assert (tone[0] < 1).all() and tone[0, 0] < tone[0, 1] < tone[0, 2]


@functools.cache
def prepared(mirror):
    """Draws the same faces as crops and as donors."""
    config = dataclasses.replace(augment.NOTHING, mirror=mirror)
    faces = jax.tree.map(lambda x: x[:8], FACES)
    keys = jax.random.split(jax.random.key(0), 8)

    @jax.jit
    def both(keys, faces):
        crops = augment.augment(keys, faces, config, keypoint_score=0.3)
        return crops, donors.draw_donors(keys, faces, config, QUIET, 2)

    return jax.device_get(both(keys, faces))


@pytest.mark.parametrize("mirror", [0.0, 0.5, 1.0])
def test_donors_are_mirrored_as_their_faces_are(mirror):
    crops, drawn_donors = prepared(mirror)
    # Those of others stay as they are otherwise.
    np.testing.assert_allclose(drawn_donors.image[1::2], crops.image[1::2], atol=1e-6)
    inside = (crops.visible > 0)[..., None]
    np.testing.assert_allclose(
        inside * drawn_donors.keypoints, inside * crops.keypoints, atol=1e-6
    )
    if mirror == 0.5:
        plain = np.float32(FACES.images[:8]) / 127.5 - 1
        moved = np.abs(crops.image - plain).max((1, 2, 3))
        assert 0 < (moved < 1e-5).sum() < 8


def test_light_changes_a_donor_and_nothing_makes_it_not_finite():
    image = np.float32(FACES.images[0]) / 127.5 - 1
    relight = jax.jit(donors.relight, static_argnums=2)
    keys = jax.random.split(jax.random.key(0), 6)
    changed = [np.asarray(relight(key, image, 1.0)) for key in keys]
    assert all(np.isfinite(x).all() and np.abs(x).max() <= 1.2 for x in changed)
    assert len({x.tobytes() for x in changed}) == 6
    np.testing.assert_allclose(relight(keys[0], image, 0.0), image, atol=1e-5)


def painter(tiny, **settings):
    network = models.DonorConfig(resolution=8, widths=(4,), blocks=1, style_width=4)
    return dataclasses.replace(tiny, generator=network, keep=0.1, **settings)


@pytest.mark.parametrize("wrong", [{"posterior": 0.0}, {"swap": True}, {"latent": 1.0}])
def test_what_painters_of_donors_cannot_learn_by_is_refused(tiny, wrong):
    config_.check(painter(tiny), 1)
    with pytest.raises(ConfigError, match="A painter of donors needs"):
        config_.check(painter(tiny, **wrong), 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Orbax and its like warn.
def test_a_painter_is_trained_exported_and_used(tmp_path, tiny, tiny_painter, found):
    devices = jax.device_count()
    config = painter(tiny, batch_size=2 * devices, images=4 * devices)
    path = loop.train(config, tmp_path)
    loaded = weights_.load(path)
    assert loaded.kind == "donor" and loaded.config == config.generator
    assert loaded.provenance["updates"] == 2
    frame = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    result = pipeline.run(
        frame,
        found((10, 8, 26, 28)),
        loaded._replace(cast=tiny_painter.cast),
        key=jax.random.key(0),
    )
    assert (result.faces[0].donor or "").startswith("drawn/")
    assert (result.frame[8:28, 10:26] != frame[8:28, 10:26]).any(-1).mean() > 0.98
