"""How many frames a second, end to end and by stage, beside deface's blurring?

    python benchmarks/video_speed.py [--frames 40] [--weights default]
                                     [--sizes 640x360 1920x1080] [--faces 1 5 20]

A clip is drawn with copies of the astronaut's portrait that ships with the package,
moving, and encoded as H.264. Ours is measured as users run it (``ours``), with one
detector pass a frame as deface has it (``ours_same_passes``), and in its blur mode
(``ours_blur``). ``deface`` is the package of that name, its own function for videos at
its defaults, where it is installed. Everything is warmed up on the same clip before;
models are loaded before the clock runs. Seconds of the processor (``cpu``) are told
beside those of the clock, because only they bear other programs on the machine.
Stages run one after the other for their own measurement and beside each other in fact.
One JSON line per clip.
"""

import argparse
import json
import statistics
import tempfile
import time
from fractions import Fraction
from importlib import resources
from pathlib import Path

import jax
import numpy as np
from PIL import Image

import jaxanon
from jaxanon import clips, detect, frames, hide, pipeline, runtime, track, weights
from jaxanon.media import encode, video

FACE = (160, 20, 304, 208)
"""The head in the portrait of 512 x 512."""


def draw(height, width, faces, count):
    """Yields frames with copies of one head that move."""
    with resources.files(jaxanon).joinpath("assets/astronaut.jpg").open("rb") as file:
        picture = Image.open(file).convert("RGB").resize((512, 512))
    side = round(min(height / 3, (height * width / faces) ** 0.5 / 1.8))
    head = np.asarray(picture.crop(FACE).resize((round(side * 0.77), side)))
    background = np.random.default_rng(0).integers(60, 140, (9, 16, 3), np.uint8)
    plain = np.asarray(Image.fromarray(background).resize((width, height)))
    columns = int(np.ceil((faces * width / height) ** 0.5))
    rows = int(np.ceil(faces / columns))
    for t in range(count):
        frame = plain.copy()
        for i in range(faces):
            x = (i % columns + 0.5) * width / columns - head.shape[1] / 2
            y = (i // columns + 0.5) * height / rows - side / 2
            x = round(x + 0.1 * side * np.sin(t / 8 + i))
            y = round(min(max(y + 0.1 * side * np.cos(t / 9 + i), 0), height - side))
            frame[y : y + side, x : x + head.shape[1]] = head
        yield frame


def clock(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def stages(clip, tools, count):
    """Measures each stage alone, in milliseconds a frame."""
    info = video.probe(clip)
    settings = clips.VideoOptions()
    decoded, *decode = clock(lambda: list(video.read(clip)))
    bare = tools._replace(keypointer=None)
    _, *found = clock(lambda: list(frames.see(decoded, info, bare, settings, None)))
    seen, *both = clock(lambda: list(frames.see(decoded, info, tools, settings, None)))
    rules = hide.rules(info, tools, settings)
    _, *follow = clock(lambda: list(track.follow(seen, rules)))
    record, key = hide.Record(info), jax.random.key(0)
    painted, *paint = clock(
        lambda: list(hide.paint(seen, tools, settings, key, record))
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        _, *wrote = clock(lambda: encode.write(target, painted, info))

    def milliseconds(seconds):
        return round(1e3 * seconds / count, 1)

    measured = {"decode": decode, "detect": found, "track": follow}
    measured["keypoints"] = [b - d for b, d in zip(both, found, strict=True)]
    measured["paint"] = [p - f for p, f in zip(paint, follow, strict=True)]
    measured["encode"] = wrote
    return {
        name: {
            "wall_ms": round(1e3 * w / count, 1),
            "cpu_ms": round(1e3 * c / count, 1),
        }
        for name, (w, c) in measured.items()
    }


def run_deface(clip, target):
    from deface import deface
    from deface.centerface import CenterFace

    network = CenterFace(in_shape=None, backend="auto")
    settings = {"enable_preview": False, "cam": False, "nested": False}
    settings |= {"replacewith": "blur", "mask_scale": 1.3, "ellipse": True}
    settings |= {"draw_scores": False, "ffmpeg_config": {"codec": "libx264"}}
    return lambda: deface.video_detect(
        str(clip), str(target), centerface=network, threshold=0.2, **settings
    )


def run_ours(clip, target, tools):
    return lambda: clips.anonymize_video_file(clip, target, seed=0, **tools._asdict())


def measure(height, width, faces, args, loaded):
    generator, keypointer, thorough, glance, single = loaded
    plain = pipeline.Options()
    tools = clips.Tools(generator, thorough, keypointer, plain, glance)
    blur = pipeline.Options(mode="blur")
    result = {"height": height, "width": width, "faces": faces}
    with tempfile.TemporaryDirectory() as folder:
        clip, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        info = video.Info(
            height, width, Fraction(1, 25), Fraction(25), 0.0, None, None, "yuv420p",
            Fraction(1), (1, 1, 1, 1), False,
        )  # fmt: skip
        drawn = draw(height, width, faces, args.frames)
        encode.write(clip, (video.Frame(p, i, 1) for i, p in enumerate(drawn)), info)
        one_pass = tools._replace(detector=single, glance=None)
        variants = {
            "ours": run_ours(clip, target, tools),
            "ours_same_passes": run_ours(clip, target, one_pass),
            "ours_blur": run_ours(
                clip,
                target,
                one_pass._replace(weights=None, keypointer=None, options=blur),
            ),
        }
        try:
            variants["deface"] = run_deface(clip, target)
        except ImportError:
            result["deface"] = "not installed"
        for work in variants.values():
            work()
        runs = {name: [] for name in variants}
        for _ in range(args.repeats):
            for name, work in variants.items():  # In turn: a busy machine is fair.
                runs[name].append(clock(work)[1:])
        for name, times in runs.items():
            walls, cpus = zip(*times, strict=True)
            result[name] = {
                "frames_per_second": round(args.frames / statistics.median(walls), 2),
                "cpu_seconds_per_frame": round(
                    statistics.median(cpus) / args.frames, 4
                ),
            }
        result["stages"] = stages(clip, tools, args.frames)
    return result


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--sizes", nargs="+", default=["640x360", "1920x1080"])
    parser.add_argument("--faces", nargs="+", type=int, default=[1, 5, 20])
    args = parser.parse_args()
    device = runtime.start("auto")
    loaded = (
        pipeline.to_device(weights.load(args.weights)),
        pipeline.to_device(weights.load("keypointer")),
        detect.make("centerface"),
        detect.make("centerface", factors=(1.0, 0.5)),
        detect.make("centerface", factors=(1.0,)),
    )
    for size in args.sizes:
        width, height = map(int, size.split("x"))
        for faces in args.faces:
            result = measure(height, width, faces, args, loaded)
            versions = {"jax": jax.__version__, "jaxanon": jaxanon.__version__}
            print(json.dumps({"device": device, **versions, **result}), flush=True)


if __name__ == "__main__":
    main()
