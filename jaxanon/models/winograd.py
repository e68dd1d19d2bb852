"""Convolutions of 3 x 3 with 4 products a pixel and pair of channels instead of 9.

Each 2 x 2 square of the output is a sum over 16 products in a transformed space. On a
CPU that pays where channels are many; accelerators have such kernels of their own.

References:
    Lavin & Gray 2015, Fast algorithms for convolutional neural networks, section 4.1,
    https://arxiv.org/abs/1509.09308
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_KERNEL = np.array(
    [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32
)


def transform(
    kernel: Float[Array, "3 3 c d"] | Float[np.ndarray, "3 3 c d"],
) -> Float[Array, "4 4 c d"] | Float[np.ndarray, "4 4 c d"]:
    """Transforms a kernel, once for many convolutions; on the host, if it is there."""
    if isinstance(kernel, np.ndarray):
        rows = np.tensordot(_KERNEL, kernel, (1, 0))
        return np.moveaxis(np.tensordot(_KERNEL, rows, (1, 1)), 0, 1)
    return jnp.einsum("ui,vj,ijcd->uvcd", _KERNEL, _KERNEL, kernel)


def convolve(
    x: Float[Array, "b h w c"], transformed: Float[Array, "4 4 c d"]
) -> Float[Array, "b h w d"]:
    """Convolves with stride 1 and zero padding that keeps the size.

    Args:
        x: Of even height and width.
        transformed: See `transform`.
    """
    b, h, w, c = x.shape
    rows, columns, width = h // 2, w // 2, transformed.shape[-1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    squares = padded.reshape(b, rows + 1, 2, columns + 1, 2, c)

    def part(i: int, j: int) -> Array:
        """Takes the pixels i below and j right of the corners of all 4 x 4 tiles."""
        below = slice(i // 2, i // 2 + rows)
        right = slice(j // 2, j // 2 + columns)
        return squares[:, below, i % 2, right, j % 2]

    across = [_enter([part(i, j) for i in range(4)]) for j in range(4)]
    products = []
    for u in range(4):
        entered = _enter([across[j][u] for j in range(4)])
        products.append(
            _leave([entered[v].reshape(-1, c) @ transformed[u, v] for v in range(4)])
        )
    lines = [_leave([products[u][j] for u in range(4)]) for j in range(2)]
    out = jnp.stack([jnp.stack(line, 1) for line in lines], 2)  # [n i j d]
    out = out.reshape(b, rows, columns, 2, 2, width).transpose(0, 1, 3, 2, 4, 5)
    return out.reshape(b, h, w, width)


def _enter(d: list[Array]) -> list[Array]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _leave(m: list[Array]) -> list[Array]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
