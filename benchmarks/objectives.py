"""Which objective, at the same budget and seed? One JSON line each, then a table.

    python benchmarks/objectives.py --tiny            # drawn faces of 32 px, for a CPU
    python benchmarks/objectives.py --config configs/faces128.py --images 200000 \
        --embedding MobileFaceNet.onnx --set data.path=faces128/train

A name that is only a penalty or a term is run beside the non-saturating objective. Each
run starts from the same parameters and sees the same faces in the same order. Numbers
after training, on held-out faces painted with random z:

- images_per_second: steady state, compilation apart; a run is called unstable if a loss
  was not finite;
- fd_pixels: Fréchet distance of painted crops at 8 x 8 pixels, against other real ones,
  a crude measure of colour and layout that needs no network; floor = real against real;
- seam: step across the border of the mask less the steps around it, in [-1, 1];
- spread: mean difference between two z inside the mask, in [-1, 1];
- with --embedding, what ``jaxanon.metrics.report`` says of face features.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from jaxanon import align, blend, metrics, models, objectives
from jaxanon.objectives import base
from train import augment, data, parallel, state
from train import config as configs
from train.faces import take

TINY = configs.TrainConfig(
    generator=models.GeneratorConfig(resolution=32, widths=(16, 32), blocks=1),
    discriminator=models.DiscriminatorConfig(resolution=32, widths=(16, 32)),
    posterior=0.0,
    batch_size=8,
    images=320,
    data=configs.DataConfig(drawn=64),
)
COLUMNS = ("images_per_second", "compile_seconds", "fd_pixels", "seam", "spread")
WITH_EMBEDDING = ("fd_face", "kd_face", "precision", "recall", "reidentified")


def terms_for(name: str) -> list:
    """A term that leaves one of the players without a loss needs another beside it."""
    alone = objectives.make(name)
    if base.nothing in (alone.discriminator, alone.generator):
        return ["non_saturating", name]
    return [name]


def configure(config: configs.TrainConfig, name: str) -> configs.TrainConfig:
    changed = dataclasses.replace(
        config, objective=terms_for(name), second=name == "diversity"
    )
    return state.with_dtype(changed, jax.default_backend())


def train(config: configs.TrainConfig, first, faces, *, steps: int, chunk: int):
    """Returns the last state, timings and whether every loss was finite."""
    many = parallel.parallelize(config)
    current = jax.tree.map(jnp.copy, first)  # A step donates what it is given.
    resident = jax.device_put(faces)
    batches = data.index_batches(
        config.seed,
        len(faces.images),
        config.batch_size,
        parallel.share(config.batch_size),
        0,
        chunk,
    )
    started = time.perf_counter()
    finite, warm = True, 0.0
    for done in range(0, steps, chunk):
        current, logged = many(current, resident, parallel.shard(next(batches)))
        jax.block_until_ready(current)
        finite = finite and all(np.isfinite(x).all() for x in logged.values())
        if done == 0:
            warm = time.perf_counter()
    seconds = time.perf_counter() - warm
    images = (steps - chunk) * config.batch_size
    timing = {
        "images_per_second": images / seconds if images else float("nan"),
        "first_dispatch_seconds": warm - started,
    }
    per_step = seconds / max(steps - chunk, 1)
    timing["compile_seconds"] = timing["first_dispatch_seconds"] - chunk * per_step
    return current, timing, finite


def paint(config: configs.TrainConfig, params, faces, *, batch: int = 16):
    """Paints every face with two latents; returns real, mask, first and second."""
    chances = ("mirror", "occlude", "drop_all", "drop_mouth", "drop_some")
    still = dict.fromkeys((*chances, "jitter", "keypoint_noise"), 0.0)
    plain = configs.AugmentConfig(enlarge=(1.1, 1.1), **still)

    @jax.jit
    def one(params, part, keys):
        crops = augment.augment(
            keys[:, 0], part, plain, keypoint_score=config.data.keypoint_score
        )
        shape = models.latent_shape(config.generator)
        condition = align.condition(crops)
        made = [
            blend.inpaint(
                models.generate(
                    config.generator,
                    params,
                    condition,
                    jax.vmap(lambda key: jax.random.normal(key, shape))(keys[:, i]),
                ),
                crops,
            ).clip(-1, 1)
            for i in (1, 2)
        ]
        return crops.image, crops.mask, *made

    count = len(faces.images) // batch * batch
    keys = jax.random.split(jax.random.key(1), (count, 3))
    parts = [
        one(params, take(faces, np.arange(i, i + batch)), keys[i : i + batch])
        for i in range(0, count, batch)
    ]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def judge(painted, faces, embed) -> dict[str, float]:
    real, mask, first, second = painted
    rng = np.random.default_rng(0)

    def small(images):
        n, side = len(images), images.shape[1] // 8
        return images.reshape(n, 8, side, 8, side, 3).mean((2, 4)).reshape(n, -1)

    order = rng.permutation(len(real))
    ours, others = np.array_split(order, 2)
    inside = np.abs(first - second).mean(-1, keepdims=True)
    numbers = {
        "fd_pixels": metrics.frechet.distance(small(first[ours]), small(real[others])),
        "fd_pixels_floor": metrics.frechet.distance(
            small(real[ours]), small(real[others])
        ),
        "seam": float(np.nanmean(metrics.seam.measure(first, mask).error)),
        "seam_floor": float(np.nanmean(metrics.seam.measure(real, mask).error)),
        "spread": float((inside * mask).sum() / mask.sum()),
    }
    if embed is None:
        return numbers
    points = np.where(faces.scores[..., None] > 0, faces.keypoints, np.nan)
    points = points[: len(real)] * real.shape[1]

    def embedded(images):
        return embed(np.uint8((images + 1) * 127.5 + 0.5), points)

    originals = embedded(real)
    both = np.stack([embedded(first), embedded(second)], 1)
    return (
        numbers
        | metrics.report.distribution(rng, real=originals, painted=both[:, 0])
        | metrics.report.identity(
            originals=originals, painted=both, people=np.arange(len(real))
        )
    )


def commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def table(rows: list[dict]) -> str:
    columns = [c for c in COLUMNS + WITH_EMBEDDING if any(c in row for row in rows)]
    lines = [
        "| objective | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        cells = [f"{row[c]:.3g}" if c in row else "unstable" for c in columns]
        lines.append(f"| {' + '.join(row['objective'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", help="a file of configs/; default: the tiny one")
    parser.add_argument("--set", nargs="*", default=[], metavar="a.b=c")
    parser.add_argument("--tiny", action="store_true", help="drawn faces of 32 px")
    parser.add_argument("--images", type=int, help="budget of each run")
    parser.add_argument("--faces", type=int, default=256, help="held-out, to judge by")
    parser.add_argument("--embedding", help="ONNX file of a face recogniser")
    parser.add_argument("--names", nargs="*", default=objectives.names())
    parser.add_argument("--chunk", type=int, help="steps per dispatch")
    args = parser.parse_args()
    if not args.tiny and not args.config:
        parser.error("give --config FILE or --tiny")
    config = TINY if args.tiny else configs.load(args.config)
    config = configs.override(config, args.set)
    configs.check(config, jax.device_count())
    resolution = config.generator.resolution
    sets = [data.open_dataset(config.data, s, resolution) for s in data.SPLITS]
    faces, held_out = (opened.resident for opened in sets)
    if faces is None or held_out is None:
        parser.error("this benchmark needs a resident data set (data.resident=True)")
    held_out = jax.tree.map(lambda x: np.asarray(x[: args.faces]), held_out)
    embed = metrics.embedding.load(args.embedding) if args.embedding else None
    chunk = args.chunk or (1 if jax.default_backend() == "cpu" else 16)
    steps = max(2 * chunk, (args.images or config.images) // config.batch_size)
    steps = steps // chunk * chunk
    first = jax.jit(lambda: state.init_state(config))()
    rows = []
    for name in args.names:
        run = configure(config, name)
        last, timing, finite = train(run, first, faces, steps=steps, chunk=chunk)
        row = {"objective": terms_for(name), **timing, "finite": finite}
        if finite:
            row |= judge(paint(run, last.generator_ema, held_out), held_out, embed)
        row |= {
            "images": steps * run.batch_size,
            "batch_size": run.batch_size,
            "resolution": resolution,
            "dtype": run.generator.dtype,
            "seed": run.seed,
            "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            "jax": jax.__version__,
            "commit": commit(),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(table(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
