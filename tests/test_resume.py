import json
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import clips, pipeline, resume, seeds
from jaxanon.errors import MediaError
from jaxanon.media import encode, video
from jaxanon.types import Detections

RESUME = clips.VideoOptions(resume=True)
COUNT = 40


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(resume, "PART_FRAMES", 8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, encode_clip):
    noise = np.random.default_rng(0).integers(60, 160, (6, 10, 1))
    plain = np.kron(noise, np.ones((8, 8, 3), int)).astype(np.uint8)
    pictures = [np.roll(plain, index, 1) for index in range(COUNT)]
    times = [index * 40 + index % 3 for index in range(COUNT)]  # A rate that varies.
    return encode_clip(
        tmp_path_factory.mktemp("clips") / "in.mp4", pictures, times=times
    )


def looking(looks, *, first=0, stop_at=COUNT):
    """Makes a detector that sees a face walk by, and may be interrupted."""

    def detect(frames):
        index = first + len(looks)
        if index == stop_at:
            raise KeyboardInterrupt
        looks.append(index)
        box = np.array([[4 + index, 10, 24 + index, 34]], np.float32)
        unseen = np.full((1, 11, 2), np.nan, np.float32)
        return [Detections(box, np.full(1, 0.9, np.float32), unseen)]

    return detect


def run(source, target, weights, *, first=0, stop_at=COUNT, **settings):
    looks = []
    given = {"detector": looking(looks, first=first, stop_at=stop_at), "seed": 5}
    given |= {"weights": weights, "video": RESUME} | settings
    return clips.anonymize_video_file(source, target, **given), looks


def interrupt(*arguments, **settings):
    # 38 frames are seen, 15 of which the tracking waits for; 23 are painted.
    with pytest.raises(KeyboardInterrupt):
        run(*arguments, stop_at=38, **settings)


def pictures(path):
    return [(frame.pts, frame.pixels.tobytes()) for frame in video.read(path)]


def test_after_an_interruption_everybody_keeps_the_donor(tmp_path, clip, tiny_painter):
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    expected, _ = run(clip, whole, tiny_painter)
    interrupt(clip, target, tiny_painter)
    report, _ = run(clip, target, tiny_painter, first=16)
    assert pictures(target) == pictures(whole)
    assert report["tracks"] == expected["tracks"]
    assert report["tracks"][0]["donor"].startswith("drawn/")


def test_another_bank_does_not_go_on_with_it(tmp_path, clip, tiny_painter):
    interrupt(clip, tmp_path / "out.mp4", tiny_painter)
    cast = tiny_painter.cast
    other = cast._replace(bank=cast.bank._replace(sha256="2" * 64))
    with pytest.raises(MediaError, match="finish it with the same command"):
        run(clip, tmp_path / "out.mp4", tiny_painter._replace(cast=other))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "gif"])
def test_an_interrupted_run_goes_on_to_the_same_pictures(
    tmp_path, clip, tiny_weights, suffix
):
    whole, target = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    expected, _ = run(clip, whole, tiny_weights)
    interrupt(clip, target, tiny_weights)
    work = tmp_path / f".out.{suffix}.unfinished"
    assert not target.exists()
    assert len(list(work.glob("*.npz"))) == 2
    report, looks = run(clip, target, tiny_weights, first=16)
    assert looks == list(range(16, COUNT))
    assert pictures(target) == pictures(whole)
    assert report["tracks"] == expected["tracks"]
    assert report["frames"] == COUNT
    assert report["notes"] == ["went on after 16 frames of an unfinished run."]
    assert {p.name for p in tmp_path.iterdir()} == {whole.name, target.name}


def test_a_secret_key_is_kept_for_the_owner_and_used_again(
    tmp_path, clip, tiny_weights, monkeypatch
):
    target, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    interrupt(clip, target, tiny_weights, seed=None)
    work = tmp_path / ".out.mp4.unfinished"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in work.iterdir()}
    assert modes == {0o600} and stat.S_IMODE(work.stat().st_mode) == 0o700
    words = json.loads((work / "state.json").read_text())["key"]
    run(clip, target, tiny_weights, first=16, seed=None)
    key = jax.random.wrap_key_data(jnp.array(words, np.uint32), impl="threefry2x32")
    monkeypatch.setattr(seeds, "base_key", lambda seed: key)
    run(clip, whole, tiny_weights, seed=None)
    assert pictures(target) == pictures(whole)


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"options": pipeline.Options(mode="black")}],
    ids=["seed", "options"],
)
def test_another_run_does_not_go_on_with_it(tmp_path, clip, tiny_weights, change):
    interrupt(clip, tmp_path / "out.mp4", tiny_weights)
    with pytest.raises(MediaError, match="finish it with the same command"):
        run(clip, tmp_path / "out.mp4", tiny_weights, **change)


def test_without_resume_an_interruption_leaves_nothing(tmp_path, clip, tiny_weights):
    settings = {"video": clips.VideoOptions()}
    interrupt(clip, tmp_path / "out.mp4", tiny_weights, **settings)
    assert not list(tmp_path.iterdir())


def test_an_early_interruption_leaves_nothing(tmp_path, clip, tiny_weights):
    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out.mp4", tiny_weights, stop_at=9)
    assert not list(tmp_path.iterdir())


def test_a_damaged_part_is_named(tmp_path, clip, tiny_weights):
    interrupt(clip, tmp_path / "out.mp4", tiny_weights)
    part = tmp_path / ".out.mp4.unfinished" / "000001.npz"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(MediaError, match="000001.npz"):
        run(clip, tmp_path / "out.mp4", tiny_weights, first=16)


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
def test_parts_join_to_what_was_encoded(tmp_path, clip, codec):
    info, target = video.probe(clip), tmp_path / "out.mkv"
    frames = list(video.read(clip))
    coding = encode.Coding(codec)
    parts = [frames[:9], frames[9:17], frames[17:]]
    packets = [
        packet
        for part in parts
        for packet in encode.encode_part(target, part, info, coding)
    ]
    assert len(packets) == COUNT
    assert [p.dts for p in packets] == [p.pts for p in packets]
    assert encode.join(target, packets, info, coding) == COUNT
    result, unit = list(video.read(target)), video.probe(target).time_base
    times = [float(frame.pts * info.time_base) for frame in frames]
    assert [float(f.pts * unit) for f in result] == pytest.approx(times, abs=1e-3)
    distances = [
        np.abs(a.pixels.astype(int) - b.pixels).mean()
        for a, b in zip(frames, result, strict=True)
    ]
    assert max(distances) < 6
