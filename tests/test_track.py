import numpy as np
import pytest

from jaxanon import association, track
from jaxanon.errors import ConfigError
from jaxanon.ops import boxes, shots, smooth
from jaxanon.types import Detections


def face(x, y=20.0, side=20.0, score=0.9):
    box = [x, y, x + side, y + side]
    points = np.full((11, 2), np.nan)
    points[1:3] = [[x + 13, y + 8], [x + 7, y + 8]]
    return box, score, points


def frame(*faces):
    return Detections(
        np.array([f[0] for f in faces], np.float32).reshape(-1, 4),
        np.array([f[1] for f in faces], np.float32),
        np.array([f[2] for f in faces], np.float32).reshape(-1, 11, 2),
        np.ones(len(faces), np.float32),
    )


def follow(frames, *, cuts=(), **settings):
    seen = (track.Seen(f, i in cuts, payload=i) for i, f in enumerate(frames))
    return list(track.follow(seen, track.Settings(**settings)))


def hidden(followed):
    return [t for t, f in enumerate(followed) if len(f.ids)]


def test_frames_come_out_once_and_in_order():
    followed = follow([frame(face(10.0 + t)) for t in range(40)])
    assert [f.payload for f in followed] == list(range(40))


def test_one_moving_face_keeps_one_number():
    followed = follow([frame(face(10.0 + 9 * t)) for t in range(30)])
    assert {tuple(f.ids) for f in followed} == {(0,)}


def test_two_faces_that_pass_each_other_keep_their_numbers():
    # They pass at different heights, one box apart.
    frames = [frame(face(10.0 + 4 * t), face(130.0 - 4 * t, 38.0)) for t in range(30)]
    followed = follow(frames)
    assert {tuple(f.ids) for f in followed} == {(0, 1)}
    assert followed[-1].detections.boxes[0, 0] == pytest.approx(126, abs=1)


def test_a_face_seen_at_10_and_14_is_hidden_at_11_to_13_too():
    frames = [frame(face(5.0 * t)) if t in (10, 14) else frame() for t in range(30)]
    followed = follow(frames, margin=0)
    assert hidden(followed) == [10, 11, 12, 13, 14]
    np.testing.assert_allclose(followed[12].boxes, [[60, 20, 80, 40]])
    np.testing.assert_allclose(followed[12].detections.keypoints[0, 1], [73, 28])


def test_more_frames_are_hidden_before_the_first_and_after_the_last_sighting():
    frames = [frame(face(50.0)) if 10 <= t < 15 else frame() for t in range(30)]
    assert hidden(follow(frames, margin=3)) == list(range(7, 18))


def test_a_face_cut_off_by_the_border_is_hidden_for_longer():
    frames = [frame(face(82.0)) if 20 <= t < 25 else frame() for t in range(60)]
    rules = {"margin": 3, "at_border": 10}
    assert hidden(follow(frames, size=(64, 100), **rules)) == list(range(10, 35))
    assert hidden(follow(frames, size=(64, 200), **rules)) == list(range(17, 28))


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [(20, 24, range(11, 27)), (21, 30, range(19, 40)), (21, 24, range(19, 27))],
)
def test_what_a_thorough_look_found_is_hidden_since_the_one_before(first, last, wanted):
    frames = [frame(face(50.0)) if first <= t <= last else frame() for t in range(60)]
    assert hidden(follow(frames, margin=2, search=10)) == list(wanted)


def test_long_gaps_stay_open_and_the_same_person_comes_back():
    frames = [frame() if 10 <= t < 30 else frame(face(50.0)) for t in range(40)]
    followed = follow(frames, longest_gap=15, margin=2)
    assert hidden(followed) == [*range(12), *range(28, 40)]
    assert {int(i) for f in followed for i in f.ids} == {0}


def test_unsure_detections_count_where_a_track_supports_them_and_only_there():
    frames = [
        frame(face(50.0, score=0.15 if t < 8 else 0.9), face(150.0, score=0.15))
        for t in range(16)
    ]
    followed = follow(frames, margin=0)
    # The unsure frames before the first sure one are hidden too: it is seen ahead.
    assert hidden(followed) == list(range(16))
    assert {len(f.ids) for f in followed} == {1}


def test_a_second_box_on_one_face_begins_nobody():
    frames = [frame(face(50.0), face(53.0, score=0.15)) for _ in range(10)]
    assert {len(f.ids) for f in follow(frames)} == {1}


def test_tracks_end_at_cuts_and_nothing_is_filled_across():
    frames = [frame() if 8 <= t < 12 else frame(face(50.0)) for t in range(20)]
    followed = follow(frames, cuts=(10,), margin=3)
    assert hidden(followed) == list(range(20))  # margins reach 10 from both sides
    assert [int(f.ids[0]) for f in followed] == [0] * 10 + [1] * 10
    assert hidden(follow(frames, cuts=(10,), margin=0)) == [*range(8), *range(12, 20)]


