"""Trains the keypoint network: python -m train.keypointer --data FILE -o FILE.

The data are one ``.npz`` of ``Crops``: faces, and crops without a face in the box. The
validation errors go into the file's provenance.
"""

import argparse
import functools
import io
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

SIDES = ("left", "right")

SEEN = 0.5
"""Labels of at least this score count as seen, others as guessed."""

LICENCES = """labels by other networks; LFW, All-Age-Faces, FFHQ (CC BY-NC-SA), US
Congress portraits, Face Mask Detection (CC0), SFHQ, SFHQ-T2I (MIT), faker (CC0),
CIPLAB, StyleGAN (CC BY-NC): research use"""


UNKNOWN = -9.0
"""Stands for keypoints that nobody knows; far outside the crop."""

COVERED = 0.5
"""Of a face that is covered to this share it is not asked whether it is one."""


class Crops(NamedTuple):
    """Crops with labels; ``n`` or ``b`` of them."""

    images: Any
    """uint8 [n h w 3], by ``cut``."""
    keypoints: Any
    """[n 11 2] in crop sides; UNKNOWN where there is no label."""
    scores: Any
    """[n 11], how sure each label is."""
    widths: Any
    """[n], of the boxes, in crop sides."""
    faces: Any
    """[n], 1 = there is a face in the box."""
    shares: Any
    """[n], how often each is drawn."""


def load(path: Path) -> Crops:
    """Reads a ``.npz`` of the fields of ``Crops``; keypoints may be NaN."""
    with np.load(path, allow_pickle=False) as file:
        crops = Crops(*(file[name] for name in Crops._fields))
    images, keypoints, *others = crops
    known = np.nan_to_num(keypoints.astype(np.float32), nan=UNKNOWN)
    return Crops(images, known, *(field.astype(np.float32) for field in others))


def cut(
    pixels: np.ndarray, box: np.ndarray, config: keypointer.KeypointerConfig
) -> tuple[np.ndarray, np.ndarray, float]:
    """Cuts a training crop as ``KeypointerConfig`` says.

    Returns:
        uint8 [h w 3], grey outside the picture; its upper left corner and its side in
        pixels of the picture.
    """
    size = config.resolution
    side = config.box_scale * float(max(box[2] - box[0], box[3] - box[1]))
    centre = (box[:2] + box[2:]) / 2 + [0, config.box_shift * (box[3] - box[1])]
    low = centre - side / 2
    first = np.floor(low).astype(int)
    window = np.full((*[int(side) + 3] * 2, 3), 128, np.uint8)
    start = np.maximum(-first, 0)
    x, y = np.maximum(first, 0)
    inside = pixels[
        y : max(first[1] + len(window), 0), x : max(first[0] + len(window), 0)
    ]
    height, width = inside.shape[:2]
    window[start[1] : start[1] + height, start[0] : start[0] + width] = inside
    source = (*(low - first), *(low - first + side))
    image = Image.fromarray(window)
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=source)
    return np.asarray(image), low, side


def is_grey(image: np.ndarray) -> np.ndarray:
    """Tells what is outside the picture, or as grey as that."""
    return (np.abs(image.astype(np.int16) - 128) <= 2).all(-1)


