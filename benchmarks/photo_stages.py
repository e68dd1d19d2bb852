"""Where does the time of a large photo with many faces go, and of a start?

    python benchmarks/photo_stages.py [--rounds 5] [--weights default] [--skip-start]

Anonymises a picture of 12 megapixels that holds the bundled face 20 times, in two
sizes, and prints one JSON line: seconds of each stage (lowest, median, highest; the
first round, which compiles, apart) and the peak memory of the process. Then prints one
line for each command whose start-up a user waits for: `jaxanon info`, and `jaxanon
anonymize` of one small photo; there, the first time, which compiles, is apart too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import jax
import numpy as np
import onnxruntime
from PIL import Image

from jaxanon import detect, files, paint, pipeline, seek, weights
from jaxanon.media import image

WIDTH, HEIGHT = 4000, 3000
ROWS, COLUMNS = 4, 5
STAGES = ("decode", "detect", "keypoints", "crop", "generate", "blend", "encode")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--skip-start", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(time_photo(Path(folder), arguments) | circumstances()))
        if not arguments.skip_start:
            for line in time_starts(Path(folder), arguments.rounds):
                print(json.dumps(line | circumstances()))


def assemble() -> np.ndarray:
    """Puts the bundled photo on a grid, every second one at two thirds of its size."""
    photo = Image.open(str(weights.ASSETS / "astronaut.jpg")).convert("RGB")
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    row, column = HEIGHT // ROWS, WIDTH // COLUMNS
    for number in range(ROWS * COLUMNS):
        side = row * 2 // 3 if number % 2 else row
        y, x = number // COLUMNS * row, number % COLUMNS * column
        picture[y : y + side, x : x + side] = np.asarray(photo.resize((side, side)))
    return picture


def time_photo(folder, arguments):
    """Anonymises the picture again and again and says what each stage took."""
    source, target = folder / "photo.jpg", folder / "anonymous.jpg"
    Image.fromarray(assemble()).save(source, quality=95)
    generator = pipeline.to_device(weights.load(arguments.weights))
    keypointer = pipeline.to_device(weights.load("keypointer"))
    detector = detect.make("centerface")
    clock = Clock()
    detector = clock.of("detect", detector)
    for module, name, stage in (
        (image, "read", "decode"),
        (seek, "complete_keypoints", "keypoints"),
        (paint, "crop", "crop"),
        (paint, "paint", "generate"),
        (paint, "overlay", "blend"),
        (image, "write", "encode"),
    ):
        setattr(module, name, clock.of(stage, getattr(module, name)))
    rounds = []
    for _ in range(arguments.rounds + 1):
        clock.seconds = dict.fromkeys(STAGES, 0.0)
        start = time.perf_counter()
        report = files.anonymize_image_file(
            source,
            target,
            key=files.base_key(0),
            weights=generator,
            detector=detector,
            keypointer=keypointer,
        )
        total = time.perf_counter() - start
        rest = total - sum(clock.seconds.values())
        rounds.append(clock.seconds | {"rest": rest, "total": total})
    return {
        "benchmark": "photo_stages",
        "megapixels": WIDTH * HEIGHT / 1e6,
        "faces": len(report["faces"]),
        "rounds": arguments.rounds,
        "first_round_seconds": round(rounds[0]["total"], 2),
        "seconds": {
            stage: common.spread([seconds[stage] for seconds in rounds[1:]])
            for stage in rounds[0]
        },
        "peak_memory_mb": peak_memory_mb(),
    }


class Clock:
    """Adds up the seconds that functions take."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def of(self, stage, function):
        """Makes a function that waits for its result and counts the time."""

        def timed(*positional, **named):
            start = time.perf_counter()
            try:
                return jax.block_until_ready(function(*positional, **named))
            finally:
                self.seconds[stage] += time.perf_counter() - start

        return timed


def time_starts(folder, rounds):
    """Yields what a user waits for two commands, from the shell and back."""
    photo = weights.ASSETS / "astronaut.jpg"
    commands = {
        "info": ("info",),
        "anonymize": ("anonymize", photo, "-o", folder / "a.png", "--overwrite"),
    }
    environment = os.environ | {"JAXANON_CACHE": str(folder / "cache")}
    for name, words in commands.items():
        walls, cpus = [], []
        for _ in range(rounds + 1):
            wall, cpu = time.perf_counter(), children_cpu()
            subprocess.run(
                [sys.executable, "-m", "jaxanon", *map(str, words)],
                check=True,
                capture_output=True,
                env=environment,
                cwd=Path(__file__).parents[1],
            )
            walls.append(time.perf_counter() - wall)
            cpus.append(children_cpu() - cpu)
        yield {
            "benchmark": "start",
            "command": name,
            "rounds": rounds,
            "first_seconds": round(walls[0], 2),
            "seconds": common.spread(walls[1:]),
            "cpu_seconds": common.spread(cpus[1:]),
        }


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_memory_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def circumstances():
    return common.circumstances() | {"onnxruntime": onnxruntime.__version__}


if __name__ == "__main__":
    main()
