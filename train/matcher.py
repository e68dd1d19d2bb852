"""Trains the matcher: python -m train.matcher --data PACK.npz -o FILE.

Of a batch, each inner face belongs to its own surroundings and to no others (InfoNCE).
A batch is of one collection and of heads that are held alike, so that neither tells
which belong together; nor do sharpness, exposure and pixels at the mask's border.
With labels of sex and age group (`train.people`) faces of the same are half right.
"""

import argparse
import functools
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from jaxanon import weights
from jaxanon.models import matcher
from jaxanon.ops import filters
from jaxanon.pose import shape_of_face
from jaxanon.types import Condition, Donor
from train import augment, donors
from train import faces as packs
from train.config import AugmentConfig
from train.faces import Faces

AUGMENT = AugmentConfig(enlarge=(1.15, 1.45), darken=0.05, blur=0.5)
"""Of the surroundings."""

LIGHT = 0.5
"""How much the light of the inner faces is changed: half as much as that of a painter's
donors, whose colours change; here skin has to stay skin."""

JITTER = 0.01
"""Standard deviation of their keypoints, in crop sides."""

CONTEXT = (1.6, 2.1)
"""Side of the crop in longer sides of the face's box. What lies beyond a stored crop is
masked, as beyond the edge of a photo."""

EASY = 0.4
"""Share of the time in which batches are of all collections. Without it, the vectors
became all alike and stayed so."""

SHARPNESS = 20.0
"""What scores are multiplied by, at first."""

ALIKE = 4
"""A batch is drawn from so many times as many faces, those held most alike."""

MASKED = 1.7
"""Area of an ordinary mask in areas of the face's box."""

KIN = 0.6
"""How much of what is right is any face of the same sex and age group."""

CANDIDATES = 100


class Pairs(NamedTuple):
    """Faces and what is left of each for either tower; ``n`` or ``b`` of them."""

    faces: Faces
    """Crops of the matcher's resolution."""
    inner: Any
    """uint8 [n s s 4], see ``matcher.cut_inner``."""
    labels: Any = None
    """[n 4], probability of a man and of each age group; None = unknown."""


def prepare(faces: Faces, size: int, *, batch_size: int = 64) -> Pairs:
    """Cuts out inner faces once, since that takes longer than a step of training.

    Args:
        faces: Crops of ``size``, twice or four times as large and so on.
        size: Of the matcher.
        batch_size: How many at a time.
    """

    @jax.jit
    def cut(images, keypoints):
        inner = matcher.cut_inner(Donor(images / 127.5 - 1, keypoints), size)
        rgb = (inner[..., :3] + 1) * 127.5
        both = jnp.concatenate([rgb, 255 * inner[..., 3:]], -1)
        while images.shape[1] > size:
            images = filters.halve(images)
        return tuple(
            jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8) for x in (images, both)
        )

    generator = np.random.default_rng(0)
    noise = generator.normal(0, JITTER, faces.keypoints.shape).astype(np.float32)
    count = len(faces.boxes)
    parts = [
        cut(
            np.asarray(faces.images[start : start + batch_size], np.float32),
            (faces.keypoints + noise)[start : start + batch_size],
        )
        for start in range(0, count, batch_size)
    ]
    images, inner = (np.concatenate(side) for side in zip(*parts, strict=True))
    return Pairs(faces._replace(images=images), inner)


def take(pairs: Pairs, index) -> Pairs:
    """Selects by index."""
    labels = None if pairs.labels is None else pairs.labels[index]
    return Pairs(packs.take(pairs.faces, index), pairs.inner[index], labels)


