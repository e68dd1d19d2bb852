"""Guesses sex and age group of training faces, for the matcher: ``train.people``.

A small network learns from the faces that have labels (All-Age-Faces in the file names,
donors that were looked at) and labels the others. It is used in training only, so that
the matcher learns that a donor should be like the person in both; nothing of it ships.
"""

import argparse
import functools
import json
import logging
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxanon import weights
from jaxanon.models import matcher
from train import faces as packs
from train import matcher as training

FIRST_MAN = 7381
"""The number of the first man in All-Age-Faces; women come before."""

GROUPS = ("child", "adult", "old")
CHILD, OLD = 13, 58


def read_labels(metainfo: Path, total: int) -> np.ndarray:
    """Reads All-Age-Faces' labels.

    Returns:
        [n 2] man (1 or 0) and index in ``GROUPS``; NaN = unknown.
    """
    labels = np.full((total, 2), np.nan, np.float32)
    for index, entry in json.loads(metainfo.read_text()).items():
        if entry.get("source") == "aaf":
            number, age = entry["original_file"].split(".")[0].split("A")
            group = 0 if int(age) < CHILD else 2 if int(age) >= OLD else 1
            labels[int(index)] = int(number) >= FIRST_MAN, group
    return labels


def read_looked_at(file: Path) -> dict[str, tuple[float, float]]:
    """Reads labels by eye, by the donor's id."""
    rows = [line.split() for line in file.read_text().splitlines() if line[:1] != "#"]
    return {
        name: (1.0 if sex == "male" else 0.0, float(GROUPS.index(group)))
        for name, sex, group in rows
    }


def train(inner, labels, config, params, *, eyed: int, seconds: float, seed: int = 0):
    """Trains the donor tower with a head; returns both.

    Args:
        inner: Inner faces, see ``matcher.prepare``.
        labels: See ``read_labels``.
        config: Of the matcher.
        params: Of the matcher.
        eyed: How many of the last faces were looked at.
        seconds: After the first step.
        seed: Of all that is drawn.
    """
    known = np.flatnonzero(np.isfinite(labels[:, 0]))
    state = {"tower": params["donor"], "head": jnp.zeros((config.dimensions, 4))}
    optimizer = optax.adam(1e-3)
    moments = optimizer.init(state)
    # Few are children or looked at by eye; they are drawn more often.
    share = np.where(labels[known, 1] == 1, 1.0, 3.0)
    share[known >= len(labels) - eyed] *= 8
    share /= share.sum()

    def loss(state, key, inner, labels):
        keys = jax.random.split(key, len(inner))
        seen = training.draw_inner(keys, inner)
        out = matcher.embed_inner(config, {"donor": state["tower"]}, seen)
        out = 8 * out @ state["head"]
        sex = optax.sigmoid_binary_cross_entropy(out[:, 0], labels[:, 0])
        group = optax.softmax_cross_entropy_with_integer_labels(
            out[:, 1:], labels[:, 1].astype(int)
        )
        return (sex + group).mean()

    @jax.jit
    def update(state, moments, key, inner, labels):
        value, grads = jax.value_and_grad(loss)(state, key, inner, labels)
        changes, moments = optimizer.update(grads, moments)
        return optax.apply_updates(state, changes), moments, value

    generator, start, step = np.random.default_rng(seed), None, 0
    while start is None or time.perf_counter() - start < seconds:
        rows = generator.choice(known, 64, p=share)
        key = jax.random.fold_in(jax.random.key(seed), step)
        state, moments, value = update(state, moments, key, inner[rows], labels[rows])
        start, step = start or time.perf_counter(), step + 1
        if step % 100 == 0:
            logging.info("step %d, loss %.3f", step, float(value))
    return state


def main() -> None:
    """Trains, labels and writes ``man`` and ``groups`` of every face."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="PACK.npz")
    parser.add_argument("--metainfo", type=Path, required=True)
    parser.add_argument("--looked-at", type=Path, required=True)
    parser.add_argument("--init", default="matcher", help="a matcher's weights")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from jaxanon.donors import bank as banks
    from train.faces import Faces

    loaded = weights.load(args.init)
    config, faces = loaded.config, packs.load(args.data).faces
    labels = read_labels(args.metainfo, len(faces.boxes))
    bank, looked = banks.load(), read_looked_at(args.looked_at)
    rows = [i for i, e in enumerate(bank.entries) if e["id"] in looked]
    pictures = np.stack([banks.decode(bank, i)[::2, ::2] for i in rows])
    n = len(rows)
    eyed = Faces(
        pictures,
        np.tile(np.array([0.1, 0.1, 0.9, 0.9], np.float32), (n, 1)),
        np.nan_to_num(bank.keypoints[rows]),
        np.ones((n, 11), np.float32),
    )
    size = config.resolution
    inner = np.concatenate(
        [training.prepare(faces, size).inner, training.prepare(eyed, size).inner]
    )
    more = np.array([looked[bank.entries[i]["id"]] for i in rows], np.float32)
    labels = np.concatenate([labels, more])
    held = np.random.default_rng(1).random(len(labels)) < 0.1
    taught = np.where(held[:, None], np.nan, labels)
    seconds = 60 * args.minutes
    state = train(inner, taught, config, loaded.params, eyed=n, seconds=seconds)

    @functools.partial(jax.jit)
    def judge(inner):
        seen = inner[..., :3] / 127.5 - 1
        mask = inner[..., 3:] / 255
        seen = jnp.concatenate([seen * mask, mask], -1)
        out = matcher.embed_inner(config, {"donor": state["tower"]}, seen)
        out = 8 * out @ state["head"]
        return jax.nn.sigmoid(out[:, 0]), jax.nn.softmax(out[:, 1:])

    parts = [judge(inner[s : s + 256]) for s in range(0, len(inner), 256)]
    man, groups = (np.concatenate(side) for side in zip(*parts, strict=True))
    for name, chosen in (
        ("all-age-faces", slice(None, -n)),
        ("donors", slice(-n, None)),
    ):
        some = held[chosen] & np.isfinite(labels[chosen, 0])
        right = (man[chosen] > 0.5) == labels[chosen, 0]
        group = groups[chosen].argmax(1) == labels[chosen, 1]
        logging.info(
            "%s: sex %.3f, group %.3f", name, right[some].mean(), group[some].mean()
        )
    np.savez(args.out, man=man[:-n], groups=groups[:-n])


if __name__ == "__main__":
    main()