def test_frames_that_were_not_looked_at_are_filled():
    frames = [frame(face(3.0 * t)) if t % 5 == 0 else None for t in range(26)]
    followed = follow(frames)
    assert hidden(followed) == list(range(26))
    np.testing.assert_allclose(followed[13].boxes[0, 0], 39, atol=1e-6)


def test_a_late_look_ahead_holds_no_more_than_it_says():
    drawn, given = [], []

    def endless():
        for t in range(200):
            drawn.append(t)
            yield track.Seen(frame(face(10.0 + t)), payload=t)

    for item in track.follow(endless(), track.Settings(look_ahead=7)):
        given.append(item.payload)
        assert len(drawn) - len(given) <= 7


def test_what_is_remembered_of_a_track_does_not_grow():
    settings = track.Settings()
    one = association._begin(0, 0, 0, frame(face(1.0)), 0)
    for t in range(1, 300):
        one = track._forget(
            association._extend(one, t, frame(face(1.0)), 0), t, settings
        )
    assert len(one.frames) < 40


def test_live_gives_each_frame_at_once_and_holds_a_lost_face():
    asked = []

    def camera():
        for t in range(30):
            asked.append(t)
            yield track.Seen(frame(face(50.0)) if t < 10 else frame(), payload=t)

    followed = []
    for item in track.follow(camera(), track.LIVE):
        assert item.payload == asked[-1]
        followed.append(item)
    assert hidden(followed) == list(range(20))


def test_every_detected_box_is_covered_by_the_smoothed_one():
    rng = np.random.default_rng(0)
    shaken = [
        frame(face(float(50 + 2 * t + rng.normal(0, 3)), float(20 + rng.normal(0, 3))))
        for t in range(40)
    ]
    followed = follow(shaken, margin=0)
    for before, after in zip(shaken, followed, strict=True):
        assert (after.detections.boxes[0, :2] <= before.boxes[0, :2] + 1e-3).all()
        assert (after.detections.boxes[0, 2:] >= before.boxes[0, 2:] - 1e-3).all()
    step = np.diff([f.detections.boxes[0] for f in followed], 2, axis=0)
    raw = np.diff([f.boxes[0] for f in shaken], 2, axis=0)
    assert np.abs(step).mean() < 0.4 * np.abs(raw).mean()


def test_smoothing_has_no_lag():
    straight = 3.0 * np.arange(20)[:, None] + 5
    np.testing.assert_allclose(smooth.regress(straight, 2.0), straight, atol=1e-9)


def test_smoothing_passes_over_what_is_unknown():
    series = 2.0 * np.arange(11)[:, None]
    series[4] = np.nan
    np.testing.assert_allclose(smooth.regress(series, 1.5)[4], 8.0, atol=1e-9)
    assert np.isnan(smooth.regress(np.full((9, 1), np.nan), 1.5)).all()


def test_widening_covers_and_is_even():
    raw = np.tile([10.0, 10, 20, 20], (15, 1))
    raw[7] = [4, 10, 20, 23]
    wide = smooth.cover(raw, np.tile([10.0, 10, 20, 20], (15, 1)), 2)
    np.testing.assert_allclose(wide[7], [4, 10, 20, 23])
    assert np.abs(np.diff(wide[:, 0])).max() <= 6 / 5 + 1e-9


def picture(seed, shift=0, light=0):
    noise = np.random.default_rng(seed).integers(0, 200, (12, 20, 3))
    big = np.kron(noise, np.ones((10, 10, 1), int))
    return (np.roll(big, shift, 1) + light).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "after, expected",
    [
        (picture(1), True),
        (picture(0), False),
        (picture(0, shift=3), False),
        (picture(0, light=60), False),
        (np.zeros((120, 200, 3), np.uint8), True),
    ],
)
def test_cuts_are_recognised_and_motion_and_flashes_are_none(after, expected):
    first, second = shots.thumbnail(picture(0)), shots.thumbnail(after)
    assert shots.is_cut(first, second) is expected


def test_deep_frames_have_the_thumbnail_of_flat_ones():
    deep = picture(0).astype(np.uint16) * 257
    np.testing.assert_allclose(
        shots.thumbnail(deep), shots.thumbnail(picture(0)), atol=1e-12
    )


def test_settings_that_cannot_be_are_named():
    with pytest.raises(ConfigError, match="in this order"):
        track.Settings(sure=0.1, unsure=0.5)
    with pytest.raises(ConfigError, match="negative"):
        track.Settings(margin=-1)


def test_no_faces_give_no_boxes():
    followed = follow([frame() for _ in range(20)])
    assert all(f.detections.boxes.shape == (0, 4) for f in followed)
    assert boxes.area(followed[0].boxes).shape == (0,)
