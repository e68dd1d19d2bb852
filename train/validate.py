"""The cheap checks during training: a grid of samples and a few distances.

``train.evaluate`` measures everything; this needs no other network.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxanon import align, blend, models
from jaxanon import paint as steps
from jaxanon.donors import choose
from jaxanon.types import Crops, Donor
from train import augment, donors, log
from train.config import TrainConfig, draws_posterior, paints_donors
from train.data import Dataset
from train.state import TrainState

SHOWN = 8
BATCH = 16


class Validation(NamedTuple):
    """Held-out crops, never augmented, and the config to look at them with."""

    config: TrainConfig
    crops: Crops
    donors: Donor | None
    """Each face as its own donor; of a painter of donors."""
    near: np.ndarray
    """[n c] the faces whose heads are held most alike, of a painter of donors."""


def make_validation(
    config: TrainConfig, dataset: Dataset, mask_scale: float = augment.MASK_SCALE
) -> Validation:
    """Reads evenly spaced held-out faces."""
    nothing = dataclasses.replace(augment.NOTHING, enlarge=(mask_scale, mask_scale))
    chosen = spread(dataset.size, config.evaluate_faces)
    count = len(chosen)
    faces = [dataset.read(int(index)) for index in chosen]
    faces = jax.tree.map(lambda *leaves: np.stack(leaves), *faces)
    keys = jax.random.split(jax.random.key(0), count)
    crops = jax.jit(
        lambda keys, faces: augment.augment(
            keys,
            faces,
            nothing,
            keypoint_score=config.data.keypoint_score,
        )
    )(keys, faces)
    if not paints_donors(config):
        return Validation(
            config, jax.device_get(crops), None, np.zeros((count, 0), int)
        )
    own = Donor(faces.images.astype(np.float32) / 127.5 - 1, faces.keypoints)
    near = donors.find_nearest(faces.keypoints, config.donors.nearest)
    return Validation(config, jax.device_get(crops), own, near)


def spread(size: int, count: int) -> np.ndarray:
    """Returns the indices of evenly spaced faces of a set; at most all."""
    return np.linspace(0, size - 1, min(count, size)).astype(int)


@functools.partial(jax.jit, static_argnums=0, static_argnames="match_border")
def _paint(config, params, crops, latent, *, match_border=False):
    faces = models.generate(config, params, align.condition(crops), latent)
    if match_border:
        faces = blend.match_border(faces, crops)
    return blend.inpaint(faces, crops)


@functools.partial(jax.jit, static_argnums=0)
def encode(config, params, crops):
    """Returns means and log variances of the posteriors, ``[b 2 z]``."""
    return jnp.stack(models.encode(config, params, crops.image, crops.mask), 1)


def paint(validation: Validation, state: TrainState, seed: int) -> np.ndarray:
    """Paints the held-out crops with the EMA and random z.

    Where the generator has never seen N(0, I), z is that of other held-out faces; so
    are donors.
    """
    config, crops = validation.config, validation.crops
    params = jax.device_get(state.generator_ema)
    if validation.donors is not None:
        others = validation.near[: len(crops.mask), seed % validation.near.shape[1]]
        drawn = jax.tree.map(lambda x: x[others], validation.donors)
        return in_batches(
            functools.partial(_paint, config.generator, params), crops, drawn
        )
    if not draws_posterior(config):
        return paint_faces(config.generator, params, crops, seed)
    z = np.roll(_encode_means(validation, state), seed + 1, axis=0)
    return in_batches(functools.partial(_paint, config.generator, params), crops, z)


def paint_faces(
    config, params, crops: Crops, seed: int, *, match_border: bool = False
) -> np.ndarray:
    """Paints crops with random z."""
    shape = models.latent_shape(config)
    z = jax.random.normal(jax.random.key(seed), (len(crops.mask), *shape))
    see = functools.partial(_paint, config, params, match_border=match_border)
    return in_batches(see, crops, z)


def pick_donors(crops: Crops, cast: choose.Cast, count: int) -> list[list[choose.Pick]]:
    """Chooses donors for crops as in use: by pose, fit and a key of each crop's.

    Args:
        crops: With the keypoints that are asked for.
        cast: Whom to choose from; its matcher, if any, sees the erased crops.
        count: Different donors for each crop, as if their faces were in one picture.

    Returns:
        For each number a pick for each crop.
    """
    picks: list[list[choose.Pick]] = [[] for _ in range(count)]
    seen = np.asarray(crops.visible)[..., None] > 0
    keypoints = np.where(seen, np.asarray(crops.keypoints, np.float64), np.nan)
    for index, points in enumerate(keypoints):
        fit = None
        if cast.matcher is not None:
            one = jax.tree.map(lambda x, i=index: jnp.asarray(x[i : i + 1]), crops)
            fit = functools.partial(steps.fit, cast.matcher, align.condition(one))
        key, taken = jax.random.fold_in(jax.random.key(0), index), set()
        for number in range(count):
            key_pick = jax.random.fold_in(key, number)
            # In use, a head that no donor is near to is filled without a face.
            pick = choose.choose(
                key_pick, cast, points, fit=fit, taken=taken, far=np.inf
            )
            assert pick is not None
            taken.add(pick.index)
            picks[number].append(pick)
    return picks


def paint_picks(
    config: Any,
    params: Any,
    crops: Crops,
    cast: choose.Cast,
    picks: Sequence[choose.Pick],
    *,
    match_border: bool = False,
) -> np.ndarray:
    """Paints crops from the donors that were picked; see ``pick_donors``."""

    def see(crops: Crops, index: Any) -> Any:
        # Pictures of donors are large: those of one batch at a time.
        read = [choose.read(cast, picks[i]) for i in np.asarray(index).tolist()]
        drawn = jax.tree.map(lambda *leaves: np.stack(leaves), *read)
        return _paint(config, params, crops, drawn, match_border=match_border)

    return in_batches(see, crops, np.arange(len(picks)))


def reconstruct(validation: Validation, state: TrainState) -> np.ndarray:
    """Paints them with the z that the encoder gives."""
    config, crops = validation.config, validation.crops
    params = jax.device_get(state.generator_ema)
    own = validation.donors
    z = _encode_means(validation, state) if own is None else own
    return in_batches(functools.partial(_paint, config.generator, params), crops, z)


def _encode_means(validation: Validation, state: TrainState) -> np.ndarray:
    encoder = jax.device_get(state.generator["encoder"])
    see = functools.partial(encode, validation.config.encoder, encoder)
    return in_batches(see, validation.crops)[:, 0]


def draw_grid(validation: Validation, state: TrainState) -> np.ndarray:
    """Draws rows of: what the generator sees, then four faces of different z."""
    few = validation._replace(crops=jax.tree.map(lambda x: x[:SHOWN], validation.crops))
    columns = [few.crops.image * (1 - few.crops.mask)]
    columns += [paint(few, state, seed) for seed in range(4)]
    return log.make_grid(columns)


def evaluate(validation: Validation, state: TrainState) -> dict[str, float]:
    """Measures distances in the masks, of images in [-1, 1].

    Returns:
        ``reconstruction_l1``: to the real face, with the encoder's z where there is
        one; ``diversity_l1``: between two z; ``detail``: mean gradient over that of
        the real faces (below 1 = blurred).
    """
    crops = validation.crops
    one, two = paint(validation, state, 1), paint(validation, state, 2)
    near = reconstruct(validation, state) if validation.config.posterior else one

    def distance(a, b):
        return float(np.sum(np.abs(a - b) * crops.mask) / crops.mask.sum() / 3)

    def detail(x):
        inner = crops.mask[:, 1:, 1:]
        steps = np.abs(np.diff(x, axis=1)[:, :, 1:]) + np.abs(np.diff(x, axis=2)[:, 1:])
        return float(np.sum(steps * inner))

    return {
        "reconstruction_l1": distance(near, crops.image),
        "diversity_l1": distance(one, two),
        "detail": detail(one) / max(detail(crops.image), 1e-9),
    }


def in_batches(function: Any, *trees: Any) -> np.ndarray:
    """Maps in batches of one size, so that one compilation does."""
    count = len(jax.tree.leaves(trees)[0])
    size = min(BATCH, count)
    parts = []
    for start in range(0, count, size):
        start = min(start, count - size)
        part = jax.tree.map(lambda x, s=start: jnp.asarray(x[s : s + size]), trees)
        parts.append((start, np.asarray(function(*part))))
    out = np.empty((count, *parts[0][1].shape[1:]), parts[0][1].dtype)
    for start, part in parts:
        out[start : start + size] = part
    return out
