"""Trains the keypoint network: python -m train.keypointer --data DIR -o FILE.

DIR holds ``train`` and ``val``, each with ``images/<i>.webp``, ``keypoints.npy``
[n 9 2] in crop sides, ``scores.npy`` [n 7] (0 = the label is a guess) and ``box.npy``
[n 4] in crop sides. The validation errors go into the file's provenance.
"""

import argparse
import functools
import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from PIL import Image

from jaxanon import weights
from jaxanon.models import keypointer
from jaxanon.types import KEYPOINTS, MIRROR

SEEN = 0.5
"""Labels of at least this score count as seen, others as guessed."""

LICENCES = """labels by other networks; LFW, All-Age-Faces, FFHQ (CC BY-NC-SA), US
Congress portraits, Face Mask Detection (CC0): research use"""


class Faces(NamedTuple):
    """Crops with labels; ``n`` or ``b`` of them."""

    images: Any
    """uint8 [n h w 3]."""
    keypoints: Any
    """[n 9 2] in crop sides."""
    scores: Any
    widths: Any
    """Of the face boxes, in crop sides."""


def load(folder: Path) -> Faces:
    """Reads one split."""
    scores = np.load(folder / "scores.npy").astype(np.float32)
    box = np.load(folder / "box.npy").astype(np.float32)
    paths = (folder / "images" / f"{i}.webp" for i in range(len(scores)))
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    # The mouth corners have no scores of their own: the eyes' are used.
    scores = np.concatenate([scores, scores[:, 1:3]], 1)
    keypoints = np.load(folder / "keypoints.npy").astype(np.float32)
    return Faces(images, keypoints, scores, box[:, 2] - box[:, 0])


def augment(key: jax.Array, image, other, keypoints, seen):
    """Mirrors, moves, dims, blurs, cuts and covers one crop.

    Most photos end close to the face, in grey; in some crops ``other``, a crop too,
    takes the place of the grey.

    Returns:
        Image in [-1, 1], keypoints in crop sides and, of each, 1 = seen.
    """
    names = ("mirror", "move", "fill", "light", "blur", "border", "cover")
    keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
    image = image.astype(jnp.float32) / 127.5 - 1
    order = jnp.array(MIRROR)
    is_mirrored = jax.random.bernoulli(keys["mirror"])
    image = jnp.where(is_mirrored, image[:, ::-1], image)
    mirrored = (keypoints * jnp.array([-1, 1]) + jnp.array([1, 0]))[order]
    keypoints = jnp.where(is_mirrored, mirrored, keypoints)
    seen = jnp.where(is_mirrored, seen[order], seen)

    image, keypoints = _move(keys["move"], image, keypoints)
    is_filled = jax.random.bernoulli(keys["fill"], 0.4)
    other = other[:, ::-1].astype(jnp.float32) / 127.5 - 1
    image = jnp.where(is_filled & ~_is_known(image), other, image)
    gain, bias = 0.25 * jax.random.normal(keys["light"], (2, 3)).at[:, 1:].multiply(0.3)
    gain, bias = jnp.cumsum(gain), jnp.cumsum(bias)
    image = jnp.where(
        _is_known(image), jnp.clip(image * jnp.exp(gain) + bias, -1, 1), 0
    )
    image = _blur(keys["blur"], image)
    image, is_hidden = _paint_border(keys["border"], image, keypoints)
    image, is_covered = _cover(keys["cover"], image, keypoints)
    is_in_crop = ((keypoints > 0) & (keypoints < 1)).all(-1)
    return image, keypoints, seen * is_in_crop * ~is_hidden * ~is_covered


def _is_known(image):
    """Tells what is picture from the grey around it, which is not exactly 0."""
    return (jnp.abs(image) > 0.02).any(-1, keepdims=True)


