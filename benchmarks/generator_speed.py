"""How many faces a second do the generators paint, and how many does PyTorch?

    python benchmarks/generator_speed.py [--rounds 7] [--threads 2]
    python benchmarks/generator_speed.py --batch 1 16 64 --dtype bfloat16 --peak 990

On a CPU, the published network (46.9 M parameters) runs here and in PyTorch, if that is
installed, on the same numbers; each round times every network once, so that whatever
else the machine does meets all of them. CPU seconds are given too: they tell
contention from slowness. PyTorch's kernels are scaled beforehand and it runs both
memory layouts; the ratios are to the better one.

On an accelerator, faces a second by batch and dtype; with --peak (TFLOP/s at that
dtype) the share of it, from XLA's count of the FLOPs. One JSON line for each result.
"""

import argparse
import dataclasses
import importlib.util
import json
import math
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import common
import jax
import jax.numpy as jnp
import numpy as np

from jaxanon import models, runtime, weights
from jaxanon.models.generators.deepprivacy_v1 import DeepPrivacyConfig, one_hot_maps
from jaxanon.types import Condition


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOP/s")
    arguments = parser.parse_args()
    runtime.start("auto")
    for dtype in arguments.dtype:
        for batch in arguments.batch:
            compare(batch, dtype, arguments)


def configs():
    """Returns the networks to time by name; the shipped one only where it differs."""
    named = {"deepprivacy_v1": DeepPrivacyConfig(), "unet": models.GeneratorConfig()}
    if "default" in weights.names():
        shipped = weights.load("default").config
        if shipped != named["unet"]:
            named["unet shipped"] = shipped
    return named


def compare(batch, dtype, arguments):
    """Times every network at one batch and dtype and prints a line for each."""
    condition, z = example(batch)
    calls, facts = {}, {}
    for name, config in configs().items():
        config = dataclasses.replace(config, dtype=dtype)
        calls[name], facts[name] = in_jax(config, condition, z)
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and dtype == "float32" and importlib.util.find_spec("torch"):
        for layout in ("nchw", "channels_last"):
            call = in_torch(condition, z, layout, arguments.threads)
            error = float(np.abs(call() - np.asarray(calls["deepprivacy_v1"]())).max())
            if error > 1e-3:
                raise SystemExit(f"The two networks differ by {error}.")
            calls[f"torch {layout}"] = call
            facts[f"torch {layout}"] = {"largest_difference": error}
    seconds = time_in_turn(calls, arguments.rounds)
    torch_names = [name for name in calls if name.startswith("torch")]
    best = min(torch_names, key=lambda name: median(seconds[name], 0), default=None)
    for name, times in seconds.items():
        wall = median(times, 0)
        line = {
            "benchmark": "generator_speed",
            "network": name,
            "faces_per_second": round(batch / wall, 2),
            "wall_ms": in_milliseconds(times, 0),
            "cpu_ms": in_milliseconds(times, 1),
            **facts[name],
        }
        if best and name != best:
            # The median of the ratios within rounds: neighbours in time.
            line["times_torch_wall"] = ratio(seconds[best], times, 0)
            line["times_torch_cpu"] = ratio(seconds[best], times, 1)
        if arguments.peak and "gflop" in facts[name]:
            share = facts[name]["gflop"] / wall / (arguments.peak * 1e3)
            line["share_of_peak"] = round(share, 4)
        print(
            json.dumps(line | {"batch": batch, "dtype": dtype} | common.circumstances())
        )


def example(batch):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (batch, 128, 128, 3)).astype("f4")
    mask = np.zeros((batch, 128, 128, 1), "f4")
    mask[:, 32:96, 40:88] = 1
    keypoints = rng.uniform(0.2, 0.8, (batch, 11, 2)).astype("f4")
    visible = np.ones((batch, 11), "f4")
    condition = Condition(image * (1 - mask), mask, keypoints, visible)
    z = rng.standard_normal((batch, 4, 4, 32)).astype("f4")
    return jax.tree.map(jnp.asarray, (condition, z))


