import threading
from fractions import Fraction

import av
import jax
import numpy as np
import pytest
from PIL import Image

from jaxanon import clips, hide, models, pipeline, stages, weights
from jaxanon import frames as frames_module
from jaxanon.detect import json_format
from jaxanon.errors import ConfigError, DetectorError, MediaError
from jaxanon.media import kind, video
from jaxanon.types import Detections

BLACK = pipeline.Options(mode="black")
SIDE = 16


def place(index):
    """Where the red square, the face of these tests, is."""
    return 8 + 2 * index, 14


def draw(index, *, shown=True, shot=0):
    noise = np.random.default_rng(shot).integers(60, 160, (6, 10, 1))
    picture = np.kron(noise, np.ones((8, 8, 3), int)).astype(np.uint8)
    if shown:
        x, y = place(index)
        picture[y : y + SIDE, x : x + SIDE] = [250, 30, 30]
    return picture


LOSSLESS = {"pixel_format": "yuv444p", "options": {"qp": "0"}}


def find_red(pixels):
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    n = int(len(rows) > 8)
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if n else []
    return Detections(
        np.array(box, np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        np.full((n, 11, 2), np.nan, np.float32),
    )


def detector(frames):
    return [find_red(frame) for frame in frames]


def forgetful(missed):
    """A detector that sees nothing in some frames."""
    count = iter(range(10_000))
    nothing = find_red(np.zeros((4, 4, 3), np.uint8))

    def detect(frames):
        return [nothing if next(count) in missed else find_red(f) for f in frames]

    return detect


def red_left(path):
    return [int((f.pixels[..., 0] > 200).sum()) for f in video.read(path)]


def run(source, target, *, find=detector, **settings):
    given = {"weights": None, "detector": find, "options": BLACK, "seed": 1} | settings
    return clips.anonymize_video_file(source, target, **given)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, encode_clip):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return encode_clip(path, [draw(i) for i in range(12)], **LOSSLESS)


@pytest.fixture(scope="module")
def generator():
    config = models.GeneratorConfig(
        resolution=16, widths=(8, 8), blocks=1, latent_dim=8, style_width=8
    )
    shapes = jax.eval_shape(
        lambda key: models.init_generator(key, config), jax.random.key(0)
    )
    draw = np.random.default_rng(0).standard_normal
    params = jax.tree.map(lambda leaf: (0.3 * draw(leaf.shape)).astype("f4"), shapes)
    return weights.Weights("unet", config, params, {}, "0" * 64)


def test_a_face_is_hidden_in_every_frame(tmp_path, clip):
    report = run(clip, tmp_path / "out.mp4")
    assert min(red_left(clip)) > 200
    assert red_left(tmp_path / "out.mp4") == [0] * 12
    assert report["frames"] == 12
    (track,) = report["tracks"]
    assert track["frames"] == 12 and track["end"] == pytest.approx(11 / 25, abs=1e-3)


def test_frames_in_which_the_detector_fails_are_hidden_too(tmp_path, clip):
    run(clip, tmp_path / "out.mp4", find=forgetful({0, 4, 5, 6, 11}))
    assert red_left(tmp_path / "out.mp4") == [0] * 12


@pytest.mark.parametrize("every", [3, 5])
def test_looking_at_some_frames_hides_all(tmp_path, clip, every):
    looked = []

    def counting(frames):
        looked.append(len(frames))
        return detector(frames)

    settings = clips.VideoOptions(detect_every=every)
    run(clip, tmp_path / "out.mp4", find=counting, video=settings)
    assert red_left(tmp_path / "out.mp4") == [0] * 12
    assert sum(looked) < 7


def test_both_sides_of_a_cut_are_looked_at(tmp_path, encode_clip):
    pictures = [draw(i) for i in range(7)] + [draw(i, shot=1) for i in range(7, 13)]
    source = encode_clip(tmp_path / "in.mp4", pictures, **LOSSLESS)
    settings = clips.VideoOptions(detect_every=5)
    report = run(source, tmp_path / "out.mp4", video=settings)
    assert red_left(tmp_path / "out.mp4") == [0] * 13
    assert [track["frames"] for track in report["tracks"]] == [7, 6]


