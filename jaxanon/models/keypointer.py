"""Finds the keypoints of a face, also hidden ones, and says whether it is a face.

A small network of dense convolutions, 82 MFLOP a face: each keypoint is the centre of
mass of a map, so that it follows the face when the crop shifts. The verdict is a second
look at what a detector has found: lamps, hands and backs of heads are no faces.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanon.types import KEYPOINTS


@dataclass(frozen=True)
class KeypointerConfig:
    """The shape of the network; the crop rule is part of what it has learned."""

    kind: str = "keypointer"
    resolution: int = 96
    """Side of the crop in pixels, a multiple of 16."""
    width: int = 16
    """Channels of the finest map; they double with every halving of the size."""
    box_scale: float = 3.0
    """Side of the crop in longer sides of the face box."""
    box_shift: float = 0.25
    """How far the crop's centre is below the box's, in heights of the box."""
    keypoints: int = 9
    """How many of types.KEYPOINTS it finds, from the first."""
    verdict: bool = False
    """Whether it says if there is a face; if not, it takes everything for one."""


def init(key: jax.Array, config: KeypointerConfig) -> Mapping[str, Any]:
    """Draws the parameters: kernels by He et al. 2015, biases 0."""
    crops = jnp.zeros((1, config.resolution, config.resolution, 3))
    network = _Keypointer(config)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), crops)["params"])
    leaves, tree = jax.tree.flatten(shapes)
    # One draw for all: a draw for each kernel takes XLA a minute to compile.
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
    parts = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
    params = [
        part.reshape(leaf.shape) * math.sqrt(2 / math.prod(leaf.shape[:-1]))
        if leaf.ndim > 1
        else jnp.zeros(leaf.shape)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, params)


def predict(
    config: KeypointerConfig,
    params: Mapping[str, Any],
    crops: Float[Array, "b h w 3"],
) -> tuple[Float[Array, "b k 2"], Float[Array, "b k"], Float[Array, "b"]]:
    """Finds the keypoints of faces and whether they are faces.

    Args:
        config: Its ``resolution`` is the side of the crops.
        params: Parameters.
        crops: A square of ``box_scale`` longer sides of the face box, centred on it and
            ``box_shift`` lower; [-1, 1], and 0 outside the frame.

    Returns:
        x y in crop sides, in KEYPOINTS order; the probability that each is seen rather
        than guessed, 0 where the network does not know the keypoint; the probability
        that there is a face in the box, 1 where the network has no verdict.
    """
    keypoints, logits, face = predict_logits(config, params, crops)
    unknown = ((0, 0), (0, len(KEYPOINTS) - config.keypoints))
    return (
        jnp.pad(keypoints, (*unknown, (0, 0))),
        jnp.pad(jax.nn.sigmoid(logits), unknown),
        jax.nn.sigmoid(face),
    )


def predict_logits(
    config: KeypointerConfig,
    params: Mapping[str, Any],
    crops: Float[Array, "b h w 3"],
) -> tuple[Float[Array, "b k 2"], Float[Array, "b k"], Float[Array, "b"]]:
    """Is ``predict`` with logits in place of probabilities, for the loss."""
    if crops.shape[1:3] != (config.resolution, config.resolution):
        raise ValueError(
            f"Crops are {crops.shape[1:3]}, but must be {config.resolution} square."
        )
    return _Keypointer(config).apply({"params": params}, crops)  # type: ignore[return-value]


class _Keypointer(nn.Module):
    config: KeypointerConfig

    @nn.compact
    def __call__(self, x):
        width = self.config.width
        x = _relu_conv(x, width, "stem", stride=2)  # [b 48 48 16]
        x = _relu_conv(x, 2 * width, "down_2", stride=2)
        fine = x = _residual(x, "mix_2")  # [b 24 24 32]
        x = _relu_conv(x, 4 * width, "down_3", stride=2)
        x = _residual(_residual(x, "mix_3a"), "mix_3b")  # [b 12 12 64]
        x = _relu_conv(x, 8 * width, "down_4", stride=2)
        x = _residual(_residual(x, "mix_4a"), "mix_4b")  # [b 6 6 128]
        logits = nn.Dense(self.config.keypoints, name="visible")(x.mean((1, 2)))
        # Where something is counts here: another face beside the box is no face in it.
        face = jnp.full(len(x), jnp.inf)
        if self.config.verdict:
            places = nn.relu(nn.Conv(2 * width, (1, 1), name="face_places")(x))
            places = places.reshape(len(x), -1)
            places = nn.relu(nn.Dense(2 * width, name="face_whole")(places))
            face = nn.Dense(1, name="face")(places)[:, 0]
        coarse = nn.Conv(2 * width, (1, 1), name="lateral")(x)
        coarse = jnp.repeat(jnp.repeat(coarse, 4, axis=1), 4, axis=2)
        x = _relu_conv(fine + coarse, 2 * width, "join")
        maps = nn.Conv(self.config.keypoints, (3, 3), name="maps")(x)
        return _centres(maps), logits, face


def _relu_conv(x, width: int, name: str, *, stride: int = 1):
    return nn.relu(nn.Conv(width, (3, 3), stride, padding=1, name=name)(x))


def _residual(x, name: str):
    return x + 0.5 * _relu_conv(x, x.shape[-1], name)


def _centres(maps: Float[Array, "b i j k"]) -> Float[Array, "b k 2"]:
    """Returns x y of each map's centre of mass in crop sides.

    The grid reaches a little beyond the crop, since the centre of mass of a map can
    never lie at the grid's border.
    """
    b, height, width, k = maps.shape
    weights = jax.nn.softmax(maps.reshape(b, height * width, k), axis=1)
    weights = weights.reshape(maps.shape)
    x = jnp.einsum("bijk,j->bk", weights, _grid(width))
    y = jnp.einsum("bijk,i->bk", weights, _grid(height))
    return jnp.stack([x, y], -1)


def _grid(size: int) -> Float[Array, "s"]:
    return (jnp.arange(size) + 0.5) / size * 1.2 - 0.1
