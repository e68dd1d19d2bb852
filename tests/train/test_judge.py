import jax
import numpy as np
import pytest

from jaxanon import models, pose
from jaxanon.donors import choose
from jaxanon.models import matcher
from jaxanon.types import KEYPOINTS, Crops
from jaxanon.weights import Weights
from train import judge, validate

SIZE = 32


@pytest.fixture(scope="module")
def crops():
    """Three grey crops whose faces look at the camera; of the last nothing is seen."""
    mask = np.zeros((3, SIZE, SIZE, 1), np.float32)
    mask[:, 6:26, 6:26] = 1
    points = np.zeros((3, len(KEYPOINTS), 2), np.float32)
    points[:2, pose.INNER] = 0.5 + (pose.USUAL - 0.5) * 20 / 32 / 1.3
    visible = (points[..., 0] > 0).astype(np.float32)
    to_crop = np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1))
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, SIZE, SIZE, 3)).astype(np.float32)
    return Crops(image, mask, points, visible, to_crop)  # type: ignore[arg-type]


def test_each_crop_gets_different_donors_and_the_same_again(crops, drawn_bank):
    cast = choose.make_cast(drawn_bank)
    first, second, third = validate.pick_donors(crops, cast, 3)
    for picks in zip(first, second, third, strict=True):
        assert len({pick.index for pick in picks}) == 3
    assert validate.pick_donors(crops, cast, 3) == [first, second, third]


def test_the_matcher_sees_nothing_that_is_hidden(crops, drawn_bank):
    config = matcher.MatcherConfig(resolution=SIZE, width=4, dimensions=8)
    shapes = jax.eval_shape(lambda k: matcher.init(k, config), jax.random.key(0))
    draw = np.random.default_rng(0).standard_normal
    params = jax.tree.map(lambda leaf: np.float32(draw(leaf.shape)), shapes)
    vectors = np.float32(draw((len(drawn_bank.entries), 8)))
    network = Weights("matcher", config, params, {}, "")
    plain = choose.make_cast(drawn_bank)
    cast = plain._replace(bank=drawn_bank._replace(vectors=vectors), matcher=network)
    (picks,) = validate.pick_donors(crops, cast, 1)
    assert all(pick.why.endswith("fits what is visible") for pick in picks)
    hidden = crops._replace(image=np.where(crops.mask > 0, 0.7, crops.image))
    assert validate.pick_donors(hidden, cast, 1) == [picks]


def test_picked_donors_are_painted_inside_the_masks_alone(crops, tiny_painter):
    small = jax.tree.map(lambda x: x[:, ::2, ::2] if x.ndim == 4 else x, crops)
    config, params, cast = tiny_painter.config, tiny_painter.params, tiny_painter.cast
    assert models.latent_kind(config) == "donor"
    one, two = (
        validate.paint_picks(config, params, small, cast, picks)
        for picks in validate.pick_donors(small, cast, 2)
    )
    kept = np.broadcast_to(small.mask == 0, one.shape)
    assert (one[kept] == small.image[kept]).all()
    assert (two[kept] == small.image[kept]).all()
    assert np.abs(one - two)[~kept].max() > 0.01


def test_inner_faces_lie_in_the_masks_also_where_no_keypoint_is_seen(crops):
    points = judge.known_points(crops)
    inner = judge.draw_inner(crops, points)
    assert (inner <= (crops.mask[..., 0] > 0)).all()
    assert 60 < inner[2].sum() < 400
    # A guess that is no worse than a pixel or two: the masks are the faces'.
    assert np.abs(points[2, pose.INNER] - points[0, pose.INNER]).max() < 2 / SIZE


def test_real_faces_painted_as_themselves_are_off_by_nothing(crops):
    real = np.uint8((crops.image + 1) * 127)
    inner = judge.draw_inner(crops, judge.known_points(crops))
    skin = judge.measure_skin(real, [real], inner, np.array([1, 0, -1]))
    assert (skin["tone_error"][0] == 0).all()
    (strangers,) = skin["tone_shift_strangers"]
    assert strangers[0] == -strangers[1] and np.isnan(strangers[2])
    sharp = judge.measure_sharpness(real, [real], inner, crops.mask[..., 0] == 0)
    assert (sharp["sharpness"][0] == 1).all()


def test_darker_paint_is_a_shift_below_zero(crops):
    skin = np.tile(np.uint8([200, 160, 130]), (3, SIZE, SIZE, 1))
    inner = judge.draw_inner(crops, judge.known_points(crops))
    dark = judge.measure_skin(skin, [skin // 2], inner, np.array([-1, -1, -1]))
    assert (dark["tone_shift"][0] < -30).all()
    assert (dark["tone_error_floor"][0] == 0).all()


def test_strangers_are_other_people_of_the_same_source():
    people = np.array([0, 0, 1, 2, 3])
    sources = np.array(["a", "a", "a", "b", "a"])
    assert judge.find_strangers(people, sources).tolist() == [2, 2, 4, -1, 0]


def test_groups_are_found_in_the_pictures(crops):
    points = judge.known_points(crops)
    points[1, pose.NOSE, 0] += 0.15  # A head that is turned,
    points[2, pose.LOWER_LIP, 1] += 0.15  # and one that speaks.
    inner = judge.draw_inner(crops, points)
    around = crops.mask[..., 0] == 0
    real = np.tile(np.uint8([210, 170, 140]), (3, SIZE, SIZE, 1))
    real[0][around[0]] = 20
    real[1][inner[1]] = [60, 40, 30]
    groups = judge.group_faces(real, points, inner, around)
    assert {name: its.tolist() for name, its in groups.items()} == {
        "turned heads": [False, True, False],
        "dark scenes": [True, False, False],
        "darker skin": [False, True, False],
        "open mouths": [False, False, True],
    }


def test_a_probe_tells_painted_crops_and_inner_faces(crops):
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (40, SIZE, SIZE, 3), np.uint8)
    many = np.arange(40) % 2
    points = judge.known_points(crops)[many]
    mask = crops.mask[many]
    painted = np.where(mask > 0, np.uint8(128), real)
    groups = {"half": many == 0}

    def network(images):
        return [images, images**2]

    found = judge.measure_realism(network, real, [painted], points, groups)
    for values in found.values():
        assert values["realism_auc"] > 0.95 and values["realism_inner_auc"] > 0.95
        assert values["realism_auc_floor"] == pytest.approx(0.5, abs=0.3)