def test_a_clip_without_faces_goes_through(tmp_path, encode_clip):
    source = encode_clip(
        tmp_path / "in.mp4", [draw(i, shown=False) for i in range(6)], **LOSSLESS
    )
    report = run(source, tmp_path / "out.mp4")
    assert report["tracks"] == []
    first, after = next(video.read(source)), next(video.read(tmp_path / "out.mp4"))
    assert np.abs(first.pixels.astype(int) - after.pixels).mean() < 3


def test_same_seed_same_bytes_other_seed_other_face(tmp_path, clip, generator):
    options = pipeline.Options()
    common = {"weights": generator, "options": options}
    run(clip, tmp_path / "a.mkv", **common)
    run(clip, tmp_path / "b.mkv", **common)
    run(clip, tmp_path / "c.mkv", **common, seed=2)
    first, same, other = (tmp_path / f"{n}.mkv" for n in "abc")
    assert first.read_bytes() == same.read_bytes()
    a, c = next(video.read(first)).pixels, next(video.read(other)).pixels
    x, y = place(0)
    inner = np.s_[y + 2 : y + SIDE - 2, x + 2 : x + SIDE - 2]
    assert np.abs(a[inner].astype(int) - c[inner]).mean() > 2


def test_a_person_keeps_the_latent_and_two_people_differ(generator, found):
    tools = clips.Tools(generator, detector, None, pipeline.Options())
    pair = found((4, 4, 16, 18), (30, 8, 44, 24))
    one, two = (
        pipeline.erase(draw(0, shot=shot), pair, generator, tools.options)
        for shot in (0, 1)
    )
    draws = hide._Latents(jax.random.key(0), tools, is_per_frame=False)
    first, later = draws(one, np.array([0, 1]), 0), draws(two, np.array([1, 2]), 1)
    np.testing.assert_array_equal(first[1], later[0])
    assert np.abs(first[0] - first[1]).max() > 0.1
    changing = hide._Latents(jax.random.key(0), tools, is_per_frame=True)
    drawn = [changing(one, np.array([0, 1]), index)[0] for index in (0, 1)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.1


def test_a_person_keeps_the_donor_and_two_people_differ(tiny_painter, found):
    tools = clips.Tools(tiny_painter, detector, None, pipeline.Options())
    pair = found((4, 4, 16, 18), (30, 8, 44, 24))
    canvases = [
        pipeline.erase(draw(0, shot=shot), pair, tiny_painter, tools.options)
        for shot in range(4)
    ]
    draws = hide._Latents(jax.random.key(0), tools, is_per_frame=False)
    first, *others = (draws(c, np.array([0, 1]), i) for i, c in enumerate(canvases))
    assert all(picks == first for picks in others)
    assert first[0].index != first[1].index
    # Who comes later gets nobody who is in the picture.
    newcomer = draws(canvases[0], np.array([1, 2]), 4)
    assert newcomer[0] == first[1] and newcomer[1].index != first[1].index
    # Frames that are followed and not painted leave all as it would have been.
    again = hide._Latents(jax.random.key(0), tools, is_per_frame=False)
    again.meet(draw(0, shot=0), pair, np.array([0, 1]), 0)
    assert again(canvases[1], np.array([0, 1]), 1) == first
    changing = hide._Latents(jax.random.key(0), tools, is_per_frame=True)
    drawn = [changing(c, np.array([0, 1]), i) for i, c in enumerate(canvases)]
    assert len({picks[0].index for picks in drawn}) > 1


def test_given_faces_lead_to_the_same_file(tmp_path, clip):
    found = clips.detect_video_file(clip, detector=detector)
    json_format.write(tmp_path / "faces.json", {"clip": found})
    given = json_format.read(tmp_path / "faces.json")["clip"]
    run(clip, tmp_path / "a.mkv")
    run(clip, tmp_path / "b.mkv", find=None, detections=given)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_frames_without_given_faces_are_refused(tmp_path, clip):
    found = clips.detect_video_file(clip, detector=detector)
    fewer = found._replace(frames=found.frames[:5])
    with pytest.raises(MediaError, match="No faces are given"):
        run(clip, tmp_path / "out.mp4", find=None, detections=fewer)
    with pytest.raises(MediaError, match="detections are of"):
        run(clip, tmp_path / "o.mp4", find=None, detections=found._replace(width=9))
    thin = found.frames[4].faces._replace(boxes=np.float32([[0.1, 0.2, 0.5, 0.6]]))
    last = found.frames[4]._replace(faces=thin)
    wrong = found._replace(frames=(*found.frames[:4], last, *found.frames[5:]))
    with pytest.raises(MediaError, match="fractions"):
        run(clip, tmp_path / "o.mp4", find=None, detections=wrong)
    assert not list(tmp_path.iterdir())


def test_a_detector_that_fails_leaves_no_output(tmp_path, clip):
    def broken(frames):
        raise DetectorError("out of order")

    with pytest.raises(DetectorError, match="out of order"):
        run(clip, tmp_path / "out.mp4", find=broken)
    assert not list(tmp_path.iterdir())
    assert threading.active_count() < 4


def test_a_part_is_taken(tmp_path, clip):
    settings = clips.VideoOptions(start=0.1, preview=0.16)
    report = run(clip, tmp_path / "out.mp4", video=settings)
    assert report["frames"] == 4


def test_frames_done_together_give_the_same_clip(tmp_path, clip, generator):
    for batch in (1, 5):
        options = pipeline.Options(batch_size=batch)
        target, settings = tmp_path / f"{batch}.mkv", clips.VideoOptions(detect_every=2)
        report = run(clip, target, weights=generator, options=options, video=settings)
        assert report["tracks"][0]["frames"] == 12
    one, five = (video.read(tmp_path / f"{batch}.mkv") for batch in (1, 5))
    for a, b in zip(one, five, strict=True):
        assert np.abs(a.pixels.astype(int) - b.pixels).mean() < 0.5


@pytest.mark.parametrize("rate, sigma", [(5, 1.0), (25, 2.0), (60, 2.5)])
def test_smoothing_is_as_long_in_time_at_other_rates(clip, rate, sigma):
    info = video.probe(clip)._replace(rate=Fraction(rate))
    tools = clips.Tools(None, detector, None, BLACK)
    assert hide.rules(info, tools, clips.VideoOptions()).sigma == sigma


def test_a_preview_counts_from_the_first_picture(clip):
    info = video.probe(clip)._replace(first_seconds=2.0)
    span = clips.VideoOptions(preview=1.0).span(info)
    assert span.start_seconds == 0 and span.end_seconds == 3.0
    later = clips.VideoOptions(preview=1.0, start=5.0).span(info)
    assert (later.start_seconds, later.end_seconds) == (5.0, 6.0)


def test_progress_counts_frames(tmp_path, clip):
    told = []
    run(clip, tmp_path / "out.mp4", progress=lambda n, total: told.append((n, total)))
    assert told == [(1, 12)] * 12


def test_what_can_only_be_read_becomes_mp4(tmp_path, clip):
    report = run(clip, tmp_path / "out.avi")
    assert report["output"].endswith("out.mp4") and "out.mp4" in report["notes"][0]


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_every_picture_of_an_animated_gif_is_hidden(tmp_path, suffix):
    first, *others = (Image.fromarray(draw(i)) for i in range(6))
    source, target = tmp_path / "in.gif", tmp_path / f"out.{suffix}"
    first.save(source, save_all=True, append_images=others, duration=40)
    # As the command line does it, which tells videos from pictures.
    assert kind.of(source) == "video"
    assert run(source, target)["frames"] == 6
    assert min(red_left(source)) > 200
    assert red_left(target) == [0] * 6


def test_a_truncated_clip_gives_an_error_and_no_output(tmp_path, encode_clip):
    whole = encode_clip(
        tmp_path / "whole.mkv", [draw(i) for i in range(12)], **LOSSLESS
    )
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(MediaError):
        run(cut, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_pipe_is_anonymised_as_it_comes(tmp_path, clip):
    clips.live(
        str(clip),
        str(tmp_path / "live.mkv"),
        weights=None,
        detector=forgetful({5, 6}),
        options=BLACK,
    )
    assert red_left(tmp_path / "live.mkv") == [0] * 12


def test_stages_hold_a_bounded_number_of_items():
    made, used = [], []

    def source():
        for i in range(100):
            made.append(i)
            yield i

    with stages.Line() as line:
        for item in line.ahead(source(), size=3):
            used.append(item)
            # Three wait, one is in the hand of the stage that waits to put it down.
            assert len(made) - len(used) <= 5
    assert used == list(range(100))


def test_leaving_stops_all_stages():
    def endless():
        while True:
            yield 0

    with stages.Line() as line:
        second = line.ahead(line.ahead(endless()))
        next(second)
    assert not [t for t in line._threads if t.is_alive()]


@pytest.mark.parametrize(
    "wrong",
    [{"audio": "louder"}, {"identity": "x"}, {"detect_every": 0}, {"end": 0.0}],
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(ConfigError):
        clips.VideoOptions(**wrong)


def test_a_face_is_opaque_where_it_is_hidden_and_gone_under_nothing(tmp_path):
    source, target = tmp_path / "in.mov", tmp_path / "out.mov"
    alpha = np.full((48, 80, 1), 255, np.uint8)
    alpha[:, 40:] = 0
    x, y = place(0)
    alpha[y : y + SIDE : 2, x : x + SIDE] = 100
    picture = draw(0)
    picture[30:46, 60:76] = [250, 30, 30]  # Nobody finds this one.
    with av.open(str(source), "w") as container:
        stream = container.add_stream("qtrle", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 80, "argb"
        for _ in range(3):
            pixels = np.concatenate([picture, alpha], -1)
            frame = av.VideoFrame.from_ndarray(pixels, "rgba")
            container.mux(stream.encode(frame.reformat(format="argb")))
        container.mux(stream.encode(None))

    def find(frames):
        return [find_red(np.where(np.arange(80)[:, None] < 40, f, 0)) for f in frames]

    run(source, target, find=find)
    for frame in video.read(target):
        assert (frame.alpha[y : y + SIDE, x : x + SIDE] > 65000).all()
        assert (frame.alpha[:6, 42:] < 600).all()
        assert (frame.pixels[:, 42:] < 2000).all()


def test_a_stencil_of_a_face_is_found_in_what_is_transparent(tmp_path):
    alpha = np.full((48, 80), 255, np.uint8)
    alpha[10:26, 20:36] = 0
    seen = []

    def find(pictures):
        seen.extend(pictures)
        return [find_red(p) for p in pictures]

    frames_module._find_in_alpha(alpha, find)
    np.testing.assert_array_equal(seen[0], np.repeat(alpha[..., None], 3, 2))
    assert frames_module._find_in_alpha(np.full((4, 4), 255, np.uint8), find) is None


def test_looking_counts_everybody_once(clip):
    people = set()
    found = clips.detect_video_file(clip, detector=detector, people=people)
    assert len(people) == 1
    assert len(found.frames) == 12


def test_other_videos_in_a_file_are_named(tmp_path, clip):
    source = tmp_path / "two.mkv"
    with av.open(str(clip)) as container, av.open(str(source), "w") as target:
        stream = container.streams.video[0]
        copies = [target.add_stream_from_template(stream) for _ in range(2)]
        for packet in container.demux(stream):
            if packet.dts is not None:
                packet.stream = copies[1]
                target.mux(packet)
                if packet.pts == 0:
                    packet.stream = copies[0]
                    target.mux(packet)
    report = run(source, tmp_path / "out.mp4")
    assert report["frames"] == 12
    assert any("track 0" in note for note in report["notes"])
