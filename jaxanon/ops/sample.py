"""Windows of a frame, and reading an image between its pixels."""

from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Frame = TypeVar("Frame")


def window_side(extent: float | int) -> int:
    """Returns the smallest of the sides 16, 32, 64, ... that holds ``extent`` pixels.

    Few sides, because the device functions are compiled once for each.
    """
    side = 16
    while side < extent:
        side *= 2
    return side


def cut_window(frame: Frame, x: int, y: int, side: int, *, stride: int = 1) -> Frame:
    """Cuts a square out of a frame; outside the frame its border pixels are repeated.

    Args:
        frame: ``[h w ...]`` of any dtype, on the host or on the device.
        x: Left edge of the window in frame pixels; may be negative.
        y: Top edge.
        side: Of the window in frame pixels.
        stride: Takes the middle one of every so many pixels only.

    Returns:
        ``[side side ...]`` or, with a stride, as much smaller; on the host a view where
        the window is inside the frame.
    """
    height, width = frame.shape[:2]  # pyright: ignore[reportAttributeAccessIssue]
    if x >= 0 and y >= 0 and x + side <= width and y + side <= height:
        down = slice(y + stride // 2, y + side, stride)
        return frame[down, x + stride // 2 : x + side : stride]  # pyright: ignore
    rows = np.clip(np.arange(y + stride // 2, y + side, stride), 0, height - 1)
    columns = np.clip(np.arange(x + stride // 2, x + side, stride), 0, width - 1)
    return frame[rows][:, columns]  # pyright: ignore[reportIndexIssue]


def window_inside(
    shape: tuple[int, ...], x: int, y: int, side: int, *, stride: int = 1
) -> Bool[np.ndarray, "s s"]:
    """Says which pixels of such a window lie inside a frame of this shape."""
    height, width = shape[:2]
    rows = np.arange(y + stride // 2, y + side, stride)
    columns = np.arange(x + stride // 2, x + side, stride)
    inside = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    return inside[0][:, None] & inside[1][None, :]


def grid(size: int, *, per_pixel: int = 1) -> Float[Array, "p p 2"]:
    """Returns x y of the pixel centres of a square image, row by row.

    Args:
        size: Side of the image in pixels.
        per_pixel: Points per pixel and axis; 2 gives the centres of quarter pixels.
    """
    centres = (jnp.arange(size * per_pixel, dtype=jnp.float32) + 0.5) / per_pixel
    x, y = jnp.meshgrid(centres, centres)
    return jnp.stack([x, y], -1)


def bilinear(
    image: Float[Array, "h w c"], points: Float[Array, "*p 2"]
) -> Float[Array, "*p c"]:
    """Reads one image at points x y in pixels; outside, the border pixels go on."""
    low, blend = _split(points, image.dtype)
    (x0, x1), (y0, y1) = (_taps(low[..., a], (0, 1), image, a) for a in (0, 1))
    right, down = blend[..., :1], blend[..., 1:]
    top = image[y0, x0] * (1 - right) + image[y0, x1] * right
    bottom = image[y1, x0] * (1 - right) + image[y1, x1] * right
    return top * (1 - down) + bottom * down


def bicubic(
    image: Float[Array, "h w c"], points: Float[Array, "*p 2"]
) -> Float[Array, "*p c"]:
    """Reads one image as ``bilinear`` does, by Catmull-Rom splines: smooth, sharp.

    References:
        Keys 1981, Cubic convolution interpolation for digital image processing, eq. 15.
    """
    low, blend = _split(points, image.dtype)
    columns, rows = (_taps(low[..., a], (-1, 0, 1, 2), image, a) for a in (0, 1))
    across, down = _cubic(blend[..., :1]), _cubic(blend[..., 1:])
    lines = [_mix(across, [image[row, column] for column in columns]) for row in rows]
    return _mix(down, lines)


def _mix(weights, values):
    a, b, c, d = (w * v for w, v in zip(weights, values, strict=True))
    return a + b + c + d


def _split(points, dtype):
    """Splits points into the pixel centre at or before, and the rest in [0, 1)."""
    low = jnp.floor(points - 0.5)
    return low.astype(jnp.int32), (points - 0.5 - low).astype(dtype)


def _taps(low, offsets, image, axis: int):
    last = image.shape[1 - axis] - 1
    return [jnp.clip(low + offset, 0, last) for offset in offsets]


def _cubic(t):
    """Weights of the pixels at -1, 0, 1 and 2 for a point at t in [0, 1)."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
