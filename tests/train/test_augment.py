import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxanon.types import KEYPOINTS, Condition
from train import augment, drawn, views
from train.config import AugmentConfig

QUIET = augment.NOTHING
FACES = drawn.draw_set(4, 16).faces


@functools.cache  # Compiles.
def crops(**settings):
    config = dataclasses.replace(QUIET, **settings)
    keys = jax.random.split(jax.random.key(0), 4)
    run = functools.partial(augment.augment, config=config, keypoint_score=0.3)
    return jax.device_get(jax.jit(run)(keys, FACES))


def test_mirror_exchanges_left_and_right():
    plain, mirrored = crops(), crops(mirror=1.0)
    np.testing.assert_array_equal(mirrored.image, plain.image[:, :, ::-1])
    np.testing.assert_array_equal(mirrored.mask, plain.mask[:, :, ::-1])
    left, right = KEYPOINTS.index("left_eye"), KEYPOINTS.index("right_eye")
    np.testing.assert_allclose(
        mirrored.keypoints[:, left, 0], 1 - plain.keypoints[:, right, 0], atol=1e-6
    )
    # The subject's left eye stays at larger x.
    assert (mirrored.keypoints[:, left, 0] > mirrored.keypoints[:, right, 0]).all()


def test_mask_covers_the_box_and_grows():
    plain, large = crops(enlarge=(1.0, 1.0)), crops(enlarge=(1.3, 1.3))
    for face in range(4):
        x0, y0, x1, y1 = FACES.boxes[face] * 16
        expected = np.zeros((16, 16))
        expected[
            int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))
        ] = 1
        np.testing.assert_array_equal(plain.mask[face, ..., 0], expected)
    assert (large.mask >= plain.mask).all() and large.mask.sum() > plain.mask.sum()


def test_darker_pictures_keep_their_proportions():
    plain, dark = crops(), crops(darken=1.0)
    np.testing.assert_array_equal(dark.mask, plain.mask)
    for face in range(4):
        ratio = (dark.image[face] + 1).sum() / (plain.image[face] + 1).sum()
        assert 0.1 <= ratio <= 1
        np.testing.assert_allclose(
            dark.image[face] + 1, ratio * (plain.image[face] + 1), atol=1e-5
        )


def test_cuts_mask_all_beyond_lines_and_leave_some_of_the_face():
    plain, cut = crops(), crops(cut=1.0)
    np.testing.assert_array_equal(cut.image, plain.image)
    x, y = np.meshgrid(np.arange(16), np.arange(16))
    for face, box in enumerate(FACES.boxes):
        drawn = [
            np.asarray(augment.draw_cut(jax.random.key(seed), box, 16, 16, 1.0)) > 0
            for seed in range(50)
        ]
        sides = [x < drawn_.sum() / 16 for drawn_ in drawn]
        ends = {
            name: [d for d, s in zip(drawn, sides, strict=True) if (turn(d) == s).all()]
            for name, turn in TURNS.items()
        }
        assert all(len(found) > 3 for found in ends.values())
        inside = augment.draw_mask(box, 16, 16) > 0
        assert all((inside & ~d).any() for d in drawn)
        assert (cut.mask[face] >= plain.mask[face]).all()


TURNS = {
    "left": np.asarray,
    "right": np.fliplr,
    "top": np.transpose,
    "bottom": lambda drawn: np.fliplr(np.transpose(drawn)),
}


def test_keypoints_can_all_or_only_the_mouth_be_dropped():
    assert crops(drop_all=1.0).visible.sum() == 0
    assert (crops(drop_all=1.0).keypoints == 0).all()
    only = crops(drop_mouth=1.0).visible - crops().visible
    assert (only[:, :7] == 0).all() and (only[:, 7:] == -1).all()


def test_critic_transforms_are_alike_for_all_pictures_and_differentiable():
    config = AugmentConfig(critic=1.0)
    some = jax.tree.map(lambda x: x[0], crops())
    condition = Condition(
        some.image * (1 - some.mask), some.mask, some.keypoints, some.visible
    )
    key = jax.random.key(3)

    @jax.jit
    def run(images):
        return views.transform(key, images, condition, config)

    images, seen = run(jnp.stack([some.image, some.image]))
    np.testing.assert_array_equal(images[0], images[1])
    assert (np.asarray(seen.image) * np.asarray(seen.mask) == 0).all()
    slope = jax.grad(lambda x: run(x)[0].sum())(some.image[None])
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0


def test_a_window_shows_a_part_of_the_face_enlarged_with_its_keypoints():
    keys = jax.random.split(jax.random.key(1), 200)
    mask = augment.draw_mask(np.array([0.3, 0.2, 0.7, 0.8]), 16, 16)[..., None]
    draw = functools.partial(views.draw_window, probability=0.5)
    windows = np.asarray(jax.vmap(lambda key: draw(key, mask))(keys))
    whole = windows[:, 2] == 1
    assert 0.3 < whole.mean() < 0.7 and (windows[whole, :2] == 0).all()
    assert (windows >= 0).all() and (windows[:, :2] + windows[:, 2:] <= 1 + 1e-6).all()
    assert (windows[:, 2] > 0.39).all()

    window = np.array([0.25, 0.5, 0.5])
    y, x = (np.mgrid[:16, :16] + 0.5) / 16
    enlarged = views.enlarge(np.stack([x, y, x], -1), window)
    np.testing.assert_allclose(enlarged[8, 4, :2], [0.25 + 4.5 / 32, 0.5 + 8.5 / 32])
    keypoints = np.array([[0.5, 0.75], [0.1, 0.75], [0.5, 1.0]])
    condition = Condition(enlarged, mask, keypoints, np.array([1.0, 1, 0]))
    seen = views.enlarge_condition(condition, window)
    np.testing.assert_allclose(seen.visible, [1, 0, 0])
    np.testing.assert_allclose(seen.keypoints, [[0.5, 0.5], [0, 0], [0, 0]])