def degrade(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Makes a crop as coarse as that of a small face in a JPEG picture."""
    size, quality = int(rng.integers(24, 65)), int(rng.integers(25, 86))
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    small.save(file, "jpeg", quality=quality)
    coarse = Image.open(file).resize(image.shape[:2], Image.Resampling.BILINEAR)
    return np.where(is_grey(image)[..., None], np.uint8(128), np.asarray(coarse))


def augment(key: jax.Array, image, other, keypoints, seen):
    """Mirrors, masks, moves, dims, blurs, cuts and covers one crop.

    Most photos end close to the face, in grey, which must not give a face away: others
    are cut to such a frame too, and ``other``, a crop without grey, fills most frames.

    Returns:
        Image in [-1, 1], keypoints in crop sides, of each, 1 = seen, and the share of
        the face that nothing covers.
    """
    names = "mirror mask frame move fill light blur border cover".split()
    keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
    image = image.astype(jnp.float32) / 127.5 - 1
    order = jnp.array(MIRROR)
    is_mirrored = jax.random.bernoulli(keys["mirror"])
    image = jnp.where(is_mirrored, image[:, ::-1], image)
    mirrored = (keypoints * jnp.array([-1, 1]) + jnp.array([1, 0]))[order]
    keypoints = jnp.where(is_mirrored, mirrored, keypoints)
    seen = jnp.where(is_mirrored, seen[order], seen)

    image, is_masked = _mask(keys["mask"], image, keypoints)
    image = _frame(keys["frame"], image)
    # The face's box, too, is followed through all that comes.
    image, moved = _move(keys["move"], image, jnp.concatenate([keypoints, _box()]))
    is_filled = jax.random.bernoulli(keys["fill"], 0.75)
    other = other[:, ::-1].astype(jnp.float32) / 127.5 - 1
    image = jnp.where(is_filled & ~_is_known(image), other, image)
    image = jnp.where(_is_known(image), _light(keys["light"], image), 0)
    image = _blur(keys["blur"], image)
    image, is_hidden = _paint_border(keys["border"], image, moved)
    image, is_covered = _cover(keys["cover"], image, moved)
    is_in_crop = ((moved > 0) & (moved < 1)).all(-1)
    is_open = is_in_crop & ~is_hidden & ~is_covered
    n = len(keypoints)
    return image, moved[:n], seen * is_open[:n] * ~is_masked, is_open[n:].mean()


def _box():
    """Returns points all over the box of a face in a crop."""
    steps = jnp.linspace(-1, 1, 5) / 7
    x, y = jnp.meshgrid(0.5 + 0.8 * steps, 0.42 + steps)
    return jnp.stack([x.ravel(), y.ravel()], -1)


def _frame(key, image):
    """Ends some pictures close around the box, in grey, as tight photos do."""
    is_on, low, high = jax.random.split(key, 3)
    low = jax.random.uniform(low, (2,)) * jnp.array([0.32, 0.24])
    high = 1 - jax.random.uniform(high, (2,)) * jnp.array([0.32, 0.4])
    grid = (jnp.arange(image.shape[0]) + 0.5) / image.shape[0]
    x, y = jnp.meshgrid(grid, grid)
    is_inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    is_inside |= ~jax.random.bernoulli(is_on, 0.4)
    return jnp.where(is_inside[..., None], image, 0)


def _mask(key, image, keypoints):
    """Covers mouth and nose of some faces as a medical mask would."""
    is_on, depth, colour, rough = jax.random.split(key, 4)
    left, right = (keypoints[KEYPOINTS.index(side + "_eye")] for side in SIDES)
    corners = (keypoints[KEYPOINTS.index(side + "_mouth")] for side in SIDES)
    eyes = (left + right) / 2
    down = sum(corners) / 2 - eyes
    is_known = (jnp.abs(jnp.stack([left, right, eyes + down])) < 1).all()
    is_on = jax.random.bernoulli(is_on, 0.12) & is_known
    square = jnp.maximum(down @ down, 1e-6)
    top = jax.random.uniform(depth, minval=0.2, maxval=0.6)

    def is_under(x, y):
        away = jnp.stack([x, y], -1) - eyes
        along = away @ down / square
        across = away @ jnp.array([-down[1], down[0]]) / square
        round_end = jnp.abs(across) < 1 - 0.5 * jnp.maximum(along - 0.8, 0)
        return is_on & (along > top) & (along < 1.75) & round_end

    grid = (jnp.arange(image.shape[0]) + 0.5) / image.shape[0]
    paint = jax.random.uniform(colour, (3,), minval=-1) + 0.1 * jax.random.normal(
        rough, image.shape
    )
    is_cloth = is_under(*jnp.meshgrid(grid, grid))[..., None] & _is_known(image)
    # A little of what is below remains, as folds and shadows.
    image = jnp.where(is_cloth, jnp.clip(paint + 0.25 * image, -1, 1), image)
    return image, is_under(*keypoints.T)


def _light(key, image):
    """Changes gain, colour and, of some, makes night."""
    colour, is_night, night = jax.random.split(key, 3)
    gain, bias = 0.25 * jax.random.normal(colour, (2, 3)).at[:, 1:].multiply(0.3)
    gain, bias = jnp.cumsum(gain), jnp.cumsum(bias)
    image = jnp.clip(image * jnp.exp(gain) + bias, -1, 1)
    night = jax.random.uniform(night, minval=-2.5) * jax.random.bernoulli(is_night, 0.2)
    return (image + 1) * jnp.exp(night) - 1


def _is_known(image):
    """Tells what is picture from the grey around it, which is not exactly 0."""
    return (jnp.abs(image) > 0.02).any(-1, keepdims=True)


def _move(key, image, keypoints):
    """Scales, turns and shifts about the middle; grey where nothing is known."""
    scale, turn, shift = jax.random.split(key, 3)
    scale = jnp.exp(0.16 * jax.random.normal(scale))
    angle = 0.22 * jax.random.normal(turn)
    shift = 0.04 * jax.random.normal(shift, (2,))
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


def loss(params, key: jax.Array, crops: Crops, others, config) -> Float[Array, ""]:
    """Distance in face widths, weighted by how sure labels are, visibility, verdict.

    ``others`` [b h w 3] fill the grey.
    """
    seen = (crops.scores >= SEEN).astype(jnp.float32)
    keys = jax.random.split(key, len(crops.images))
    images, keypoints, visible, share = jax.vmap(augment)(
        keys, crops.images, others, crops.keypoints, seen
    )
    found, logits, face = keypointer.predict_logits(config, params, images)
    # Every crop has the face box as a third of its side.
    squares = jnp.sum((found - keypoints) ** 2, -1) * config.box_scale**2
    # Far outside the crop there is nothing to learn from.
    is_near = ((keypoints > -0.05) & (keypoints < 1.05)).all(-1)
    weight = (0.1 + crops.scores) * is_near * (0.3 + 0.7 * visible)
    distance = jnp.sum(jnp.sqrt(squares + 1e-6) * weight)
    distance = distance / jnp.maximum(jnp.sum(weight), 1e-6)
    is_known = (crops.keypoints > UNKNOWN / 2).all(-1)
    entropy = optax.sigmoid_binary_cross_entropy(logits, visible)
    visibility = jnp.sum(entropy * is_known) / jnp.maximum(jnp.sum(is_known), 1)
    # What is wholly covered is neither.
    is_asked = (crops.faces == 0) | (share > 1 - COVERED)
    verdict = optax.sigmoid_binary_cross_entropy(face, crops.faces)
    return distance + 0.1 * visibility + 0.2 * jnp.mean(verdict * is_asked)


def widen(params: Any, config: keypointer.KeypointerConfig, key: jax.Array) -> Any:
    """Takes over what a network knows that found fewer keypoints or had no verdict.

    New keypoints begin as the last known ones.
    """
    new = weights.flatten(
        jax.jit(functools.partial(keypointer.init, config=config))(key)
    )
    for name, known in weights.flatten(params).items():
        extra = new[name].shape[-1] - known.shape[-1]
        new[name] = jnp.concatenate([known, known[..., known.shape[-1] - extra :]], -1)
    return weights.unflatten(new)


def train(
    crops: Crops,
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
    drawn = np.cumsum(crops.shares.astype(np.float64))
    drawn /= drawn[-1]
    whole = np.flatnonzero([is_grey(image).mean() < 0.05 for image in crops.images])
    if not len(whole):
        whole = np.arange(len(crops.images))
    optimizer = optax.scale_by_adam(b2=0.99)
    state = optimizer.init(params)

    @jax.jit
    def update(params, ema, state, key, batch, others, rate, step):
        value, grads = jax.value_and_grad(loss)(params, key, batch, others, config)
        grads, state = optimizer.update(grads, state)
        params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
        keep = jnp.minimum(0.998, step / (10 + step))
        ema = jax.tree.map(lambda e, p: keep * e + (1 - keep) * p, ema, params)
        return params, ema, state, value

    ema, start, step, done = params, None, 0, 0.0
    while done < 1:
        rows = np.searchsorted(drawn, rng.random(batch_size))
        batch = Crops(*(field[rows] for field in crops))
        for row in np.flatnonzero(rng.random(batch_size) < 0.2):
            batch.images[row] = degrade(rng, batch.images[row])
        rate = 2e-3 * min(1, step / 100) * 0.5 * (1 + np.cos(np.pi * done))
        others = crops.images[rng.choice(whole, batch_size)]
        step_key = jax.random.fold_in(key, step)
        params, ema, state, value = update(
            params, ema, state, step_key, batch, others, rate, step
        )
        if step % 50 == 0:
            logging.info("step %d, %.2f done, loss %.4f", step, done, float(value))
        step += 1
        start = start or time.perf_counter()  # the first step compiles
        done = max(step / steps, (time.perf_counter() - start) / seconds)
    return ema, step * batch_size


def evaluate(crops: Crops, config, params, *, batch_size: int = 50) -> dict[str, Any]:
    """Measures the distance to the labels, in face widths, of seen and guessed ones."""
    found, visible, _ = _predict(crops, config, params, batch_size)
    errors = np.linalg.norm(found - crops.keypoints, axis=-1)
    errors /= crops.widths[:, None]
    seen, known = crops.scores >= SEEN, crops.keypoints[..., 0] > UNKNOWN / 2
    agrees = (visible >= 0.5) == seen
    return {
        name: {
            "seen": _summarize(errors[(known & seen)[:, i], i]),
            "guessed": _summarize(errors[(known & ~seen)[:, i], i]),
            "visibility_accuracy": round(float(agrees[known[:, i], i].mean()), 4),
        }
        for i, name in enumerate(KEYPOINTS)
        if known[:, i].any()
    }


def judge(crops: Crops, config, params, *, batch_size: int = 50) -> dict[str, Any]:
    """Measures how well faces are told from what is none.

    Returns:
        For some shares of faces that may be lost, the threshold and the share of the
        rest that is then rejected.
    """
    _, _, face = _predict(crops, config, params, batch_size)
    faces, others = face[crops.faces == 1], face[crops.faces == 0]
    report: dict[str, Any] = {"faces": len(faces), "others": len(others)}
    for lost in (0.005, 0.01, 0.02, 0.05):
        # The lowest of the faces that must not be lost.
        threshold = np.sort(faces)[int(lost * len(faces))]
        report[f"lost_{lost}"] = {
            "threshold": round(float(threshold), 5),
            "rejected": round(float((others < threshold).mean()), 4),
        }
    return report


def _predict(crops: Crops, config, params, batch_size: int) -> list[np.ndarray]:
    predict = jax.jit(functools.partial(keypointer.predict, config))
    results = []
    for start in range(0, len(crops.images), batch_size):
        images = crops.images[start : start + batch_size].astype(np.float32)
        results.append(predict(params, images / 127.5 - 1))
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


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
    parser.add_argument("--data", type=Path, required=True, help="to train on")
    parser.add_argument("--val", type=Path, help="faces to measure keypoints on")
    parser.add_argument("--verdicts", type=Path, help="to measure the verdict on")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--init", type=Path, help="weights to go on from")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    config = keypointer.KeypointerConfig(keypoints=len(KEYPOINTS), verdict=True)
    before = weights.load(args.init) if args.init else None
    init = before and widen(before.params, config, jax.random.key(args.seed))
    crops = load(args.data)
    logging.info("%d crops", len(crops.images))
    settings = {name: getattr(args, name) for name in ("batch_size", "seconds", "seed")}
    params, images = train(crops, config, steps=args.steps, init=init, **settings)
    if before:
        images += before.provenance.get("images_seen", 0)
    provenance = {
        "program": "train.keypointer",
        "faces": int(crops.faces.sum()),
        "others": int((crops.faces == 0).sum()),
        "images_seen": images,
        "licence": "research and non-commercial use",
        "sources": LICENCES.replace("\n", " "),
    }
    if args.val:
        held_out = load(args.val)
        provenance["validation_faces"] = len(held_out.images)
        provenance["validation"] = evaluate(held_out, config, params)
    if args.verdicts:
        provenance["verdicts"] = judge(load(args.verdicts), config, params)
    logging.info(json.dumps(provenance))
    weights.save(args.out, config.kind, config, params, provenance, dtype="float16")


if __name__ == "__main__":
    main()
