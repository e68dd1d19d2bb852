"""No pixel of a face has a part in the output: not one bit, and no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxanon import align, blend, models, pipeline
from jaxanon.types import KEYPOINTS

LEFT, RIGHT = KEYPOINTS.index("left_eye"), KEYPOINTS.index("right_eye")


@st.composite
def scenes(draw):
    """A frame with one to three faces: any place and size, also over the border."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    boxes, points = [], []
    for _ in range(draw(st.integers(1, 3))):
        side = draw(st.floats(0.5, 90, width=32))
        aspect = draw(st.floats(0.5, 1.5, width=32))
        x = draw(st.floats(-side, width, width=32))
        y = draw(st.floats(-side, height, width=32))
        boxes.append((x, y, x + side * aspect, y + side))
        face = np.full((11, 2), np.nan, np.float32)
        if draw(st.booleans()):
            angle = draw(st.floats(-np.pi, np.pi))
            eye = 0.2 * side * np.array([np.cos(angle), np.sin(angle)])
            centre = np.array([x + side * aspect / 2, y + side / 2])
            face[LEFT], face[RIGHT] = centre + eye, centre - eye
        points.append(face)
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    return height, width, boxes, np.array(points), dtype, draw(st.integers(0, 2**31))


def inside(boxes, height, width):
    """The pixels that a box covers at least in part."""
    y, x = np.mgrid[:height, :width]
    covered = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        covered |= (x + 1 > x0) & (x < x1) & (y + 1 > y0) & (y < y1)
    return covered


@pytest.mark.parametrize("mode", ["generate", "black"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(scene=scenes())
def test_pixels_inside_given_boxes_change_no_bit(tiny_weights, found, mode, scene):
    height, width, boxes, points, dtype, seed = scene
    random = np.random.default_rng(seed)
    limit = np.iinfo(dtype).max
    frame = random.integers(0, limit, (height, width, 3), dtype, endpoint=True)
    other = frame.copy()
    hidden = inside(boxes, height, width)
    other[hidden] = random.integers(0, limit, (hidden.sum(), 3), dtype, endpoint=True)

    detections = found(*boxes, keypoints=points)
    latents = random.standard_normal((len(boxes), 4)).astype(np.float32)
    options = pipeline.Options(mode=mode)
    outputs = [
        pipeline.run(
            each, detections, tiny_weights, latents=latents, options=options
        ).frame
        for each in (frame, other)
    ]
    np.testing.assert_array_equal(*outputs)
    assert outputs[0].dtype == dtype


@pytest.mark.parametrize("degrees", [0.0, 40.0])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_gradient_of_the_output_by_hidden_pixels_is_zero(tiny_weights, scale, degrees):
    size, side = tiny_weights.config.resolution, 32
    turn = np.deg2rad(degrees)
    matrix = scale * np.array(
        [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    )
    shift = size / 2 - matrix @ np.array([side / 2, side / 2])
    to_crop = jnp.asarray(np.c_[matrix, shift], jnp.float32)[None]
    box = jnp.array([[11.0, 9.0, 20.0, 22.0]])
    own = np.zeros((1, side, side), bool)
    own[:, 9:22, 11:20] = True
    keep = jnp.asarray(~own, jnp.float32)[..., None]

    def output(frame):
        crops = align.align(
            frame, keep, jnp.full((1, 11, 2), jnp.nan), to_crop, size=size
        )
        faces = models.generate(
            tiny_weights.config,
            tiny_weights.params,
            align.condition(crops),
            jnp.ones((1, 4)),
        )
        faces = blend.inpaint(blend.match_border(faces, crops), crops)
        alpha = blend.soften(
            jnp.asarray(own), jnp.zeros(own.shape, bool), box, feather=0.1
        )
        return blend.paste(frame, alpha, faces, to_crop)

    frame = jax.random.uniform(jax.random.key(0), (1, side, side, 3), minval=-1.0)
    direction = jax.random.normal(jax.random.key(1), frame.shape)
    gradient = jax.jit(jax.grad(lambda x: (output(x) * direction).sum()))(frame)
    assert np.isfinite(gradient).all()
    assert (gradient[own] == 0).all()
    assert (gradient[~own] != 0).mean() > 0.5


def test_face_that_is_not_finite_stays_black_and_is_reported(tiny_weights, found):
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), tiny_weights.params)
    frame = np.full((40, 40, 3), 200, np.uint8)
    result = pipeline.run(
        frame,
        found((10, 10, 20, 20)),
        tiny_weights._replace(params=broken),
        latents=np.zeros((1, 4), np.float32),
        options=pipeline.Options(mask_scale=1.0),
    )
    assert (result.frame[10:20, 10:20] == 0).all()
    assert (result.frame[:8] == 200).all()
    assert result.faces[0].fallback == "black"
    assert "finite" in (result.faces[0].why or "")


def test_pixels_far_from_the_faces_stay_bit_identical(tiny_weights, found):
    frame = np.random.default_rng(0).integers(0, 2**16, (64, 64, 3), np.uint16)
    detections = found((20, 20, 32, 34))
    latents = np.ones((1, 4), np.float32)
    result = pipeline.run(frame, detections, tiny_weights, latents=latents).frame
    changed = (result != frame).any(-1)
    assert changed[20:34, 20:32].mean() > 0.99
    changed[17:37, 17:35] = False
    assert not changed.any()