def draw_condition(keys: PRNGKeyArray, faces: Faces, config, size: int) -> Condition:
    """Makes erased crops, placed as in use.

    Args:
        keys: One per face.
        faces: uint8 crops.
        config: Of ``augment``.
        size: Side of the result in pixels.
    """
    crops = augment.augment(keys, faces, config, keypoint_score=0.0)
    seen = jnp.concatenate([crops.image, jnp.ones_like(crops.mask)], -1)
    place = functools.partial(_place, config=config, size=size)
    seen = jax.vmap(place)(keys, seen * (1 - crops.mask), jnp.asarray(faces.boxes))
    return Condition(seen[..., :3], 1 - seen[..., 3:], crops.keypoints, crops.visible)


def _place(key, seen: Array, box: Array, *, config, size: int) -> Array:
    """Shrinks what is seen until the crop is as wide as in use; 0 beyond it."""
    middle = (box[:2] + box[2:]) / 2
    mirrored = middle.at[0].set(1 - middle[0])
    middle = jnp.where(augment.draw_flip(key, config), mirrored, middle)
    side = (box[2:] - box[:2]).max()
    key_context, key_shift = jax.random.split(jax.random.fold_in(key, 12))
    low, high = CONTEXT
    context = jax.random.uniform(key_context, minval=low, maxval=high)
    share = 1 / (context * side)  # Of the stored crop, in sides of the new one.
    shift = jax.random.uniform(key_shift, (2,), minval=-0.03, maxval=0.03)
    scale = jnp.full(2, share * size / seen.shape[0])
    start = size * (0.5 + shift - share * middle)
    return jax.image.scale_and_translate(
        seen, (size, size, seen.shape[-1]), (0, 1), scale, start, "linear"
    )


def draw_inner(
    keys: PRNGKeyArray, inner: UInt8[Array, "b s s 4"]
) -> Float[Array, "b s s 4"]:
    """Relights and mirrors inner faces and changes their sharpness."""

    def one(key: jax.Array, inner: Array) -> Array:
        key_flip, key_light, key_blur = jax.random.split(jax.random.fold_in(key, 13), 3)
        inner = jnp.where(jax.random.bernoulli(key_flip), inner[:, ::-1], inner)
        rgb, mask = inner[..., :3] / 127.5 - 1, inner[..., 3:] / 255
        rgb = donors.relight(key_light, rgb, LIGHT)
        rgb = augment.soften(key_blur, rgb, probability=0.6)
        return jnp.concatenate([rgb * mask, mask], -1)

    return jax.vmap(one)(keys, inner)


def loss(
    state: dict[str, Any], key: jax.Array, pairs: Pairs, config: matcher.MatcherConfig
) -> Float[Array, ""]:
    """Cross-entropy of who belongs to whom, from both sides."""
    keys = jax.random.split(key, len(pairs.inner))
    condition = draw_condition(keys, pairs.faces, AUGMENT, config.resolution)
    around = matcher.embed_surroundings(config, state["params"], condition)
    inner = draw_inner(keys, pairs.inner)
    inner = matcher.embed_inner(config, state["params"], inner)
    logits = jnp.exp(jnp.minimum(state["sharpness"], 4.0)) * (around @ inner.T)
    right = jnp.eye(len(logits))
    if pairs.labels is not None:
        alike = share_alike(pairs.labels)
        right = (1 - KIN) * right + KIN * alike / alike.sum(1, keepdims=True)
    entropy = optax.softmax_cross_entropy
    return jnp.mean(entropy(logits, right) + entropy(logits.T, right)) / 2


def share_alike(labels: Float[Array, "b 4"]) -> Float[Array, "b b"]:
    """Returns the probability that two faces are of one sex and one age group."""
    man, groups = labels[:, :1], labels[:, 1:]
    sex = man @ man.T + (1 - man) @ (1 - man).T
    return sex * (groups @ groups.T)


