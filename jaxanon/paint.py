"""The device steps of one face, compiled: frame -> crop -> painted crop -> frame.

This is the one file of the library that compiles, and where NumPy meets JAX. Shapes
are few: windows have the sides of ``sample.window_side``, batches one size.
"""

import contextlib
import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, UInt

from jaxanon import align, blend, models, pose
from jaxanon.models import keypointer as keypointer_network
from jaxanon.models import matcher as matcher_network
from jaxanon.models.generators import donor
from jaxanon.ops import affine, filters, sample
from jaxanon.regions import NOBODY, Placement
from jaxanon.types import KEYPOINTS, Condition, Crops, Donor
from jaxanon.weights import Weights

TILE = 512
"""Larger windows are painted in tiles of this side, which bounds memory."""

FAILURES = (jax.errors.JaxRuntimeError, MemoryError)
"""What a device may answer to one face; that face then stays black."""

PAINTING = threading.Lock()
"""One thread compiles and the others wait, rather than each compiling the same."""

CLOSER = 1.75
"""How much larger a face is in its donor's picture than in its crop."""

DONOR_SIDE = 256
"""Side of a donor's picture; see ``donors.bank``."""

COARSE = 2048
"""Larger windows are read with a stride: eight pixels a crop pixel are enough."""


class Painted(NamedTuple):
    """A crop that is painted and inpainted, without a batch axis."""

    face: Any
    """[h w 3]."""
    layers: blend.Layers | None
    """What paints it at the frame's resolution; None = nothing does."""


