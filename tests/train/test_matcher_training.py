import jax
import numpy as np
import pytest

from jaxanon import weights
from jaxanon.models.matcher import MatcherConfig
from jaxanon.types import KEYPOINTS
from train import augment, matcher
from train.faces import Faces, FaceSet

CONFIG = MatcherConfig(resolution=32, width=4, dimensions=8)

FACE = np.array(
    [
        (0.5, 0.56),
        *((0.58, 0.45), (0.42, 0.45)),
        *((0.65, 0.5), (0.35, 0.5)),
        *((0.75, 0.9), (0.25, 0.9)),
        *((0.57, 0.62), (0.43, 0.62)),
        *((0.5, 0.62), (0.5, 0.63)),
    ],
    np.float32,
)


def draw_faces(count):
    """Draws pictures of one tone each, so that surroundings tell the face."""
    rng = np.random.default_rng(0)
    tones = rng.integers(20, 235, (count, 1, 1, 3))
    images = np.broadcast_to(tones, (count, 32, 32, 3)).astype(np.uint8)
    boxes = np.tile(np.array([0.3, 0.25, 0.7, 0.75], np.float32), (count, 1))
    keypoints = FACE + rng.normal(0, 0.005, (count, *FACE.shape)).astype(np.float32)
    return Faces(images, boxes, keypoints, np.ones((count, len(KEYPOINTS)), np.float32))


def test_a_condition_is_erased_under_its_mask_and_beyond_the_stored_crop():
    faces = draw_faces(8)
    # A face that fills its crop: the new one reaches beyond on all sides.
    tight = np.tile(np.array([0.1, 0.05, 0.9, 0.95], np.float32), (8, 1))
    keys = jax.random.split(jax.random.key(0), 8)
    for boxes in (faces.boxes, tight):
        condition = matcher.draw_condition(
            keys, faces._replace(boxes=boxes), augment.NOTHING, 32
        )
        image, mask = np.asarray(condition.image), np.asarray(condition.mask)
        assert not (image * (mask == 1)).any()
        assert (mask[:, 12:20, 12:20] == 1).all()
    assert (mask[:, :3] == 1).all() and (mask[:, :, -3:] == 1).all()


def test_batches_are_of_one_collection_and_heads_held_alike():
    faces = draw_faces(60)
    keypoints = faces.keypoints.copy()
    keypoints[:, 0, 0] += np.linspace(-0.05, 0.05, 60, dtype=np.float32)
    licences = ["a"] * 40 + ["b"] * 16 + ["few"] * 4
    batches = matcher.Batches(faces._replace(keypoints=keypoints), licences)
    generator = np.random.default_rng(0)
    drawn = [batches.draw(generator, 8) for _ in range(40)]
    names = [{licences[i] for i in batch.tolist()} for batch in drawn]
    assert {"a"} in names and {"b"} in names and {"few"} not in names
    assert all(
        len(set(batch.tolist())) == 8 and len(name) == 1
        for batch, name in zip(drawn, names, strict=True)
    )
    with pytest.raises(ValueError, match="41 faces"):
        batches.draw(generator, 41)


def test_a_batch_comes_from_the_heads_most_alike(monkeypatch):
    monkeypatch.setattr(matcher, "ALIKE", 2)
    faces = draw_faces(40)
    keypoints = np.tile(FACE, (40, 1, 1))
    aside = np.linspace(0, 0.1, 40, dtype=np.float32)
    keypoints[:, 0, 0] += aside * np.where(np.arange(40) % 2, 1, -1)
    batches = matcher.Batches(faces._replace(keypoints=keypoints), ["a"] * 40)
    generator = np.random.default_rng(0)
    for _ in range(20):
        batch = batches.draw(generator, 8)
        assert np.ptp(aside[batch]) <= 15.01 * 0.1 / 39


@pytest.mark.slow
def test_training_finds_faces_by_their_tone_and_the_file_reads_back(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(matcher, "CANDIDATES", 20)
    face_set = FaceSet(draw_faces(64), ["a"] * 64)
    params, sharpness, images = matcher.train(
        face_set, CONFIG, batch_size=32, seconds=120, steps=300
    )
    assert images == 32 * 300 and sharpness > 1
    report = matcher.evaluate(face_set, CONFIG, params)
    assert report["a"]["faces"] == 64
    # By chance half of them.
    assert report["a"]["among_10_of_100"] > 0.8

    path = tmp_path / "m.safetensors"
    weights.save(path, CONFIG.kind, CONFIG, params, {"validation": report})
    assert weights.load(path).config == CONFIG
