import gc
import struct
import types
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jaxanon.errors import ConfigError, MediaError
from jaxanon.media import codecs, encode, video

MILLISECOND = Fraction(1, 1000)


def draw(index, height=48, width=64):
    """A smooth picture that moves, so that every codec keeps it well."""
    y, x = np.mgrid[:height, :width]
    red = 60 + 2 * x + 3 * index
    green = 50 + 3 * y
    blue = np.full_like(x, 90 + 4 * index)
    return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


def make(
    path,
    *,
    codec="libx264",
    pixel_format="yuv420p",
    times=tuple(range(0, 400, 40)),
    size=(48, 64),
    sound=False,
    degrees=0,
    metadata=None,
    options=None,
    color=None,
    container_options=None,
):
    """Writes a drawn clip with PyAV alone; times are in milliseconds."""
    height, width = size
    with av.open(
        str(path), "w", container_options=container_options or {}
    ) as container:
        container.metadata.update(metadata or {})
        if codec == "libx264":  # The same bytes on all processors, and in all runs.
            options = {"x264-params": "cpu-independent=1"} | (options or {})
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        # Neither counts milliseconds.
        unit = {".gif": Fraction(1, 100), ".avi": Fraction(1, 25)}.get(
            Path(path).suffix, MILLISECOND
        )
        stream.codec_context.time_base = unit
        if color:
            stream.codec_context.color_range = color
        if degrees:
            stream.set_display_rotation(degrees)
        audio = (
            container.add_stream("aac", rate=44100, layout="mono") if sound else None
        )
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(index, height, width), "rgb24")
            frame = frame.reformat(format=pixel_format, dst_color_range=color)
            frame.pts, frame.time_base = round(time * MILLISECOND / unit), unit
            container.mux(stream.encode(frame))
            if audio and index < 8:
                container.mux(audio.encode(tone(index)))
        container.mux(stream.encode(None))
        if audio:
            container.mux(audio.encode(None))
    return path


def tone(index):
    samples = np.sin((np.arange(1024) + 1024 * index) / 9).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 44100, 1024 * index
    frame.time_base = Fraction(1, 44100)
    return frame


def copy(source, target, **settings):
    info = video.probe(source)
    audio_from = settings.pop("audio_from", None)
    coding = encode.Coding(**settings)
    encode.write(target, video.read(source), info, coding, audio_from=audio_from)
    return list(video.read(target))


def seconds(path):
    info = video.probe(path)
    return [float(frame.pts * info.time_base) for frame in video.read(path)]


def error(a, b):
    return np.abs(a.astype(int) - b.astype(int)).mean()


@pytest.mark.parametrize(
    "codec, pixel_format, suffix, size",
    [
        ("libx264", "yuv420p", ".mp4", (48, 64)),
        ("libx264", "yuv422p", ".mkv", (48, 64)),
        ("libx264", "yuv444p", ".mp4", (47, 63)),
        ("libvpx-vp9", "yuv420p", ".webm", (47, 63)),
        ("libsvtav1", "yuv420p", ".mkv", (48, 64)),
        ("libx265", "yuv420p", ".mp4", (48, 64)),
    ],
)
def test_a_video_goes_through_with_size_times_and_pictures(
    tmp_path, codec, pixel_format, suffix, size
):
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    source = make(
        tmp_path / f"in{suffix}",
        codec=codec,
        pixel_format=pixel_format,
        size=size,
        options=quiet,
    )
    frames = list(video.read(source))
    result = copy(source, tmp_path / f"out{suffix}")
    assert [f.pixels.shape for f in result] == [(*size, 3)] * 10
    assert seconds(tmp_path / f"out{suffix}") == pytest.approx(
        seconds(source), abs=1e-3
    )
    assert (
        max(error(a.pixels, b.pixels) for a, b in zip(frames, result, strict=True)) < 4
    )


def test_odd_sides_are_kept_whatever_the_codec(tmp_path):
    source = make(tmp_path / "in.webm", codec="libvpx-vp9", size=(47, 63))
    result = copy(source, tmp_path / "out.mp4")
    assert result[0].pixels.shape == (47, 63, 3)
    assert video.probe(tmp_path / "out.mp4").pixel_format == "yuv444p"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_frame_rate_and_a_late_start_are_kept(tmp_path, suffix):
    times = (850, 880, 960, 970, 1300, 1310, 1500)
    source = make(tmp_path / f"in{suffix}", times=times)
    copy(source, tmp_path / f"out{suffix}")
    expected = [time / 1000 for time in times]
    assert seconds(tmp_path / f"out{suffix}") == pytest.approx(expected, abs=1e-3)


def test_ten_bits_stay_ten_bits(tmp_path):
    source = make(tmp_path / "in.mkv", codec="libsvtav1", pixel_format="yuv420p10le")
    frames = list(video.read(source))
    result = copy(source, tmp_path / "out.mp4", codec="av1")
    assert frames[0].pixels.dtype == result[0].pixels.dtype == np.uint16
    assert video.probe(tmp_path / "out.mp4").pixel_format == "yuv420p10le"
    assert error(frames[3].pixels, result[3].pixels) < 4 * 256


@pytest.mark.parametrize("degrees, turns", [(90, 1), (180, 2), (270, 3)])
def test_a_rotated_clip_is_seen_upright_and_written_upright(tmp_path, degrees, turns):
    # FFmpeg's angle and NumPy's quarter turns both go anticlockwise.
    source = make(tmp_path / "in.mp4", degrees=degrees)
    flat = make(tmp_path / "flat.mp4")
    expected = np.rot90(next(video.read(flat)).pixels, turns)
    frame = next(video.read(source))
    np.testing.assert_array_equal(frame.pixels, expected)
    result = copy(source, tmp_path / "out.mp4")
    assert result[0].pixels.shape == expected.shape
    assert error(result[0].pixels, expected) < 4