def crop(
    erased: UInt[np.ndarray, "h w 3"],
    owner: Int32[np.ndarray, "h w"],
    keypoints: Float[np.ndarray, "k 2"],
    placement: Placement,
    *,
    size: int,
) -> Crops:
    """Cuts one face's crop out of an erased frame; outside it, too, nothing is known.

    Args:
        erased: The frame without its faces.
        owner: Of each pixel; see ``regions.assign``.
        keypoints: x y in frame pixels; NaN = not seen.
        placement: See ``regions.place``.
        size: Side of the crop.

    Returns:
        A batch of one.
    """
    corner = np.array([placement.x, placement.y], np.float64)
    window = placement.x, placement.y, placement.side
    stride = max(placement.side // COARSE, 1)
    kept = sample.cut_window(owner, *window, stride=stride) == NOBODY
    return _crop(
        sample.cut_window(erased, *window, stride=stride),
        kept & sample.window_inside(owner.shape, *window, stride=stride),
        ((keypoints - corner) / stride).astype(np.float32),
        _window_to_crop(placement.to_crop, corner, stride),
        size=size,
    )


def paint(
    crops: Sequence[Crops],
    latents: Sequence[Any],
    weights: Weights,
    *,
    batch_size: int,
    match_border: bool,
) -> list[Painted | None]:
    """Paints crops, padded to one batch size so that one compilation serves all.

    Args:
        crops: Batches of one.
        latents: A z or a ``Donor`` for each, without batch axes.
        weights: Of a generator.
        batch_size: Of the compiled function.
        match_border: Whether colours are shifted to meet the surroundings.

    Returns:
        The inpainted crops; None where one is not finite.
    """
    padding = [0] * (batch_size - len(crops))
    chosen = [*range(len(crops)), *padding]
    with PAINTING:
        painted, finite = _paint(
            weights.params,
            [crops[i] for i in chosen],
            [latents[i] for i in chosen],
            config=weights.config,
            match_border=match_border,
        )
    checked = np.asarray(finite)
    return [
        jax.tree.map(lambda x, i=i: x[i], painted) if checked[i] else None
        for i in range(len(crops))
    ]


def fit(
    matcher: Weights, surroundings: Condition, vectors: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n"]:
    """Says how well donors fit what is visible around a face; higher is better.

    Args:
        matcher: Weights of the network that compares them.
        surroundings: Of one face, a batch of one.
        vectors: The network's, of the donors.
    """
    with PAINTING:
        seen = _embed_surroundings(matcher.params, surroundings, config=matcher.config)
    return vectors @ np.asarray(seen)[0]


def embed_donor(matcher: Weights, picture: Donor) -> Float[np.ndarray, "b d"]:
    """Returns the vectors of donors; see ``fit``."""
    with PAINTING:
        return np.asarray(
            _embed_donors(matcher.params, picture, config=matcher.config), np.float32
        )


def fill(crops: Crops) -> Painted:
    """Fills a crop from what is around it: no face is in it, and nothing is sharp.

    Args:
        crops: A batch of one.
    """
    with PAINTING:
        return Painted(_fill(crops)[0], None)


def _empty_latent(weights: Weights) -> Any:
    """Makes something to compile with."""
    config = weights.config
    if models.latent_kind(config) == "donor":
        points = np.zeros((len(KEYPOINTS), 2), np.float32)
        points[pose.INNER] = pose.USUAL
        return Donor(np.zeros((DONOR_SIDE, DONOR_SIDE, 3), np.float32), points)  # type: ignore[arg-type]
    return np.zeros(models.latent_shape(config), np.float32)


def default_batch_size() -> int:
    """Says how many faces are painted per call where nobody chooses."""
    return 1 if jax.default_backend() == "cpu" else 16


def warm_up(
    weights: Weights,
    keypointer: Weights | None = None,
    *,
    batch_size: int | None,
    match_border: bool,
) -> None:
    """Looks at an empty crop and paints it, for a thread to compile ahead of use."""
    config, n = weights.config, len(KEYPOINTS)
    square = (1, config.resolution, config.resolution)
    shapes = ((*square, 3), (*square, 1), (1, n, 2), (1, n), (1, 2, 3))
    with contextlib.suppress(*FAILURES):  # It fails again where it is told of.
        paint(
            [Crops(*(jnp.zeros(shape, jnp.float32) for shape in shapes))],
            [_empty_latent(weights)],
            weights,
            batch_size=batch_size or default_batch_size(),
            match_border=match_border,
        )
        if keypointer is not None:
            side = keypointer.config.resolution
            _look(keypointer, jnp.zeros((1, side, side, 3), jnp.float32))


def overlay(
    frame: UInt[np.ndarray, "h w 3"],
    owner: Int32[np.ndarray, "h w"],
    index: int,
    painted: Painted,
    latent: Any,
    placement: Placement,
    region: Int[np.ndarray, "4"],
    *,
    feather: float,
) -> None:
    """Lays one painted crop over the frame, in place.

    Pixels beyond the region and its feather are not touched. A crop that the frame
    shows enlarged is painted from its layers.
    """
    height, width = frame.shape[:2]
    size = painted.face.shape[0]
    enlargement = 1 / np.sqrt(abs(np.linalg.det(placement.to_crop[:, :2])))
    layers = picture = None
    halvings = 0
    if painted.layers is not None and enlargement > 1:
        layers, picture = painted.layers, latent.image
        # Pixels of the donor for each of the frame: more than one are averaged first.
        per_pixel = picture.shape[0] * CLOSER / (size * enlargement)
        halvings = max(round(np.log2(max(per_pixel, 1))), 0)
    for x, y, side in _tiles(placement, region, feather):
        corner = np.array([x, y], np.float64)
        drawn = _overlay(
            sample.cut_window(frame, x, y, side),
            sample.cut_window(owner, x, y, side),
            np.int32(index),
            painted.face,
            layers,
            picture,
            affine.translate(placement.to_crop, corner).astype(np.float32),
            (region - np.tile(corner, 2)).astype(np.float32),
            np.float32(feather),
            halvings=halvings,
        )
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + side, width), min(y + side, height)
        inner = np.asarray(drawn)[top - y : bottom - y, left - x : right - x]
        frame[top:bottom, left:right] = inner


def predict_keypoints(
    frame: UInt[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"], keypointer: Weights
) -> tuple[Float[np.ndarray, "k 2"], Float[np.ndarray, "k"], float]:
    """Finds the keypoints of one face that is still in its frame.

    Returns:
        x y in frame pixels, the probability that each is visible, and the one that
        there is a face.
    """
    config, size = keypointer.config, keypointer.config.resolution
    side = config.box_scale * max(box[2] - box[0], box[3] - box[1])
    shift = config.box_shift * (box[3] - box[1])
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + shift])
    low = np.floor(centre - side / 2).astype(int) - 2
    x, y, window = int(low[0]), int(low[1]), sample.window_side(float(side) + 4)
    square = np.concatenate([centre - side / 2, centre + side / 2])
    to_crop = affine.square_to_crop(square, size=size)
    stride = max(window // COARSE, 1)
    crops = _crop(
        sample.cut_window(frame, x, y, window, stride=stride),
        sample.window_inside(frame.shape, x, y, window, stride=stride),
        np.full((1, 2), np.nan, np.float32),
        _window_to_crop(to_crop, low, stride),
        size=size,
    )
    # Outside the frame the crop is 0: the mid-grey that the network was trained with.
    points, probability, face = _look(keypointer, crops.image)
    found = points[0].astype(np.float64) * side + square[:2]
    return found, probability[0], float(face[0])


def _look(keypointer: Weights, images: Array) -> tuple[np.ndarray, ...]:
    with PAINTING:
        found = _predict(keypointer.params, images, config=keypointer.config)
    return tuple(map(np.asarray, found))


@functools.partial(jax.jit, static_argnames="size")
def _crop(window, keep, keypoints, to_crop, *, size):
    return align.align(
        _to_image(window)[None],
        keep.astype(jnp.float32)[None, ..., None],
        keypoints[None],
        to_crop[None],
        size=size,
    )


@functools.partial(jax.jit, static_argnames=("config", "match_border"))
def _paint(params, crops, latents, *, config, match_border):
    batch = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *crops)
    drawn = jax.tree.map(lambda *leaves: jnp.stack(leaves), *latents)
    condition, layers = align.condition(batch), None
    if models.latent_kind(config) == "donor":
        painting = donor.paint(config, params, condition, drawn)
        faces = painting.face
        layers = blend.Layers(painting.base, painting.share, painting.plate)
    else:
        faces = models.generate(config, params, condition, drawn)
    if match_border:
        matched = blend.match_border(faces, batch)
        if layers is not None:
            layers = layers._replace(base=layers.base + matched - faces)
        faces = matched
    faces = blend.inpaint(faces, batch)
    finite = jnp.isfinite(faces).all((1, 2, 3))
    if layers is not None:
        layers = layers._replace(
            base=blend.inpaint(layers.base, batch), share=layers.share * batch.mask
        )
        for leaf in jax.tree.leaves(layers):
            finite &= jnp.isfinite(leaf).all(tuple(range(1, leaf.ndim)))
    return Painted(faces, layers), finite


