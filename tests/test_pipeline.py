import jax
import numpy as np
import pytest

from jaxanon import models, paint, pipeline, regions, seeds, seek
from jaxanon.errors import ConfigError, DetectorError
from jaxanon.models import keypointer
from jaxanon.types import KEYPOINTS, Detections
from jaxanon.weights import Weights

KEY = jax.random.key(0)


def noise(height, width, dtype=np.uint8):
    high = np.iinfo(dtype).max
    random = np.random.default_rng(0)
    return random.integers(0, high, (height, width, 3), dtype, endpoint=True)


def run(frame, detections, weights, **options):
    return pipeline.run(
        frame,
        detections,
        weights,
        key=KEY,
        options=pipeline.Options(**options),
    )


def run_all(frames, faces, weights, latents, options=pipeline.DEFAULTS):
    canvases = [
        pipeline.erase(frame, face, weights, options)
        for frame, face in zip(frames, faces, strict=True)
    ]
    return pipeline.run_all(frames, faces, weights, latents, canvases, options=options)


@pytest.mark.parametrize(
    "shape, box",
    [
        ((40, 50), (0, 0, 50, 40)),
        ((40, 50), (-10, -10, 12, 12)),
        ((40, 50), (20, 20, 20.5, 20.5)),
        ((1, 1), (0, 0, 1, 1)),
        ((1, 40), (3, -5, 9, 5)),
    ],
)
def test_every_box_is_painted(tiny_weights, found, shape, box):
    result = run(noise(*shape), found(box), tiny_weights)
    assert result.frame.shape == (*shape, 3)
    assert result.faces[0].mode == "generate" and result.faces[0].fallback is None


@pytest.mark.parametrize("mode", pipeline.MODES)
def test_no_face_changes_nothing(tiny_weights, found, mode):
    frame = noise(9, 7)
    result = run(frame, found(), tiny_weights, mode=mode)
    np.testing.assert_array_equal(result.frame, frame)
    assert result.faces == ()


def test_empty_box_is_reported(tiny_weights, found):
    frame = noise(20, 20)
    result = run(frame, found((5, 5, 5, 5), (60, 60, 70, 70)), tiny_weights)
    np.testing.assert_array_equal(result.frame, frame)
    assert [face.fallback for face in result.faces] == ["none", "none"]


