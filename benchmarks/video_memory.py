"""Does memory grow with the length of a video?

    python benchmarks/video_memory.py [--seconds 10 600] [--mode black]

Clips of 160x120 at 10 frames a second are drawn, with one bright square, the face, that
walks and is found by its colour, so that ten minutes take minutes. Each is anonymised
as a user's program would, in a process of its own, which tells its peak of resident
memory. One JSON line per clip and one with the ratio.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from jaxanon import clips, pipeline, weights
from jaxanon.media import encode, video
from jaxanon.types import Detections

HEIGHT, WIDTH, RATE, SIDE = 120, 160, 10, 24


def draw(seconds):
    """Yields frames with a red square that walks over noise; a cut every minute."""
    for index in range(seconds * RATE):
        shot = np.random.default_rng(index // (60 * RATE))
        noise = shot.integers(40, 160, (HEIGHT // 8, WIDTH // 8, 1), np.uint8)
        pixels = np.kron(noise, np.ones((8, 8, 3), np.uint8))
        x = 10 + round(55 * (1 + np.sin(index / 40)))
        pixels[40 : 40 + SIDE, x : x + SIDE] = [250, 30, 30]
        yield video.Frame(pixels, index, 1)


def detect(frames):
    """Finds the red squares."""
    found = []
    for frame in frames:
        red = (frame[..., 0] > 180) & (frame[..., 1] < 90)
        rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        unseen = np.full((1, 11, 2), np.nan, np.float32)
        found.append(Detections(np.array([box], "f4"), np.full(1, 0.9, "f4"), unseen))
    return found


def anonymize(clip, mode):
    """Anonymises a clip and prints what it took."""
    generator = None
    if mode == "generate":
        generator = pipeline.to_device(weights.load("default"))
    with tempfile.TemporaryDirectory() as folder:
        report = clips.anonymize_video_file(
            clip,
            Path(folder) / "out.mp4",
            weights=generator,
            detector=detect,
            options=pipeline.Options(mode=mode),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes.
    megabytes = round(peak * unit / 2**20, 1)
    result = {"frames": report["frames"], "tracks": len(report["tracks"])}
    print(json.dumps({**result, "seconds": report["seconds"], "peak_mb": megabytes}))


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", nargs="+", type=int, default=[10, 600])
    parser.add_argument("--mode", default="black", choices=pipeline.MODES)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.clip:
        anonymize(args.clip, args.mode)
        return
    info = video.Info(
        HEIGHT, WIDTH, Fraction(1, RATE), Fraction(RATE), 0.0, None, None, "yuv420p",
        Fraction(1), (1, 1, 1, 1), False,
    )  # fmt: skip
    peaks = []
    for seconds in args.seconds:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "in.mp4"
            encode.write(clip, draw(seconds), info)
            command = [sys.executable, __file__, "--clip", str(clip)]
            done = subprocess.run(
                [*command, "--mode", args.mode], check=True, stdout=subprocess.PIPE
            )
        line = json.loads(done.stdout)
        print(json.dumps({"clip_seconds": seconds, **line}), flush=True)
        peaks.append(line["peak_mb"])
    print(json.dumps({"largest_to_smallest": round(max(peaks) / min(peaks), 3)}))


if __name__ == "__main__":
    main()