class Batches:
    """Draws batches of one collection whose heads are held alike.

    Collections are drawn by the root of their size, since small ones hold other ages
    and skins, and by how much of their pictures is not masked.

    Args:
        faces: Training faces.
        licences: One per face; they tell the collection.
    """

    def __init__(self, faces: Faces, licences: Sequence[str]):
        turns = np.array([_turn(points) for points in np.asarray(faces.keypoints)])
        names = np.array(licences)
        self.sources = [
            found[np.argsort(turns[found], kind="stable")]
            for found in (np.flatnonzero(names == name) for name in np.unique(names))
        ]
        areas = np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], 1)
        self.shares = [
            np.sqrt(len(source)) * max(1 - MASKED * np.median(areas[source]), 0.05)
            for source in self.sources
        ]

    def draw_mixed(
        self, generator: np.random.Generator, size: int
    ) -> Int[np.ndarray, "b"]:
        """Draws the indices of a batch of all collections, which are told apart."""
        shares = np.concatenate(
            [
                np.full(len(source), share / len(source))
                for source, share in zip(self.sources, self.shares, strict=True)
            ]
        )
        drawn = generator.choice(len(shares), size, False, shares / shares.sum())
        return np.concatenate(self.sources)[drawn].astype(np.int32)

    def draw(self, generator: np.random.Generator, size: int) -> Int[np.ndarray, "b"]:
        """Draws the indices of one batch."""
        large = [i for i, source in enumerate(self.sources) if len(source) >= size]
        if not large:
            raise ValueError(f"No collection has the {size} faces of a batch.")
        shares = np.array([self.shares[i] for i in large])
        source = self.sources[generator.choice(large, p=shares / shares.sum())]
        start = generator.integers(max(len(source) - ALIKE * size, 0) + 1)
        alike = source[start : start + ALIKE * size]
        return generator.choice(alike, size, replace=False).astype(np.int32)


def _turn(keypoints: Float[np.ndarray, "k 2"]) -> float:
    """Says how far a head is turned to either side."""
    return float(abs(shape_of_face(keypoints)[0]))


def train(
    face_set: packs.FaceSet,
    config: matcher.MatcherConfig,
    *,
    batch_size: int,
    seconds: float,
    steps: int,
    rate: float = 1.5e-3,
    seed: int = 0,
    init: Any = None,
    labels: Float[np.ndarray, "n 4"] | None = None,
) -> tuple[Any, float, int]:
    """Trains until the steps are done or the time is up.

    The learning rate follows the share of time or steps that has gone, so that it ends
    at zero however fast the machine is.

    Args:
        face_set: Training faces.
        config: Of the matcher.
        batch_size: Faces that are told apart.
        seconds: After the first step, which compiles.
        steps: At most.
        rate: Highest learning rate.
        seed: Of all that is drawn.
        init: Parameters to go on from.
        labels: See ``Pairs``.

    Returns:
        Parameters (a moving average), what scores are multiplied by, images seen.
    """
    key, generator = jax.random.key(seed), np.random.default_rng(seed)
    params = init or jax.jit(functools.partial(matcher.init, config=config))(key)
    state = {"params": params, "sharpness": jnp.log(SHARPNESS)}
    optimizer = optax.adam(1.0, b2=0.99)
    moments = optimizer.init(state)
    batches = Batches(face_set.faces, face_set.licences)
    pairs = prepare(face_set.faces, config.resolution)._replace(labels=labels)

    @jax.jit
    def update(state, ema, moments, key, pairs, rate, step):
        value, grads = jax.value_and_grad(loss)(state, key, pairs, config)
        changes, moments = optimizer.update(grads, moments)
        state = jax.tree.map(lambda p, c: p + rate * c, state, changes)
        keep = jnp.minimum(0.995, step / (10 + step))
        ema = jax.tree.map(lambda e, p: keep * e + (1 - keep) * p, ema, state)
        return state, ema, moments, value

    easy = 0.0 if init else EASY
    ema, start, step, done, values = state, None, 0, 0.0, []
    while done < 1:
        draw = batches.draw_mixed if done < easy else batches.draw
        batch = take(pairs, draw(generator, batch_size))
        now = rate * min(1, step / 100) * 0.5 * (1 + np.cos(np.pi * done))
        state, ema, moments, value = update(
            state, ema, moments, jax.random.fold_in(key, step), batch, now, step
        )
        values.append(float(value))
        step += 1
        if step % 50 == 0:
            mean = np.mean(values[-50:])
            logging.info("step %d, %.2f done, loss %.3f", step, done, mean)
        start = start or time.perf_counter()
        done = max(step / steps, (time.perf_counter() - start) / seconds)
    return ema["params"], float(jnp.exp(ema["sharpness"])), step * batch_size


