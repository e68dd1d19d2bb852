"""No hidden pixel is forgotten: at borders, in overlaps, in tiles, after failures."""

import jax
import numpy as np
import pytest

from jaxanon import paint, pipeline
from jaxanon.errors import ConfigError

BOX = (12.0, 10.0, 24.0, 24.0)


@pytest.fixture(scope="module")
def grey_weights(tiny_weights):
    """A generator that paints 0, which is 127.5 of 255."""
    zero = jax.tree.map(np.zeros_like, tiny_weights.params)
    return tiny_weights._replace(params=zero)


def grey(height, width, dtype=np.uint8):
    return np.full((height, width, 3), np.iinfo(dtype).max // 2 + 1, dtype)


def run(frame, detections, weights, **options):
    latents = np.ones((len(detections.boxes), 4), np.float32)
    chosen = pipeline.Options(**options)
    return pipeline.run(frame, detections, weights, latents=latents, options=chosen)


@pytest.mark.parametrize(
    "size, boxes, dtype",
    [
        ((48, 48), [BOX, (18, 16, 30, 30), (16, 20, 26, 32)], np.uint8),
        ((48, 48), [BOX, BOX, (14, 12, 20, 20)], np.uint16),
        ((48, 48), [(-6, -5, 8, 9), (40, 41, 60, 60)], np.uint8),
        ((30, 24), [(-5, -5, 60, 60)], np.uint8),
        ((1, 1), [(0, 0, 1, 1)], np.uint8),
        ((1, 40), [(-4, -8, 12, 8)], np.uint8),
    ],
)
def test_no_hidden_pixel_stays_black(grey_weights, found, size, boxes, dtype):
    frame = grey(*size, dtype)
    result = run(frame, found(*boxes), grey_weights)
    # Grey painted on grey: a pixel that nobody painted would be black. The frame is
    # half a step lighter than what is painted, and pixels are rounded.
    np.testing.assert_allclose(result.frame, frame, atol=1)
    assert result.frame.dtype == dtype
    assert all(face.fallback is None for face in result.faces)


def test_tiles_draw_what_one_window_draws(tiny_weights, found, monkeypatch):
    frame = np.random.default_rng(0).integers(0, 256, (60, 64, 3), np.uint8)
    detections = found((20, 16, 52, 50))
    whole = run(frame, detections, tiny_weights).frame
    monkeypatch.setattr(paint, "TILE", 32)
    tiled = run(frame, detections, tiny_weights).frame
    # One step of rounding: each tile has a map from its own corner.
    np.testing.assert_allclose(tiled.astype(int), whole.astype(int), atol=1)


@pytest.mark.parametrize("step", ["crop", "paint", "overlay"])
def test_face_that_the_device_refuses_stays_black(
    tiny_weights, found, monkeypatch, step
):
    def refuse(*args, **kwargs):
        raise MemoryError("full")

    monkeypatch.setattr(paint, step, refuse)
    result = run(grey(48, 48), found(BOX), tiny_weights, mask_scale=1.0)
    assert (result.frame[10:24, 12:24] == 0).all()
    assert result.faces[0].mode == result.faces[0].fallback == "black"
    assert result.faces[0].why == "MemoryError: full"


@pytest.mark.parametrize("name", ["score", "mask_scale", "truncation", "feather"])
def test_option_that_is_not_a_number_is_refused(name):
    with pytest.raises(ConfigError, match=f"Option {name} is nan, but must be"):
        pipeline.Options(**{name: float("nan")})