def draw(config):
    """Draws parameters with NumPy, so that nothing needs to be compiled for it."""
    rng = np.random.default_rng(0)
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda: models.init_generator(key, config))
    unit = isinstance(config, DeepPrivacyConfig)  # Scaled in use.

    def leaf(shape):
        fan_in = math.prod(shape.shape[:-1]) or 1
        scale = 1 if unit or len(shape.shape) == 1 else math.sqrt(2 / fan_in)
        return jnp.asarray(rng.standard_normal(shape.shape) * scale, jnp.float32)

    return jax.tree.map(leaf, shapes)


def in_jax(config, condition, z):
    """Returns a call that paints and waits, and what the compiler says of it."""
    params = draw(config)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    if jax.default_backend() == "cpu":  # As pipeline.to_device does.
        params = jax.device_put(models.prepare(config.kind, params))
    if not isinstance(config, DeepPrivacyConfig):
        shape = (len(z), *models.latent_shape(config))
        z = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    start = time.perf_counter()
    generate = jax.jit(models.generate, static_argnums=0)
    compiled = generate.lower(config, params, condition, z).compile()
    costs = compiled.cost_analysis()
    costs = costs[0] if isinstance(costs, list) else costs
    facts = {
        "parameters": parameters,
        "gflop": round(costs.get("flops", 0.0) / 1e9, 2),
        "compile_seconds": round(time.perf_counter() - start, 2),
    }
    return lambda: jax.block_until_ready(compiled(params, condition, z)), facts


def in_torch(condition, z, layout, threads):
    """Returns a call that paints the same faces with the same layers in PyTorch."""
    import torch
    import torch.nn.functional as F

    if threads:
        torch.set_num_threads(threads)
    memory = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format}
    memory = memory[layout]
    layers = {}
    for name, layer in draw(DeepPrivacyConfig()).items():
        conv = layer.get("conv", layer)
        kernel = np.asarray(conv["kernel"])
        kernel = kernel * np.float32(math.sqrt(2 / math.prod(kernel.shape[:3])))
        kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        bias = torch.from_numpy(np.array(conv["bias"]))
        layers[name] = (kernel.contiguous(memory_format=memory), bias)

    def nchw(x):
        x = torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())
        return x.contiguous(memory_format=memory)

    keypoints, visible = condition.keypoints[:, :7], condition.visible[:, :7]
    sizes = (4, 8, 16, 32, 64, 128)
    maps = {s: nchw(one_hot_maps(keypoints, visible, size=s)) for s in sizes}
    image, latent = nchw(condition.image), nchw(z)

    def conv(x, name):
        kernel, bias = layers[name]
        x = F.leaky_relu(F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2), 0.2)
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)

    def call():
        with torch.inference_mode():
            x, skips = conv(image, "from_rgb"), {}
            for size in reversed(sizes):
                x = conv(conv(x, f"down_{size}_0"), f"down_{size}_1")
                skips[size] = x
                x = F.avg_pool2d(x, 2) if size > 4 else x
            x = torch.cat([x, maps[4], latent], 1)
            for size in sizes:
                if size > 4:
                    x = F.interpolate(x, scale_factor=2, mode="nearest")
                    x = torch.cat([x, skips[size], maps[size]], 1)
                x = conv(x, f"merge_{size}")
                x = conv(conv(x, f"up_{size}_0"), f"up_{size}_1")
            x = F.conv2d(x, *layers["to_rgb"])
            return x.permute(0, 2, 3, 1).numpy()

    return call


def time_in_turn(calls, rounds):
    """Times each call once a round; returns (wall, CPU) seconds by name."""
    seconds = {name: [] for name in calls}
    for name in calls:
        calls[name]()
    for _ in range(rounds):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            seconds[name].append(
                (time.perf_counter() - wall, time.process_time() - cpu)
            )
    return seconds


def median(times, column):
    return statistics.median(time[column] for time in times)


def ratio(slow, fast, column):
    pairs = zip(slow, fast, strict=True)
    return round(statistics.median(a[column] / b[column] for a, b in pairs), 2)


def in_milliseconds(times, column):
    """Returns lowest, median and highest."""
    return common.spread([time[column] * 1e3 for time in times], digits=2)


if __name__ == "__main__":
    main()
