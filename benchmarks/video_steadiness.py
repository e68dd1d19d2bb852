"""How steady are painted faces: one identity per track, one per frame, the original?

    python benchmarks/video_steadiness.py CLIP... --embedder NET.onnx
                                          [--seconds 2] [--weights default]

Every clip is anonymised with ``--identity track`` and ``frame``; the longest tracks are
cut out of both and of the original, by the same smoothed boxes. For each:
``identity_drift`` (1 - cosine of neighbouring frames' embeddings), ``flicker`` (mean
absolute difference of neighbouring frames in levels, after the original's motion is
taken out, inside the face) and ``landmark_jitter`` (mean acceleration of the five
points that the detector finds in the result, in face widths a frame squared). One JSON
line per clip and kind.
"""

import argparse
import json
import tempfile
from pathlib import Path

import jax
import numpy as np

from jaxanon import clips, detect, frames, hide, pipeline, runtime, seek, track, weights
from jaxanon.media import video
from jaxanon.metrics import embedding, stability
from jaxanon.ops import boxes

SIDE = 96


def follow(clip, tools, settings):
    """Lists per frame of a clip its number, pixels, track ids and smoothed boxes."""
    info = video.probe(clip)
    source = video.read(clip, end_seconds=settings.span(info).end_seconds)
    seen = frames.see(source, info, tools, settings, None)
    return info, list(track.follow(seen, hide.rules(info, tools, settings)))


def longest(followed, count):
    """Finds the tracks with most frames: (id, frame indices, boxes)."""
    tracks: dict[int, list] = {}
    for index, item in enumerate(followed):
        for number, box in zip(item.ids.tolist(), item.detections.boxes, strict=True):
            tracks.setdefault(number, []).append((index, box))
    chosen = sorted(tracks.values(), key=len, reverse=True)[:count]
    return [t for t in chosen if len(t) >= 8]


def cut(pixels, box):
    """Cuts a square around a box and scales it to SIDE by its nearest pixels."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() * 0.8
    at = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x = (centre[0] + half * at).astype(int).clip(0, pixels.shape[1] - 1)
    y = (centre[1] + half * at).astype(int).clip(0, pixels.shape[0] - 1)
    return pixels[y[:, None], x[None]]


def points_in(pixels, box, find):
    """Finds the keypoints of the face in a box, NaN where no face is found there."""
    (found,) = find([pixels])
    found = seek.select(found, score=0.2)
    if len(found.boxes):
        overlap = boxes.iou(box[None].astype(np.float64), found.boxes)[0]
        if overlap.max() > 0.3:
            return found.keypoints[overlap.argmax()]
    return np.full((11, 2), np.nan, np.float32)


def measure(pixels_of, tracks, original, find, embed):
    drift, flicker, jitter = [], [], []
    for sightings in tracks:
        views = [cut(pixels_of[i], box) for i, box in sightings]
        first = [cut(original[i], box) for i, box in sightings]
        mask = np.zeros((len(views), SIDE, SIDE, 1))
        mask[:, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = 1
        flicker.append(
            np.nanmean(
                stability.flicker(
                    np.array(views), motion_of=np.array(first), masks=mask
                )
            )
        )
        points = np.array([points_in(pixels_of[i], box, find) for i, box in sightings])
        unit = embed([pixels_of[i] for i, _ in sightings], points)
        drift.append(np.nanmean(stability.identity_drift(unit)))
        widths = np.array([box[2] - box[0] for _, box in sightings])
        try:
            jitter.append(stability.landmark_jitter(points, widths=widths))
        except ValueError:
            jitter.append(np.nan)
    return {
        "identity_drift": round(float(np.nanmean(drift)), 4),
        "flicker_levels": round(float(np.nanmean(flicker)), 3),
        "landmark_jitter": round(float(np.nanmean(jitter)), 5),
    }


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--embedder", required=True, type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--tracks", type=int, default=3)
    parser.add_argument("--weights", default="default")
    args = parser.parse_args()
    runtime.start("auto")
    embed = embedding.load(args.embedder)
    glance = detect.make("centerface", factors=(1.0, 0.5))
    tools = clips.Tools(
        pipeline.to_device(weights.load(args.weights)),
        detect.make("centerface"),
        pipeline.to_device(weights.load("keypointer")),
        pipeline.Options(),
        glance,
    )
    for clip in args.clips:
        settings = clips.VideoOptions(preview=args.seconds)
        _, followed = follow(clip, tools, settings)
        tracks = longest(followed, args.tracks)
        original = [item.payload.pixels for item in followed]
        results = {"original": original}
        for identity in ("track", "frame"):
            wanted = clips.VideoOptions(preview=args.seconds, identity=identity, crf=10)
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "out.mp4"
                clips.anonymize_video_file(
                    clip, target, seed=0, video=wanted, **tools._asdict()
                )
                results[identity] = [frame.pixels for frame in video.read(target)]
        for kind, pixels in results.items():
            found = measure(pixels, tracks, original, glance, embed)
            line = {"clip": clip.name, "tracks": len(tracks), "kind": kind, **found}
            print(json.dumps({"device": str(jax.devices()[0]), **line}), flush=True)


if __name__ == "__main__":
    main()
