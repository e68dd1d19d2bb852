"""How many images a second does training make, by objective, dtype and batch?

``python benchmarks/train_step.py --config configs/faces128.py --batch 64 128
--dtype bfloat16 --objective non_saturating r3gan --peak 990``

Compilation is timed apart; the median of the repeats is given with their spread. With
--peak (TFLOP/s of one device at that dtype) the share of it is given, from XLA's count
of the FLOPs of one step.
"""

import argparse
import dataclasses
import itertools
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import numpy as np

from train import config as config_
from train import data, parallel
from train.state import init_state, with_dtype


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/smoke.py")
    parser.add_argument("--set", nargs="+", default=[], metavar="A.B=C")
    parser.add_argument("--objective", nargs="+", default=[""], help="'' = config's")
    parser.add_argument("--batch", nargs="+", type=int, default=[0], help="0: config's")
    parser.add_argument("--dtype", nargs="+", default=["auto"])
    parser.add_argument("--steps", type=int, default=0, help="per dispatch")
    parser.add_argument("--repeats", type=int, default=0, help="0: 3 on CPU, else 10")
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOP/s of a device")
    arguments = parser.parse_args()
    base = config_.load(arguments.config, arguments.set)
    for objective, batch, dtype in itertools.product(
        arguments.objective, arguments.batch, arguments.dtype
    ):
        config = dataclasses.replace(
            base,
            objective=objective or base.objective,
            batch_size=batch or base.batch_size,
            dtype=dtype,
        )
        print(json.dumps(measure(config, arguments)), flush=True)


def measure(config, arguments):
    config_.check(config, jax.device_count())
    backend = jax.default_backend()
    run = with_dtype(config, backend)
    steps = arguments.steps or (1 if backend == "cpu" else 16)
    resolution, batch = config.generator.resolution, config.batch_size
    drawn = config_.DataConfig(drawn=256)
    dataset = data.open_dataset(drawn, "train", resolution)
    batches = data.index_batches(
        0, dataset.size, batch, parallel.share(batch), 0, steps
    )
    state = parallel.replicate(init_state(run))
    resident = parallel.replicate(dataset.resident)
    items = jax.device_put(parallel.shard(next(batches)), parallel.by_device())
    update = parallel.parallelize(run)
    start = time.perf_counter()
    compiled = update.lower(state, resident, items).compile()
    compile_seconds = time.perf_counter() - start
    costs = compiled.cost_analysis()
    costs = costs[0] if isinstance(costs, list) else costs
    state, metrics = update(state, resident, items)
    jax.block_until_ready(state)
    seconds = []
    for _ in range(arguments.repeats or (3 if backend == "cpu" else 10)):
        items = jax.device_put(parallel.shard(next(batches)), parallel.by_device())
        start = time.perf_counter()
        state, metrics = update(state, resident, items)
        jax.block_until_ready((state, metrics))
        seconds.append((time.perf_counter() - start) / steps)
    median = float(np.median(seconds))
    flops = float((costs or {}).get("flops", 0.0))  # Of a scan, XLA counts one turn.
    memory = jax.local_devices()[0].memory_stats() or {}
    return {
        "config": config.name,
        "objective": config.objective,
        "images_per_second": round(batch / median, 2),
        "spread": [round(batch / max(seconds), 2), round(batch / min(seconds), 2)],
        "compile_seconds": round(compile_seconds, 1),
        "share_of_peak": (
            round(flops / median / (arguments.peak * 1e12), 4)
            if arguments.peak
            else None
        ),
        "peak_memory_gb": round(memory.get("peak_bytes_in_use", 0) / 1e9, 2) or None,
        "batch": batch,
        "dtype": run.generator.dtype,
        "steps_per_dispatch": steps,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
        "python": platform.python_version(),
        "commit": commit(),
    }


def commit():
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    main()