@pytest.mark.parametrize("mode", ["black", "blur", "pixelate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_classical_modes_need_no_weights_and_touch_the_regions_only(found, mode, dtype):
    frame = noise(40, 40, dtype)
    result = run(frame, found((10, 12, 30, 28)), None, mode=mode, mask_scale=1.0).frame
    changed = (result != frame).any(-1)
    assert changed[12:28, 10:30].mean() > 0.99
    changed[12:28, 10:30] = False
    assert not changed.any()
    assert result.dtype == dtype


def test_generating_without_weights_is_refused(found):
    with pytest.raises(ConfigError, match="weights"):
        run(noise(20, 20), found((1, 1, 9, 9)), None)


def test_batch_size_and_company_do_not_change_a_face(tiny_weights, found):
    frame = noise(60, 120)
    boxes = [(5, 5, 17, 20), (60, 10, 70, 24), (100, 30, 112, 44)]
    latents = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)

    def paint_first(n, batch_size):
        options = pipeline.Options(batch_size=batch_size)
        given = {"latents": latents[:n], "options": options}
        return pipeline.run(frame, found(*boxes[:n]), tiny_weights, **given).frame

    alone, together, one_by_one = (
        paint_first(1, 2),
        paint_first(3, 2),
        paint_first(3, 1),
    )
    np.testing.assert_array_equal(alone[:30, :30], together[:30, :30])
    # Another batch size is another program: equal up to rounding.
    np.testing.assert_allclose(one_by_one.astype(int), together.astype(int), atol=1)


def test_warming_up_compiles_what_is_used(tiny_weights, found):
    paint._paint.clear_cache()
    paint.warm_up(tiny_weights, batch_size=None, match_border=True)
    run(noise(40, 40), found((10, 10, 30, 30)), tiny_weights)
    assert paint._paint._cache_size() == 1


def test_key_decides_the_face(tiny_weights, found):
    frame, face = noise(40, 40), found((10, 10, 24, 26))
    first, again = (run(frame, face, tiny_weights).frame for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = pipeline.run(frame, face, tiny_weights, key=jax.random.key(1)).frame
    assert (first != other).any()


def test_keys_are_drawn_as_the_latents_they_stand_for(tiny_weights, found):
    frame, face = noise(40, 40), found((10, 10, 24, 26))
    erased = pipeline.erase(frame, face, tiny_weights, pipeline.DEFAULTS)
    (key,) = pipeline.face_keys(seeds.erased_key(KEY, erased.output), 1)
    latents = models.sample_latent(key, 1, models.latent_shape(tiny_weights.config))
    given = pipeline.run(frame, face, tiny_weights, latents=latents).frame
    np.testing.assert_array_equal(given, run(frame, face, tiny_weights).frame)


@pytest.mark.parametrize("given", [{}, {"key": KEY, "latents": np.zeros((0, 4))}])
def test_a_key_and_latents_exclude_each_other(tiny_weights, found, given):
    with pytest.raises(ValueError, match="a key or latents"):
        pipeline.run(noise(9, 9), found((1, 1, 5, 5)), tiny_weights, **given)


def test_pose_leaves_out_the_mouth(tiny_weights, found):
    frame = noise(40, 40)
    points = np.full((1, 11, 2), 17.0)
    points[:, :, 0] += np.arange(11) / 4
    face = found((10, 10, 24, 26), keypoints=points)
    moved = points.copy()
    moved[:, 7:] += 2
    smiling = found((10, 10, 24, 26), keypoints=moved)
    seen = run(frame, face, tiny_weights, keypoints="pose")
    assert seen.faces[0].keypoints_seen == KEYPOINTS[:7]
    other = run(frame, smiling, tiny_weights, keypoints="pose")
    np.testing.assert_array_equal(seen.frame, other.frame)
    assert (seen.frame != run(frame, face, tiny_weights).frame).any()


def test_device_failure_blackens_the_face_and_no_other(
    tiny_weights, found, monkeypatch
):
    overlay = paint.overlay

    def fail_first(output, owner, index, *args, **kwargs):
        overlay(output, owner, index, *args, **kwargs)
        if index == 0:
            raise MemoryError("no room")

    monkeypatch.setattr(paint, "overlay", fail_first)
    frame = np.full((40, 80, 3), 200, np.uint8)
    faces = found((10, 10, 20, 20), (50, 10, 60, 20))
    result = run(frame, faces, tiny_weights, mask_scale=1.0)
    assert not result.frame[10:20, 10:20].any()
    assert result.frame[10:20, 50:60].any()
    assert [face.mode for face in result.faces] == ["black", "generate"]
    assert "no room" in (result.faces[0].why or "")


def test_huge_face_is_read_coarsely_but_in_its_place(monkeypatch):
    y, x = np.mgrid[:200, :250]
    frame = np.stack([x, y, 200 - y], -1).astype(np.uint8)
    box, keypoints = np.array([60.0, 70, 130, 150]), np.full((11, 2), 100.0)
    found = regions.find(np.float32(box[None]), 200, 250, scale=1.1)
    owner = regions.assign(found, 200, 250)
    placement = regions.place(box, found[0], keypoints, 200, 250, size=16, feather=0.06)
    crops = []
    for limit in (2048, 64):
        monkeypatch.setattr(paint, "COARSE", limit)
        crops.append(paint.crop(frame, owner, keypoints, placement, size=16))
    fine, coarse = crops
    kept = np.asarray((fine.mask + coarse.mask)[..., 0] == 0)
    assert kept.mean() > 0.4
    # A stride of 4 takes pixels half a pixel off: 1 / 255 of the range.
    np.testing.assert_allclose(fine.image[kept], coarse.image[kept], atol=0.01)
    np.testing.assert_allclose(fine.keypoints, coarse.keypoints, atol=1e-5)


def test_nothing_is_known_beyond_the_frame():
    frame = np.full((40, 50, 3), 90, np.uint8)
    box = np.array([0.0, 10, 8, 30])
    found = regions.find(np.float32(box[None]), 40, 50, scale=1.0)
    nobody = np.full((40, 50), regions.NOBODY, np.int32)
    placement = regions.place(
        box, found[0], np.full((11, 2), np.nan), 40, 50, size=16, feather=0.06
    )
    crop = paint.crop(frame, nobody, np.zeros((11, 2)), placement, size=16)
    edge = placement.to_crop @ [0, 20, 1]
    left = round(edge[0])
    assert 4 < left < 12
    assert (crop.mask[0, :, :left] == 1).all() and not crop.image[0, :, :left].any()
    assert (crop.mask[0, 4:12, left + 1 :] == 0).all()


def test_selection_is_by_score():
    detections = Detections(
        np.zeros((3, 4), np.float32),
        np.array([0.1, 0.5, 0.9], np.float32),
        np.zeros((3, 11, 2), np.float32),
    )
    np.testing.assert_array_equal(
        seek.select(detections, score=0.5).scores, detections.scores[1:]
    )


@pytest.mark.parametrize("box", [(np.nan, 1, 9, 9), (9, 1, 1, 9)])
def test_anonymize_refuses_what_is_no_detection(found, box):
    def detector(frames):
        return [found(box)]

    black = pipeline.Options(mode="black")
    with pytest.raises(DetectorError, match="box"):
        pipeline.anonymize(noise(12, 12), None, detector, key=KEY, options=black)


def test_anonymize_refuses_a_detector_without_an_answer():
    black = pipeline.Options(mode="black")
    with pytest.raises(DetectorError, match="0 times"):
        pipeline.anonymize(noise(9, 9), None, lambda _: [], key=KEY, options=black)


def test_anonymize_shows_eight_bits_to_the_detector(tiny_weights, found):
    frame = noise(40, 40, np.uint16)
    shown = []

    def detector(frames):
        shown.extend(frames)
        return [found((10, 10, 20, 20))]

    result = pipeline.anonymize(frame, tiny_weights, detector, key=KEY)
    assert shown[0].dtype == np.uint8 and result.dtype == np.uint16
    assert (result != frame).any()


def test_keypoints_the_detector_lacks_are_filled_in(found, monkeypatch):
    def predict(config, params, crops):
        corner = jax.numpy.ones((1, 11, 2)) / 3
        seen = jax.numpy.array([*range(9), 0, 0])[None] / 10
        return corner, seen, jax.numpy.ones(1)

    monkeypatch.setattr(keypointer, "predict", predict)
    network = Weights("keypointer", keypointer.KeypointerConfig(), {}, {}, "")
    points = np.full((1, 11, 2), np.nan)
    points[0, 8] = 7
    faces = found((20, 20, 30, 32), keypoints=points)
    completed = seek.complete_keypoints(noise(50, 50), faces, network).keypoints[0]
    # The crop is 36 wide around (25, 29): it starts at (7, 11).
    np.testing.assert_allclose(completed[5:8], [[19, 23]] * 3, atol=1e-3)
    np.testing.assert_array_equal(completed[8], [7, 7])
    assert np.isnan(completed[:5]).all() and np.isnan(completed[9:]).all()


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "melt"}, {"keypoints": "few"}, {"score": 2.0}, {"mask_scale": 0.5}],
)
def test_options_that_are_not_allowed_raise(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        pipeline.Options(**wrong)


def test_frames_painted_together_are_painted_as_one_by_one(tiny_weights, found):
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8))
    faces = [
        found((4, 6, 20, 24), (30, 10, 48, 33)),
        found(),
        found((10, 5, 30, 30), (12, 8, 26, 30), (40, 3, 55, 20)),
    ]
    drawn = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    latents = [drawn[:2], None, drawn[2:5]]
    options = pipeline.Options(batch_size=4)
    together = run_all(frames, faces, tiny_weights, latents, options=options)
    for frame, face, z, result in zip(frames, faces, latents, together, strict=True):
        (alone,) = run_all([frame], [face], tiny_weights, [z])
        # Another batch size may add up in another order.
        assert np.abs(alone.frame.astype(int) - result.frame).max() <= 1
        assert alone.faces == result.faces
