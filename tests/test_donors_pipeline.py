"""Faces that are painted from donors, from the frame to the report."""

import jax
import numpy as np
import pytest

from jaxanon import paint, pipeline
from jaxanon.donors import bank as banks
from jaxanon.donors import choose
from jaxanon.errors import MediaError
from train import drawn

KEY = jax.random.key(0)
BOXES = [(4, 5, 17, 20), (30, 10, 42, 26), (52, 30, 66, 48)]


def noise(height=56, width=72):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def run(frame, faces, weights, key=KEY, **options):
    chosen = pipeline.Options(**options)
    return pipeline.run(frame, faces, weights, key=key, options=chosen)


def names(result):
    return [face.donor for face in result.faces]


@pytest.fixture(scope="module")
def asked(found):
    """Faces that hold their heads as the first drawn donors do."""
    points = drawn.draw_set(3, 64).faces.keypoints
    low = np.float32(BOXES)[:, None, :2]
    size = np.float32(BOXES)[:, None, 2:] - low
    return found(*BOXES, keypoints=low + (points - 0.2) / 0.6 * size)


@pytest.fixture(scope="module")
def grey_painter(tiny_painter):
    """A painter that paints 0, from donors of 0: 127.5 of 255."""
    bank = tiny_painter.cast.bank
    grey = banks.encode_picture(np.full((banks.SIDE, banks.SIDE, 3), 128, np.uint8))
    cast = choose.make_cast(bank._replace(pictures=[grey] * len(bank.pictures)))
    zero = jax.tree.map(np.zeros_like, tiny_painter.params)
    return tiny_painter._replace(params=zero, cast=cast)


def test_nobody_appears_twice_and_the_report_says_who_does(tiny_painter, asked):
    known = {entry["id"] for entry in tiny_painter.cast.bank.entries}
    for seed in range(4):
        result = run(noise(), asked, tiny_painter, jax.random.key(seed))
        assert len(set(names(result))) == 3 and set(names(result)) <= known
        assert all("drawn from" in (face.chosen or "") for face in result.faces)
        assert {(face.mode, face.fallback) for face in result.faces} == {
            ("generate", None)
        }
    black = run(noise(), asked, tiny_painter, mode="black")
    assert names(black) == [None] * 3


def test_more_faces_than_donors_are_all_painted(tiny_painter, asked):
    bank = tiny_painter.cast.bank
    two = bank._replace(
        pictures=bank.pictures[:2],
        keypoints=bank.keypoints[:2],
        vectors=bank.vectors[:2],
        entries=bank.entries[:2],
    )
    painter = tiny_painter._replace(cast=choose.make_cast(two))
    result = run(noise(), asked, painter)
    assert set(names(result)) == {"drawn/0", "drawn/1"}


def test_the_key_decides_who_and_how(tiny_painter, asked):
    first, again = (run(noise(), asked, tiny_painter) for _ in range(2))
    np.testing.assert_array_equal(first.frame, again.frame)
    assert first.faces == again.faces
    others = [run(noise(), asked, tiny_painter, jax.random.key(s)) for s in (1, 2, 3)]
    assert len({tuple(names(each)) for each in (first, *others)}) > 1
    assert any((first.frame != each.frame).any() for each in others)


def test_picks_may_be_given_in_place_of_a_key(tiny_painter, asked):
    frame, options = noise(), pipeline.DEFAULTS
    erased = pipeline.erase(frame, asked, tiny_painter, options)
    keys = pipeline.face_keys(pipeline.frame_key(KEY, erased), 3)
    picks = pipeline.draw_latents(erased, keys, tiny_painter, options)
    given = pipeline.run(frame, asked, tiny_painter, latents=picks)
    expected = run(frame, asked, tiny_painter)
    np.testing.assert_array_equal(given.frame, expected.frame)
    assert given.faces == expected.faces


def test_who_is_taken_is_not_drawn(tiny_painter, asked):
    erased = pipeline.erase(noise(), asked, tiny_painter, pipeline.DEFAULTS)
    taken = range(1, 20)
    (pick,) = pipeline.draw_latents(
        erased, [KEY], tiny_painter, pipeline.DEFAULTS, indices=[1], taken=taken
    )
    assert pick.index == 0


def test_hidden_pixels_have_no_part_in_the_choice(tiny_painter, asked):
    frame = noise()
    other = frame.copy()
    for x0, y0, x1, y1 in BOXES:
        other[y0:y1, x0:x1] = 255 - other[y0:y1, x0:x1]
    first, second = (run(each, asked, tiny_painter) for each in (frame, other))
    assert first.faces == second.faces
    np.testing.assert_array_equal(first.frame, second.frame)
    # A visible one has: it makes another key.
    frame[0, 70] = 255 - frame[0, 70]
    seen = [run(frame, asked, tiny_painter, jax.random.key(s)) for s in range(4)]
    before = [run(noise(), asked, tiny_painter, jax.random.key(s)) for s in range(4)]
    assert [names(r) for r in seen] != [names(r) for r in before]