def test_a_mirrored_display_matrix_is_applied():
    mirror = struct.pack("<9i", -(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    frame = types.SimpleNamespace(side_data={"DISPLAYMATRIX": mirror})
    assert video._orientation(frame) == (False, True, False)


def test_color_range_and_matrix_are_kept(tmp_path):
    source = make(tmp_path / "in.mp4", color=2)
    copy(source, tmp_path / "out.mp4")
    assert video.probe(tmp_path / "out.mp4").color == video.probe(source).color
    assert video.probe(source).color[1] == 2


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_sound_is_copied_bit_for_bit_or_dropped(tmp_path):
    source = make(tmp_path / "in.mp4", sound=True)
    copy(source, tmp_path / "kept.mp4", audio_from=source)
    copy(source, tmp_path / "dropped.mp4")
    assert packets(tmp_path / "kept.mp4") == packets(source) != []
    assert not video.probe(tmp_path / "dropped.mp4").has_audio


def test_nothing_that_tells_where_when_or_who_is_written(tmp_path):
    secrets = {
        "title": "Secret",
        "location": "+52.5+013.4/",
        "comment": "Secret",
        "creation_time": "2020-02-02T02:02:02",
    }
    source = make(tmp_path / "in.mkv", metadata=secrets, sound=True)
    copy(source, tmp_path / "out.mkv", audio_from=source)
    with av.open(str(tmp_path / "out.mkv")) as container:
        tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    names = {name.lower() for tag in tags for name in tag} - {"duration", "encoder"}
    assert not names
    assert b"ecret" not in (tmp_path / "out.mkv").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".gif", ".webm"])
@pytest.mark.parametrize("share", [0.55, 0.8])
def test_a_truncated_file_raises_and_leaves_nothing(tmp_path, suffix, share):
    codec = {".gif": "gif", ".webm": "libvpx-vp9"}.get(suffix, "libx264")
    source = make(
        tmp_path / f"whole{suffix}",
        codec=codec,
        times=tuple(range(0, 1600, 40)),
        pixel_format="rgb8" if suffix == ".gif" else "yuv420p",
        container_options={"movflags": "faststart"} if suffix == ".mp4" else {},
    )
    assert len(list(video.read(source))) == 40
    data = source.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match="cut"):
        copy(cut, tmp_path / "out.mp4")
    assert {p.name for p in tmp_path.iterdir()} == {source.name, cut.name}


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00" * 5000])
def test_what_is_no_video_raises(tmp_path, content):
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="in.mp4"):
        video.probe(path)


def test_an_interruption_leaves_what_was_there(tmp_path):
    source = make(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    target.write_bytes(b"before")

    def interrupted():
        yield from list(video.read(source))[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode.write(target, interrupted(), video.probe(source))
    assert target.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def test_sound_before_the_first_picture_is_noticed(tmp_path):
    times = tuple(range(900, 1300, 40))
    source = make(tmp_path / "in.mkv", times=times, sound=True)
    assert video.probe(source).first_seconds == pytest.approx(0.9, abs=0.03)


def test_a_part_begins_at_zero(tmp_path):
    source = make(tmp_path / "in.mp4", sound=True)
    frames = video.read(source, start_seconds=0.1, end_seconds=0.3)
    target, info = tmp_path / "out.mp4", video.probe(source)
    coding = encode.Coding(span=encode.Span(0.1, 0.3))
    encode.write(target, frames, info, coding, audio_from=source)
    assert seconds(tmp_path / "out.mp4") == pytest.approx([0.02, 0.06, 0.1, 0.14, 0.18])


def test_a_gif_comes_in_and_goes_out(tmp_path):
    source = make(tmp_path / "in.gif", codec="gif", pixel_format="rgb8")
    assert len(copy(source, tmp_path / "out.gif")) == 10
    assert seconds(tmp_path / "out.gif") == pytest.approx(seconds(source), abs=0.01)
    assert len(copy(source, tmp_path / "out.mp4")) == 10
    assert video.probe(tmp_path / "out.mp4").pixel_format == "yuv420p"


def test_reading_holds_one_frame_at_a_time(tmp_path):
    source = make(tmp_path / "in.mp4")
    frames = video.read(source)
    next(frames)
    assert frames.gi_frame is not None  # a generator that waits, not a list
    frames.close()


def test_what_was_read_is_freed_at_once(tmp_path):
    source = make(tmp_path / "in.mp4")
    gc.collect()
    gc.disable()
    try:
        for _ in video.read(source):
            pass
        left = [each for each in gc.get_objects() if isinstance(each, av.VideoFrame)]
    finally:
        gc.enable()
    # Those whose side data were asked for, of each pass, and the last one.
    assert len(left) <= 3


def test_the_same_frames_give_the_same_bytes(tmp_path):
    source = make(tmp_path / "in.mp4")
    copy(source, tmp_path / "a.mkv")
    copy(source, tmp_path / "b.mkv")
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_codecs_follow_from_the_name_and_wrong_ones_are_named():
    assert codecs.choose_codec(Path("a.MP4"), None, bits=8) == "h264"
    assert codecs.choose_codec(Path("a.mp4"), None, bits=10) == "h265"
    assert codecs.choose_codec(Path("a.webm"), None, bits=8) == "vp9"
    with pytest.raises(ConfigError, match="vp9, av1"):
        codecs.choose_codec(Path("a.webm"), "h264", bits=8)
    with pytest.raises(MediaError, match=".mkv"):
        codecs.choose_codec(Path("a.xyz"), None, bits=8)