def _move(key, image, keypoints):
    """Scales, turns and shifts about the middle; grey where nothing is known."""
    scale, turn, shift = jax.random.split(key, 3)
    scale = jnp.exp(0.16 * jax.random.normal(scale))
    angle = 0.22 * jax.random.normal(turn)
    shift = 0.035 * jax.random.normal(shift, (2,))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    matrix = scale * jnp.array([[cos, -sin], [sin, cos]])
    centre = jnp.array([0.5, 0.45])  # x y of an ordinary face
    moved = (keypoints - centre) @ matrix.T + centre + shift
    side = image.shape[0]
    grid = (jnp.arange(side) + 0.5) / side
    points = jnp.stack(jnp.meshgrid(grid, grid), -1)  # [h w 2], x y
    source = (points - centre - shift) @ jnp.linalg.inv(matrix).T + centre
    x, y = source[..., 0] * side - 0.5, source[..., 1] * side - 0.5
    sample = functools.partial(
        jax.scipy.ndimage.map_coordinates, coordinates=[y, x], order=1
    )
    return jax.vmap(sample, in_axes=-1, out_axes=-1)(image), moved


def _blur(key, image):
    """Makes some faces as coarse as those of small ones, 32 or 16 px across a crop."""
    choice = jax.random.uniform(key)
    side = image.shape[0]

    def coarsen(factor):
        blocks = image.reshape(side // factor, factor, side // factor, factor, 3)
        return jax.image.resize(blocks.mean((1, 3)), image.shape, "linear")

    image = jnp.where(choice < 0.25, coarsen(3), image)
    return jnp.where(choice < 0.1, coarsen(6), image)


def _paint_border(key, image, keypoints):
    """Cuts a crop off at one side as the border of a photo would."""
    is_cut, side, depth = jax.random.split(key, 3)
    depth = jax.random.uniform(depth, maxval=0.45) * jax.random.bernoulli(is_cut, 0.3)
    side = jax.random.randint(side, (), 0, 4)

    def is_beyond(x, y):
        return jnp.stack([x, y, 1 - x, 1 - y])[side] < depth

    grid = (jnp.arange(image.shape[0]) + 0.5) / image.shape[0]
    mask = is_beyond(*jnp.meshgrid(grid, grid))
    return jnp.where(mask[..., None], 0, image), is_beyond(*keypoints.T)


def _cover(key, image, keypoints):
    """Covers a part with a coloured box, as a hand or another head would."""
    is_on, corner, size, colour, rough = jax.random.split(key, 5)
    low = jax.random.uniform(corner, (2,), minval=0.1, maxval=0.75)
    size = jax.random.uniform(size, (2,), minval=0.08, maxval=0.35)
    high = low + size * jax.random.bernoulli(is_on, 0.35)

    def is_under(x, y):
        return (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])

    grid = (jnp.arange(image.shape[0]) + 0.5) / image.shape[0]
    mask = is_under(*jnp.meshgrid(grid, grid))
    paint = jax.random.uniform(colour, (3,), minval=-1)
    paint = paint + 0.15 * jax.random.normal(rough, image.shape)
    return jnp.where(mask[..., None], paint, image), is_under(*keypoints.T)


def loss(params, key: jax.Array, faces: Faces, config) -> Float[Array, ""]:
    """Distance in face widths, weighted by how sure the label is, and visibility."""
    seen = (faces.scores >= SEEN).astype(jnp.float32)
    keys = jax.random.split(key, len(faces.images))
    images, keypoints, visible = jax.vmap(augment)(
        keys, faces.images, jnp.roll(faces.images, 1, 0), faces.keypoints, seen
    )
    found, logits = keypointer.predict_logits(config, params, images)
    # Every crop has the face box as a third of its side.
    squares = jnp.sum((found - keypoints) ** 2, -1) * config.box_scale**2
    # Far outside the crop there is nothing to learn from.
    is_near = ((keypoints > -0.05) & (keypoints < 1.05)).all(-1)
    weight = (0.1 + faces.scores) * is_near * (0.3 + 0.7 * visible)
    distance = jnp.sum(jnp.sqrt(squares + 1e-6) * weight) / jnp.sum(weight)
    visibility = optax.sigmoid_binary_cross_entropy(logits, visible).mean()
    return distance + 0.1 * visibility