def evaluate(
    face_set: packs.FaceSet,
    config: matcher.MatcherConfig,
    params: Any,
    *,
    batch_size: int = 50,
) -> dict[str, Any]:
    """Measures how often the right face is among the best of its collection.

    The surroundings are erased by masks as in use and the faces changed as in training.

    Returns:
        Of each collection that is large enough: how often the right one of a hundred is
        the first, and among the first ten.
    """

    @jax.jit
    def embed(keys, batch):
        size = config.resolution
        condition = draw_condition(keys, batch.faces, augment.NOTHING, size)
        return (
            matcher.embed_surroundings(config, params, condition),
            matcher.embed_inner(config, params, draw_inner(keys, batch.inner)),
        )

    count = len(face_set.licences)
    keys = jax.random.split(jax.random.key(0), count)
    pairs = prepare(face_set.faces, config.resolution)
    parts = [
        embed(keys[rows], take(pairs, rows))
        for rows in np.split(np.arange(count), range(batch_size, count, batch_size))
    ]
    around, inner = (np.concatenate(side) for side in zip(*parts, strict=True))
    names, generator = np.array(face_set.licences), np.random.default_rng(0)
    report = {}
    for name in np.unique(names):
        found = np.flatnonzero(names == name)
        if len(found) < CANDIDATES:
            continue
        ranks = []
        for index in found:
            others = generator.choice(
                found[found != index], CANDIDATES - 1, replace=False
            )
            right = around[index] @ inner[index]
            ranks.append(int((inner[others] @ around[index] >= right).sum()))
        report[str(name)] = {
            "faces": len(found),
            "first_of_100": round(float(np.mean(np.array(ranks) < 1)), 3),
            "among_10_of_100": round(float(np.mean(np.array(ranks) < 10)), 3),
        }
    return report


def read_people(file: Path) -> Float[np.ndarray, "n 4"]:
    """Reads what ``train.people`` wrote."""
    with np.load(file) as guessed:
        return np.concatenate([guessed["man"][:, None], guessed["groups"]], 1)


def main() -> None:
    """Trains, measures and writes the weights."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--init", type=Path, help="weights to go on from")
    parser.add_argument("--people", type=Path, help="labels by train.people")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    before = weights.load(args.init) if args.init else None
    config = before.config if before else matcher.MatcherConfig()
    face_set = packs.load(args.data)
    logging.info("%d faces", len(face_set.licences))
    settings = {name: getattr(args, name) for name in ("batch_size", "rate", "seed")}
    params, sharpness, images = train(
        face_set,
        config,
        seconds=60 * args.minutes,
        steps=args.steps,
        init=before.params if before else None,
        labels=read_people(args.people) if args.people else None,
        **settings,
    )
    held_out = packs.load(args.validation)
    if before:
        images += before.provenance.get("images_seen", 0)
    report = evaluate(held_out, config, params)
    logging.info(json.dumps(report))
    provenance = {
        "program": "train.matcher",
        "faces": len(face_set.licences),
        "images_seen": images,
        "licence": "research and non-commercial use",
        "sources": sorted(set(face_set.licences)),
        "sharpness": round(sharpness, 2),
        "validation_faces": len(held_out.licences),
        "validation": report,
    }
    weights.save(args.out, config.kind, config, params, provenance, dtype="float16")


if __name__ == "__main__":
    main()
