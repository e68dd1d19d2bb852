"""What the Python API takes for a picture: never anything that it lets pass."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxanon import given as given_pictures

PIXELS = np.random.default_rng(0).integers(1, 255, (6, 5, 3), np.uint8)
DEEP = PIXELS.astype(np.uint16) * 257
DTYPES = ["int8", "int16", "int32", "uint32", "float16", "float32", "float64", "bool"]


@pytest.mark.parametrize(
    ("picture", "frame"),
    [
        (PIXELS, PIXELS),
        (DEEP, DEEP),
        (DEEP.astype(">u2"), DEEP),
        (PIXELS[:, ::-1], PIXELS[:, ::-1]),
        (jnp.asarray(PIXELS), PIXELS),
        (jnp.asarray(DEEP), DEEP),
        (Image.fromarray(PIXELS), PIXELS),
    ],
)
def test_pictures_become_frames(picture, frame):
    found = given_pictures.to_frame(picture)
    assert found.dtype == frame.dtype
    assert np.array_equal(found, frame)


@given(st.sampled_from(DTYPES))
def test_other_numbers_are_refused(dtype):
    with pytest.raises(TypeError, match="give"):
        given_pictures.to_frame(PIXELS.astype(dtype))


@given(st.lists(st.integers(0, 5), max_size=5).filter(lambda s: s[2:] != [3] or 0 in s))
def test_other_shapes_are_refused(shape):
    with pytest.raises(TypeError, match="give"):
        given_pictures.to_frame(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "F"])
def test_other_modes_of_pil_are_refused(mode):
    with pytest.raises(TypeError, match="convert"):
        given_pictures.to_frame(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("thing", [PIXELS.tolist(), b"png", "a.png", None])
def test_other_things_are_refused(thing):
    with pytest.raises(TypeError, match="give"):
        given_pictures.to_frame(thing)


def test_eight_bits_in_sixteen_are_refused():
    with pytest.raises(TypeError, match="257"):
        given_pictures.to_frame(PIXELS.astype(np.uint16))