def train(
    faces: Faces,
    config,
    *,
    batch_size: int,
    seconds: float,
    steps: int,
    seed: int = 0,
    init: Any = None,
):
    """Trains until the steps are done or the time is up; returns EMA and images seen.

    The learning rate follows the share of time or steps that has gone, so that it ends
    at zero however fast the machine is. ``init`` = parameters to go on from.
    """
    key = jax.random.key(seed)
    rng = np.random.default_rng(seed)
    params = init or jax.jit(functools.partial(keypointer.init, config=config))(key)
    optimizer = optax.scale_by_adam(b2=0.99)
    state = optimizer.init(params)

    @jax.jit
    def update(params, ema, state, key, batch, rate, step):
        value, grads = jax.value_and_grad(loss)(params, key, batch, config)
        grads, state = optimizer.update(grads, state)
        params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
        keep = jnp.minimum(0.998, step / (10 + step))
        ema = jax.tree.map(lambda e, p: keep * e + (1 - keep) * p, ema, params)
        return params, ema, state, value

    ema, start, step, done = params, None, 0, 0.0
    while done < 1:
        rows = rng.integers(len(faces.images), size=batch_size)
        batch = Faces(*(field[rows] for field in faces))
        rate = 2e-3 * min(1, step / 100) * 0.5 * (1 + np.cos(np.pi * done))
        params, ema, state, value = update(
            params, ema, state, jax.random.fold_in(key, step), batch, rate, step
        )
        if step % 50 == 0:
            logging.info("step %d, %.2f done, loss %.4f", step, done, float(value))
        step += 1
        start = start or time.perf_counter()  # the first step compiles
        done = max(step / steps, (time.perf_counter() - start) / seconds)
    return ema, step * batch_size


def evaluate(faces: Faces, config, params, *, batch_size: int = 50) -> dict[str, Any]:
    """Measures the distance to the labels, in face widths, of seen and guessed ones."""
    predict = jax.jit(functools.partial(keypointer.predict, config))
    found, visible = [], []
    for start in range(0, len(faces.images), batch_size):
        crops = faces.images[start : start + batch_size].astype(np.float32) / 127.5 - 1
        points, probability = predict(params, crops)
        found.append(np.asarray(points))
        visible.append(np.asarray(probability))
    errors = np.linalg.norm(np.concatenate(found) - faces.keypoints, axis=-1)
    errors /= faces.widths[:, None]
    seen = faces.scores >= SEEN
    agrees = (np.concatenate(visible) >= 0.5) == seen
    return {
        name: {
            "seen": _summarize(errors[seen[:, i], i]),
            "guessed": _summarize(errors[~seen[:, i], i]),
            "visibility_accuracy": round(float(agrees[:, i].mean()), 4),
        }
        for i, name in enumerate(KEYPOINTS)
    }


def _summarize(errors: np.ndarray) -> dict[str, Any]:
    if not len(errors):
        return {"faces": 0}
    median, ninety = np.percentile(errors, [50, 90])
    return {
        "faces": len(errors),
        "median_face_widths": round(float(median), 4),
        "ninety_percent_face_widths": round(float(ninety), 4),
    }


def main() -> None:
    """Trains, measures and writes the weights."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--init", type=Path, help="weights to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="how many faces of a split to use")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    before = weights.load(args.init) if args.init else None
    config = before.config if before else keypointer.KeypointerConfig()
    faces = Faces(*(field[: args.limit] for field in load(args.data / "train")))
    logging.info("%d faces", len(faces.images))
    settings = {name: getattr(args, name) for name in ("batch_size", "seconds", "seed")}
    init = before.params if before else None
    params, images = train(faces, config, steps=args.steps, init=init, **settings)
    held_out = Faces(*(field[: args.limit] for field in load(args.data / "val")))
    if before:
        images += before.provenance.get("images_seen", 0)
    report = evaluate(held_out, config, params)
    logging.info(json.dumps(report))
    provenance = {
        "program": "train.keypointer",
        "faces": len(faces.images),
        "images_seen": images,
        "licence": "research and non-commercial use",
        "sources": LICENCES.replace("\n", " "),
        "validation_faces": len(held_out.images),
        "validation": report,
    }
    weights.save(args.out, config.kind, config, params, provenance, dtype="float16")


if __name__ == "__main__":
    main()
