"""CenterFace as a function in JAX, for GPU and TPU; on a CPU ``centerface`` is faster.

The same network file is read without the onnx package; the maps equal onnxruntime's to
1e-3.
"""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxanon.detect import centerface, onnx_file
from jaxanon.detect.base import Detector
from jaxanon.errors import DetectorError

BUCKET = 256
"""Sides are padded to multiples of this, so that few sizes are compiled."""

AT_ONCE = 8
"""Frames of a video that the network sees together."""


def make(
    *, factors: Sequence[float] | None = None, floor: float = centerface.FLOOR
) -> Detector:
    """Loads the network; the settings are those of ``centerface.make``."""
    centerface.check(factors, floor)
    nodes, params = load()
    run = jax.jit(functools.partial(apply, nodes))
    params = jax.device_put(params)

    def network(batch: np.ndarray) -> Sequence[np.ndarray]:
        n, _, height, width = batch.shape
        # One picture, or always as many: two programs for each size of picture.
        more = AT_ONCE - n if n > 1 else 0
        grow = [(0, more), (0, 0), (0, -height % BUCKET), (0, -width % BUCKET)]
        maps = run(params, np.pad(batch, grow))
        return [np.asarray(part)[:n, :, : height // 4, : width // 4] for part in maps]

    return centerface.detector(network, factors=factors, floor=floor, at_once=AT_ONCE)


def load() -> tuple[tuple[onnx_file.Node, ...], Mapping[str, np.ndarray]]:
    """Reads the shipped network: its nodes and its parameters by name."""
    path = resources.files("jaxanon") / "assets" / centerface.ASSET
    nodes, tensors = onnx_file.read(path.read_bytes())
    if unknown := {node.operation for node in nodes} - set(_OPERATIONS):
        raise DetectorError(f"{centerface.ASSET} has the unknown {sorted(unknown)}.")
    used = {name for node in nodes for name in node.inputs}
    return nodes, {name: tensors[name] for name in used & set(tensors)}


def apply(
    nodes: Sequence[onnx_file.Node],
    params: Mapping[str, Any],
    images: Float[Array, "b 3 h w"],
) -> tuple[Float[Array, "b c i j"], ...]:
    """Computes heatmap, sizes, offsets and landmarks of stride 4.

    Args:
        nodes: Of the network.
        params: Its constants by name.
        images: RGB in [0, 255], sides multiples of 32.
    """
    values = dict(params)
    (source,) = {name for name in nodes[0].inputs if name not in values}
    values[source] = jnp.asarray(images, jnp.float32)
    for node in nodes:
        inputs = [values[name] for name in node.inputs]
        values[node.outputs[0]] = _OPERATIONS[node.operation](node.attributes, *inputs)
    return tuple(values[name] for name in centerface.OUTPUTS)


def _conv(attributes, x, kernel, bias=None):
    top, left, bottom, right = attributes["pads"]
    y = lax.conv_general_dilated(
        x,
        kernel,
        attributes["strides"],
        [(top, bottom), (left, right)],
        rhs_dilation=attributes["dilations"],
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
        feature_group_count=attributes["group"][0],
        precision=lax.Precision.HIGHEST,
    )
    return y if bias is None else y + bias[:, None, None]


def _upsample(attributes, x, kernel):
    """Is a transposed convolution whose kernel is as large as its stride."""
    stride = tuple(attributes["strides"])
    if kernel.shape[2:] != stride or any(attributes["pads"]):
        raise DetectorError(f"Unknown transposed convolution {attributes}.")
    b, _, height, width = x.shape
    y = jnp.einsum("bihw,iokl->bohkwl", x, kernel, precision=lax.Precision.HIGHEST)
    return y.reshape(b, -1, height * stride[0], width * stride[1])


def _normalize(attributes, x, gain, bias, mean, variance):
    scale = gain * lax.rsqrt(variance + attributes["epsilon"])
    return x * scale[:, None, None] + (bias - mean * scale)[:, None, None]


_OPERATIONS = {
    "Add": lambda _, x, y: x + y,
    "BatchNormalization": _normalize,
    "Conv": _conv,
    "ConvTranspose": _upsample,
    "Relu": lambda _, x: jnp.maximum(x, 0),
    "Sigmoid": lambda _, x: jax.nn.sigmoid(x),
}
