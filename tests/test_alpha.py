"""No face is left in what a picture carries beside the colours shown: its alpha."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxanon import files, pipeline, seek
from jaxanon.detect.json_format import FileDetections
from jaxanon.media import deep, image
from jaxanon.types import KEYPOINTS, Detections

HEIGHT, WIDTH = 24, 32
BOX = (8, 6, 20, 18)
PATTERN = np.indices((12, 12)).sum(0) % 2
EVERY_FILE = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def detections(*boxes):
    n = len(boxes)
    unseen = np.full((n, len(KEYPOINTS), 2), np.nan, np.float32)
    return Detections(np.float32(boxes).reshape(n, 4), np.ones(n, np.float32), unseen)


def detector(frames):
    """Finds the chequered part of a frame: a face to this test."""
    found = []
    for frame in frames:
        grey = frame.astype(int).sum(-1) / 3
        edges = np.abs(np.diff(grey[:-1], axis=1)) * np.abs(
            np.diff(grey[:, :-1], axis=0)
        )
        y, x = np.nonzero(edges > 60**2)
        box = [(x.min(), y.min(), x.max() + 2, y.max() + 2)] if len(x) > 20 else []
        found.append(detections(*box))
    return found


def with_face(low, high, plain=None):
    """A plane of one level with a chequered part."""
    plane = np.full((HEIGHT, WIDTH), low if plain is None else plain, np.uint8)
    plane[BOX[1] : BOX[3], BOX[0] : BOX[2]] = np.where(PATTERN, high, low)
    return plane


def save(path, colours, alpha, kind):
    """Writes colours [h w] and alpha [h w] as a file of that kind; returns its path."""
    path = path.with_suffix("." + kind.split()[0])
    grey = Image.fromarray(colours)
    if kind.endswith("16"):
        samples = np.dstack([colours, colours, colours, alpha]).astype(np.uint16) * 257
        with path.open("wb") as file:
            if kind.startswith("png"):
                deep.write_png(file, samples, chunks=[])
            else:
                deep.write_tiff(file, samples, icc=None)
    elif kind.endswith("P"):
        # One entry for each pair of colour and alpha that occurs.
        pairs = colours.astype(int) << 8 | alpha
        entries = np.unique(pairs)
        indexed = Image.fromarray(np.searchsorted(entries, pairs).astype(np.uint8))
        indexed.putpalette(np.repeat((entries >> 8).astype(np.uint8), 3).tobytes())
        indexed.save(path, transparency=(entries & 255).astype(np.uint8).tobytes())
    else:
        grey.putalpha(Image.fromarray(alpha))
        mode = "LA" if kind.endswith("LA") else "RGBA"
        extra = {"lossless": True, "exact": True} if kind == "webp" else {}
        grey.convert(mode).save(path, **extra)
    return path


KINDS = ["png", "png LA", "png 16", "png P", "tif", "tif LA", "tif 16", "webp", "avif"]
FACES = {
    "in colours and alpha": (with_face(40, 220), with_face(40, 220)),
    "in alpha alone": (with_face(0, 0), with_face(20, 250, plain=0)),
    "in alpha, negative": (with_face(0, 0), with_face(20, 250, plain=255)),
    "in colours that are hidden": (with_face(10, 240, plain=128), with_face(0, 0)),
    "under a hole": (with_face(10, 240, plain=128), with_face(0, 0, plain=255)),
}


def anonymize(source, target, given=None):
    return files.anonymize_image_file(
        source,
        target,
        key=files.base_key(1),
        weights=None,
        detector=detector,
        options=pipeline.Options(mode="black"),
        given=given,
    )


@EVERY_FILE
@given(kind=st.sampled_from(KINDS), face=st.sampled_from(sorted(FACES)))
def test_face_in_alpha_or_under_it_is_found_and_hidden(tmp_path, kind, face):
    source = save(tmp_path / "a", *FACES[face], kind)
    target = tmp_path / f"b{source.suffix}"
    report = anonymize(source, target)
    before, after = image.read(source), image.read(target)
    x0, y0, x1, y1 = BOX
    assert len(report["faces"]) == 1
    assert (after.pixels[y0:y1, x0:x1] == 0).all()
    opaque = np.iinfo(after.pixels.dtype).max
    # Some formats leave out alpha that is opaque everywhere.
    alpha = np.full((HEIGHT, WIDTH), opaque) if after.alpha is None else after.alpha
    assert (alpha[y0:y1, x0:x1] == opaque).all()
    if source.suffix != ".avif":
        outside = np.s_[:2]
        assert np.array_equal(before.alpha[outside], alpha[outside])
        assert np.array_equal(before.pixels[outside], after.pixels[outside])
    found = files.detect_image_file(source, detector=detector)
    assert len(found.faces.boxes) == 1


@EVERY_FILE
@given(
    kind=st.sampled_from([kind for kind in KINDS if kind != "avif"]),
    inside=st.lists(st.integers(0, 255), min_size=4, max_size=4),
)
def test_alpha_inside_a_box_changes_no_byte(tmp_path, kind, inside):
    outputs = []
    for corner in (inside, [0, 90, 180, 255]):
        alpha = np.full((HEIGHT, WIDTH), 77, np.uint8)
        alpha[0, 0] = 200
        patch = np.kron(np.reshape(corner, (2, 2)), np.ones((6, 6)))
        alpha[BOX[1] : BOX[3], BOX[0] : BOX[2]] = patch
        colours = np.full_like(alpha, 99)
        source = save(tmp_path / "a", colours, alpha, kind)
        found = FileDetections(WIDTH, HEIGHT, faces=detections(BOX))
        target = tmp_path / f"b{source.suffix}"
        anonymize(source, target, given=found)
        outputs.append(target.read_bytes())
    assert outputs[0] == outputs[1]


def test_gif_with_a_transparent_face_gets_an_opaque_box(tmp_path):
    indexed = Image.fromarray(with_face(0, 1))
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    indexed.save(tmp_path / "a.gif", transparency=1)
    anonymize(tmp_path / "a.gif", tmp_path / "b.gif")
    alpha = image.read(tmp_path / "b.gif").alpha
    assert alpha is None or (alpha[BOX[1] : BOX[3], BOX[0] : BOX[2]] == 255).all()


@pytest.mark.parametrize("limit", [255, 1023, 4095])
def test_face_in_a_16_bit_picture_that_looks_black_is_found(limit):
    grey = with_face(20, 250).astype(np.uint16) * (limit // 255)
    frame = np.repeat(grey[..., None], 3, 2)
    found = seek.find_faces_anywhere(frame, None, detector, None, score=0.5)
    assert len(found.boxes) == 1


def test_picture_with_plain_alpha_is_looked_at_once():
    seen = []

    def watching(frames):
        seen.extend(frames)
        return detector(frames)

    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for alpha in (None, np.full((HEIGHT, WIDTH), 255, np.uint8)):
        seek.find_faces_anywhere(frame, alpha, watching, None, score=0.5)
    assert len(seen) == 2
