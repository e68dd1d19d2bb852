"""Feature functions for the objective ``perceptual``; resolved by dotted name.

The detector's own backbone knows faces, is small, comes with the library and is under
the MIT licence: there is nothing to download.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanon.detect import centerface_jax, onnx_file

TAPS = {"368": 1.085, "376": 0.564, "390": 0.404, "416": 0.356, "451": 0.281}
"""Maps of stride 2 to 16, and their standard deviations on real face crops."""


def centerface(images: Float[Array, "b h w 3"]) -> list[Array]:
    """Returns maps of CenterFace's backbone, each divided by its deviation.

    Args:
        images: In [-1, 1], sides multiples of 16.
    """
    nodes, params = _backbone()
    values: dict[str, Array] = {}
    (source,) = {name for name in nodes[0].inputs if name not in params}
    values[source] = (images.astype(jnp.float32) + 1) * 127.5
    for node in nodes:
        values[node.outputs[0]] = _run(node, values, params)
    return [values[name] / deviation for name, deviation in TAPS.items()]


@functools.cache
def _backbone() -> tuple[list[onnx_file.Node], dict[str, np.ndarray]]:
    nodes, params = centerface_jax.load()
    outputs = [node.outputs[0] for node in nodes]
    kept = list(nodes[: outputs.index(list(TAPS)[-1]) + 1])
    used = {name for node in kept for name in node.inputs}
    return kept, {name: np.asarray(params[name]) for name in used & set(params)}


def _run(node: onnx_file.Node, values: dict[str, Array], params) -> Array:
    x = values[node.inputs[0]]
    if node.operation == "Relu":
        return jnp.maximum(x, 0)
    if node.operation == "Add":
        return x + values[node.inputs[1]]
    if node.operation != "Conv":
        raise ValueError(f"The backbone has no place for {node.operation}.")
    kernel, attributes = params[node.inputs[1]], node.attributes
    stride, pad = attributes["strides"][0], attributes["pads"][0]
    if attributes["group"][0] == kernel.shape[0] > 1:
        x = depthwise(kernel[:, 0].transpose(1, 2, 0), stride, pad)(x)
    else:
        padding = [(pad, pad)] * 2
        x = convolve(x, kernel.transpose(2, 3, 1, 0), stride=stride, padding=padding)
    return x + params[node.inputs[2]] if len(node.inputs) > 2 else x


def convolve(
    x: Float[Array, "b h w i"],
    kernel: Float[np.ndarray, "k k i o"],
    bias: Float[np.ndarray, "o"] | None = None,
    *,
    stride: int = 1,
    padding: str | Sequence[tuple[int, int]] = "SAME",
) -> Float[Array, "b y x o"]:
    """Convolves with a fixed kernel; one of 1 x 1 as a product of matrices."""
    if kernel.shape[0] == stride == 1:
        x = x @ jnp.asarray(kernel[0, 0])
    else:
        x = jax.lax.conv_general_dilated(
            x,
            jnp.asarray(kernel),
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    return x if bias is None else x + jnp.asarray(bias)


def depthwise(
    kernel: Float[np.ndarray, "k k c"], stride: int, before: int
) -> Callable[[Array], Array]:
    """Makes a convolution of each channel by itself, with a fixed kernel.

    As shifted products, forward and backward: on a CPU many times as fast as XLA's
    grouped convolution and its gradient.

    Args:
        kernel: Of the channels; its side k is odd.
        stride: 1 or 2; height and width must be multiples of it.
        before: How many zeros are put before the first row and column.
    """
    side = len(kernel)
    after = side - stride - before

    @jax.custom_vjp
    def convolve(x: Array) -> Array:
        return _shifted(x, kernel, stride, (before, after))

    def forward(x: Array) -> tuple[Array, None]:
        return convolve(x), None

    def backward(_: None, slope: Array) -> tuple[Array]:
        if stride == 2:  # Zeros between, so that each slope is back at its pixel.
            zero, between = jnp.zeros((), slope.dtype), (0, 1, 1)
            slope = jax.lax.pad(slope, zero, ((0, 0, 0), between, between, (0, 0, 0)))
        around = (side - 1 - before, before)
        return (_shifted(slope, kernel[::-1, ::-1], 1, around),)

    convolve.defvjp(forward, backward)
    return convolve


def _shifted(x: Array, kernel: np.ndarray, stride: int, pad: tuple[int, int]) -> Array:
    side, (height, width) = len(kernel), x.shape[1:3]
    height, width = height + sum(pad) - side + 1, width + sum(pad) - side + 1
    padded = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))
    parts = [
        padded[:, i : i + height : stride, j : j + width : stride] * kernel[i, j]
        for i in range(side)
        for j in range(side)
    ]
    return functools.reduce(jnp.add, parts)
