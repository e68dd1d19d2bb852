"""No pixel of a face has a part in the output: not one bit, and no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxanon import align, blend, cli, clips, models, pipeline, pose, weights
from jaxanon.detect import json_format
from jaxanon.detect.json_format import FileDetections, FrameDetections
from jaxanon.donors import bank as banks
from jaxanon.media import video
from jaxanon.models.generators import donor
from jaxanon.types import KEYPOINTS, Donor

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


@settings(max_examples=25, deadline=None, derandomize=True)
@given(scene=scenes(), doubt=st.booleans())
def test_with_donors_and_a_key_pixels_inside_change_no_bit(
    tiny_painter, found, scene, doubt
):
    height, width, boxes, points, dtype, seed = scene
    random = np.random.default_rng(seed)
    limit = np.iinfo(dtype).max
    frame = random.integers(0, limit, (height, width, 3), dtype, endpoint=True)
    other, hidden = frame.copy(), inside(boxes, height, width)
    other[hidden] = random.integers(0, limit, (hidden.sum(), 3), dtype, endpoint=True)
    detections = found(*boxes, keypoints=points)
    if doubt:  # A second look is not sure of the first one.
        sure = np.ones(len(boxes), np.float32)
        sure[0] = 0.1
        detections = detections._replace(faces=sure)
    key = jax.random.key(seed)
    first, second = (
        pipeline.run(each, detections, tiny_painter, key=key) for each in (frame, other)
    )
    np.testing.assert_array_equal(first.frame, second.frame)
    assert first.faces == second.faces


def write_tools(folder, painter):
    """Writes weights and a bank where the command line finds them."""
    names = (str(folder / "tiny.safetensors"), str(folder / "tiny.bank"))
    weights.save(names[0], painter.kind, painter.config, painter.params, {})
    banks.save(names[1], painter.cast.bank)
    return ["--weights", names[0], "--donors", names[1]]


@pytest.mark.parametrize("seed", [[], ["--seed", "7"]])
def test_files_that_differ_in_a_face_only_become_one(
    tmp_path, monkeypatch, tiny_painter, found, seed
):
    monkeypatch.setenv("JAXANON_CACHE", "off")
    frame = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    faces = found((10, 8, 24, 26), (30.5, 12.2, 44.0, 30.0))
    given_faces = {}
    for name in "ab":
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        hidden = inside(faces.boxes, 40, 56)
        frame[hidden] = 255 - frame[hidden]
        Image.fromarray(frame).save(path)
        given_faces[str(path)] = FileDetections(56, 40, faces=faces)
    json_format.write(tmp_path / "faces.json", given_faces)
    words = ["anonymize", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *seed]
    words += ["--detections", str(tmp_path / "faces.json")]
    assert cli.main(words + write_tools(tmp_path, tiny_painter)) == 0
    a, b = ((tmp_path / "out" / f"{name}.png").read_bytes() for name in "ab")
    assert a == b
    inputs = [(tmp_path / "in" / f"{name}.png").read_bytes() for name in "ab"]
    assert inputs[0] != inputs[1]


def test_clips_that_differ_in_a_face_only_become_one(
    tmp_path, encode_clip, tiny_painter, found
):
    noise = np.random.default_rng(0).integers(40, 216, (8, 48, 64, 3), np.uint8)
    faces = found((12, 10, 28, 32))
    outputs = []
    for name in "ab":
        noise[:, 10:32, 12:28] = 255 - noise[:, 10:32, 12:28]
        source, target = tmp_path / f"{name}.mkv", tmp_path / f"{name}_out.mkv"
        lossless = {"pixel_format": "yuv444p", "options": {"qp": "0"}}
        encode_clip(source, list(noise), **lossless)
        times = [
            float(f.pts * video.probe(source).time_base) for f in video.read(source)
        ]
        frames = tuple(FrameDetections(t, faces) for t in times)
        report = clips.anonymize_video_file(
            source,
            target,
            seed=3,
            weights=tiny_painter,
            detections=FileDetections(64, 48, frames=frames),
        )
        pictures = [frame.pixels.tobytes() for frame in video.read(target)]
        outputs.append((pictures, report["tracks"]))
    assert outputs[0] == outputs[1] and len(outputs[0][0]) == 8
    assert outputs[0][1][0]["donor"].startswith("drawn/")


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_gradient_of_layers_by_hidden_pixels_is_zero(tiny_painter, scale):
    config, size, side = tiny_painter.config, tiny_painter.config.resolution, 32
    shift = size / 2 - scale * side / 2
    to_crop = jnp.float32([[[scale, 0, shift], [0, scale, shift]]])
    box = jnp.array([[11.0, 9.0, 20.0, 22.0]])
    own = np.zeros((1, side, side), bool)
    own[:, 9:22, 11:20] = True
    keep = jnp.asarray(~own, jnp.float32)[..., None]
    points = jnp.zeros((1, 11, 2)).at[:, donor.INNER].set(jnp.float32(pose.USUAL))
    picture = jax.random.uniform(jax.random.key(2), (1, 64, 64, 3), minval=-1.0)

    def output(frame):
        unseen = jnp.full((1, 11, 2), jnp.nan)
        crops = align.align(frame, keep, unseen, to_crop, size=size)
        painting = donor.paint(
            config, tiny_painter.params, align.condition(crops), Donor(picture, points)
        )
        matched = blend.match_border(painting.face, crops) - painting.face
        layers = blend.Layers(
            blend.inpaint(painting.base + matched, crops),
            painting.share * crops.mask,
            painting.plate,
        )
        other = jnp.zeros(own.shape, bool)
        alpha = blend.soften(jnp.asarray(own), other, box, feather=0.1)
        return blend.paste_layers(frame, alpha, layers, picture, to_crop)

    frame = jax.random.uniform(jax.random.key(0), (1, side, side, 3), minval=-1.0)
    direction = jax.random.normal(jax.random.key(1), frame.shape)
    gradient = jax.jit(jax.grad(lambda x: (output(x) * direction).sum()))(frame)
    assert np.isfinite(gradient).all()
    assert (gradient[own] == 0).all()
    assert (gradient[~own] != 0).mean() > 0.5


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