@pytest.mark.parametrize(
    "size, boxes",
    [
        ((56, 72), BOXES),
        ((48, 48), [(12, 10, 24, 24), (18, 16, 30, 30), (16, 20, 26, 32)]),
        ((48, 48), [(-6, -5, 8, 9), (40, 41, 60, 60)]),
        ((90, 80), [(10, 8, 70, 84)]),
        ((1, 1), [(0, 0, 1, 1)]),
    ],
)
def test_no_hidden_pixel_stays_black(grey_painter, found, size, boxes):
    frame = np.full((*size, 3), 128, np.uint8)
    result = run(frame, found(*boxes), grey_painter)
    assert all(face.fallback is None for face in result.faces)
    # Grey on grey, half a step off and rounded; WebP keeps a grey to a step or two.
    np.testing.assert_allclose(result.frame.astype(int), 128, atol=3)


def test_large_faces_show_more_of_their_donors_than_the_painter_sees(
    tiny_painter, found
):
    box = (16.0, 10.0, 80.0, 92.0)
    frame = np.full((104, 96, 3), 128, np.uint8)
    sharp = run(frame, found(box), tiny_painter).frame
    bank = tiny_painter.cast.bank
    soft = []
    for index in range(len(bank.pictures)):
        small = banks.decode(bank, index)[8::16, 8::16]
        large = np.repeat(np.repeat(small, 16, 0), 16, 1)
        soft.append(banks.encode_picture(large))
    cast = choose.make_cast(bank._replace(pictures=soft))
    coarse = run(frame, found(box), tiny_painter._replace(cast=cast)).frame
    # Both donors look alike at 16 pixels a side, where the painter sees them.
    assert (sharp != coarse).mean() > 0.2


def test_tiles_draw_what_one_window_draws(tiny_painter, found, monkeypatch):
    frame, box = noise(104, 96), found((16.0, 10.0, 80.0, 92.0))
    whole = run(frame, box, tiny_painter).frame
    monkeypatch.setattr(paint, "TILE", 64)
    tiled = run(frame, box, tiny_painter).frame
    # One step of rounding: each tile has a map from its own corner.
    np.testing.assert_allclose(tiled.astype(int), whole.astype(int), atol=1)


def test_a_head_like_nobodys_is_filled_and_reported(tiny_painter, found):
    points = np.full((1, 11, 2), 20.0, np.float32)  # All in one place.
    frame = noise()
    result = run(frame, found(BOXES[1], keypoints=points), tiny_painter)
    (face,) = result.faces
    assert (face.fallback, face.donor) == ("fill", None)
    assert "no donor's head" in (face.why or "")
    x0, y0, x1, y1 = BOXES[1]
    assert (result.frame[y0:y1, x0:x1] != frame[y0:y1, x0:x1]).any(-1).mean() > 0.98


def test_an_empty_box_gets_no_donor_and_leaves_the_frame(tiny_painter, found):
    frame = noise()
    result = run(frame, found((5, 5, 5, 5)), tiny_painter)
    np.testing.assert_array_equal(result.frame, frame)
    assert names(result) == [None] and result.faces[0].fallback == "none"


def test_a_donor_that_cannot_be_decoded_fails_the_picture(tiny_painter, asked):
    bank = tiny_painter.cast.bank
    cut = [picture[:99] for picture in bank.pictures]
    cast = choose.make_cast(bank._replace(pictures=cut))
    with pytest.raises(MediaError, match="donor's picture cannot be decoded"):
        run(noise(), asked, tiny_painter._replace(cast=cast))


@pytest.mark.parametrize("step", ["crop", "paint", "overlay"])
def test_a_face_that_the_device_refuses_stays_black(
    tiny_painter, asked, monkeypatch, step
):
    def refuse(*args, **kwargs):
        raise MemoryError("full")

    monkeypatch.setattr(paint, step, refuse)
    result = run(noise(), asked, tiny_painter, mask_scale=1.0)
    assert names(result) == [None] * 3
    for face, (x0, y0, x1, y1) in zip(result.faces, BOXES, strict=True):
        assert (result.frame[y0:y1, x0:x1] == 0).all()
        assert (face.fallback, face.why) == ("black", "MemoryError: full")


def test_warming_up_compiles_what_is_used(tiny_painter, asked):
    paint._paint.clear_cache()
    paint.warm_up(tiny_painter, batch_size=None, match_border=True)
    run(noise(), asked, tiny_painter)
    assert paint._paint._cache_size() == 1