@functools.partial(jax.jit, static_argnames="halvings")
def _overlay(
    window, owner, index, face, layers, picture, to_crop, region, feather, *, halvings
):
    own, other = owner == index, (owner != index) & (owner != NOBODY)
    alpha = blend.soften(own[None], other[None], region[None], feather=feather)
    under = _to_image(window)[None]
    if layers is None:
        image = blend.paste(under, alpha, face[None], to_crop[None])
    else:
        batched = jax.tree.map(lambda x: x[None], layers)
        picture = picture[None]
        for _ in range(halvings):
            picture = filters.halve(picture)
        image = blend.paste_layers(under, alpha, batched, picture, to_crop[None])
    # Pixels that are not painted stay what they were, to the bit.
    return jnp.where(alpha[0] > 0, _to_pixels(image[0], window.dtype), window)


@jax.jit
def _fill(crops):
    keep = 1 - crops.mask
    # What is near the region counts, not the whole crop.
    near = keep * jnp.minimum(filters.blur(crops.mask, sigma=4.0) * 4, 1) + 1e-4 * keep
    return blend.inpaint(filters.fill(crops.image * keep, near), crops)


@functools.partial(jax.jit, static_argnames="config")
def _embed_surroundings(params, condition, *, config):
    return matcher_network.embed_surroundings(config, params, condition)


@functools.partial(jax.jit, static_argnames="config")
def _embed_donors(params, donors, *, config):
    return matcher_network.embed_donors(config, params, donors)


@functools.partial(jax.jit, static_argnames="config")
def _predict(params, images, *, config):
    return keypointer_network.predict(config, params, images)


def _window_to_crop(to_crop, corner, stride: int):
    """Makes a map from frame pixels one from the pixels of a window."""
    moved = affine.translate(to_crop, corner)
    return (moved * [stride, stride, 1]).astype(np.float32)


def _to_image(pixels):
    limit = jnp.iinfo(pixels.dtype).max
    return pixels.astype(jnp.float32) * (2 / limit) - 1


def _to_pixels(image, dtype):
    limit = jnp.iinfo(dtype).max
    return jnp.round(jnp.clip(image * 0.5 + 0.5, 0, 1) * limit).astype(dtype)


def _tiles(placement: Placement, region, feather: float):
    """Yields x, y and side of the windows that cover a region and its feather."""
    if placement.side <= TILE:
        yield placement.x, placement.y, placement.side
        return
    margin = int(np.ceil(max(feather * (region[2:] - region[:2]).max(), 1)))
    x0, y0 = (region[:2] - margin).tolist()
    x1, y1 = (region[2:] + margin).tolist()
    for y in range(y0, y1, TILE):
        for x in range(x0, x1, TILE):
            yield x, y, TILE
