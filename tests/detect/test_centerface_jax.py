from functools import partial

import jax
import numpy as np
import pytest

from jaxanon.detect import centerface, centerface_jax, onnx_file
from jaxanon.errors import DetectorError


def test_maps_equal_those_of_onnxruntime():
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    session = centerface._load(1)
    expected = session.run(centerface.OUTPUTS, {"input.1": images})
    nodes, params = centerface_jax.load()
    found = jax.jit(partial(centerface_jax.apply, nodes))(params, images)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_frames_seen_together_are_found_as_one_by_one(monkeypatch):
    monkeypatch.setattr(centerface_jax, "BUCKET", 32)
    monkeypatch.setattr(centerface_jax, "AT_ONCE", 2)
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8))
    # So low a floor that noise has faces.
    detect = centerface_jax.make(factors=(1.0,), floor=1e-5)
    alone = [detect([frame])[0] for frame in frames]
    assert min(len(found.scores) for found in alone) > 0
    for a, b in zip(detect(frames), alone, strict=True):
        assert a.faces is b.faces is None
        for together, one in zip(a[:3], b[:3], strict=True):
            np.testing.assert_allclose(together, one, atol=1e-2)


def _field(number, value):
    return bytes([number << 3 | 2, len(value)]) + value


def test_a_hand_written_file_is_read():
    numbers = np.array([[1.5, -2.0]], np.float32)
    tensor = bytes([1 << 3, 1, 1 << 3, 2, 2 << 3, 1])  # dims 1 and 2, float32
    tensor += _field(8, b"w") + _field(9, numbers.tobytes())
    strides = _field(1, b"strides") + _field(8, bytes([2, 0x81, 0x01]))  # packed
    node = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(4, b"Conv")
    graph = _field(1, node + _field(5, strides)) + _field(5, tensor)
    nodes, tensors = onnx_file.read(_field(7, graph))
    assert nodes == (onnx_file.Node("Conv", ("x", "w"), ("y",), {"strides": [2, 129]}),)
    np.testing.assert_array_equal(tensors["w"], numbers)


@pytest.mark.parametrize("data", [b"", b"no such file", b"\x3a\x7f\x0a"])
def test_a_damaged_file_is_refused(data):
    with pytest.raises(DetectorError, match="ONNX"):
        onnx_file.read(data)
