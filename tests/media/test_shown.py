"""What a player shows of a film, for as long as it shows it; many of each kind."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxanon.errors import MediaError
from jaxanon.media import encode, shown, video

few = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HEIGHT, WIDTH = 48, 64


def draw(index, alpha=None):
    """A picture with a patch whose place is the picture's number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([60 + 2 * x, 50 + 3 * y, 90 + 0 * x], -1)
    column, row = index % 16 * 4, index // 16 * 4
    picture[row : row + 4, column : column + 4] = 255
    picture = picture.astype(np.uint8)
    return picture if alpha is None else np.concatenate([picture, alpha], -1)


def make(path, count=10, *, codec="libx264", pixel_format=None, **settings):
    """Writes a clip of numbered pictures, 25 in a second."""
    make_tracks(path, [(count, 1)], codec, pixel_format, **settings)
    return path


def make_tracks(
    path, tracks, codec="libx264", pixel_format=None, *, alpha=None, **settings
):
    """Writes several videos: (pictures, 25ths of a second each is shown)."""
    options = settings.pop("options", {"x264-params": "cpu-independent=1:keyint=5"})
    with av.open(str(path), "w", container_options=settings) as container:
        streams = []
        for _ in tracks:
            stream = container.add_stream(codec, rate=25, options=dict(options))
            stream.height, stream.width = HEIGHT, WIDTH
            stream.pix_fmt = pixel_format or "yuv420p"
            streams.append(stream)
        for stream, (count, length) in zip(streams, tracks, strict=True):
            name = "rgb24" if alpha is None else "rgba"
            for index in range(count):
                picture = av.VideoFrame.from_ndarray(draw(index, alpha), name)
                frame = picture.reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = index * length, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def read(path, **span):
    info = video.probe(path)
    frames = list(video.read(path, info=info, **span))
    return [float(f.pts * info.time_base) - info.start_seconds for f in frames], frames


def same(frames, others):
    return len(frames) == len(others) and all(
        np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, others, strict=True)
    )


def copy(source, target, **settings):
    info = video.probe(source)
    audio_from = settings.pop("audio_from", None)
    coding = encode.Coding(**settings)
    frames = video.read(source, info=info)
    encode.write(target, frames, info, coding, audio_from=audio_from)
    return target


def insert(data, path, box):
    """Puts a box at the end of another in an MP4 whose index is at its end."""
    data, begin, end, places = bytearray(data), 0, len(data), []
    for name in path:
        while data[begin + 4 : begin + 8] != name:
            begin += struct.unpack_from(">I", data, begin)[0]
        places.append(begin)
        end = begin + struct.unpack_from(">I", data, begin)[0]
        begin += {b"stsd": 16, b"avc1": 86}.get(name, 8)
    for place in places:
        size = struct.unpack_from(">I", data, place)[0] + len(box)
        struct.pack_into(">I", data, place, size)
    return bytes(data[:end] + box + data[end:])


SAMPLES = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]


@few
@given(st.tuples(*[st.integers(0, 20)] * 4), st.sampled_from(["mp4", "mov"]))
def test_a_clean_aperture_is_cut_out(tmp_path, edges, suffix):
    left, top, right, bottom = edges
    plain = make(tmp_path / f"plain.{suffix}", 2)
    wide, high = WIDTH - left - right, HEIGHT - top - bottom
    numbers = (wide, 1, high, 1, left - right, 2, top - bottom, 2)
    box = struct.pack(">I4sIIIIiIiI", 40, b"clap", *numbers)
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(insert(plain.read_bytes(), SAMPLES, box))
    (frame, _), (whole, _) = read(path)[1], read(plain)[1]
    expected = whole.pixels[top : HEIGHT - bottom, left : WIDTH - right]
    np.testing.assert_array_equal(frame.pixels, expected)


def element(name, body):
    return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8) + body


def rebuild(data, changes):
    """Adds elements to masters of a Matroska file, by the path of their names."""

    def walk(file, end, path):
        result = b""
        while file.tell() < end:
            begin = file.tell()
            number = shown._number(file, keep=True)
            name = data[begin : file.tell()].hex()
            size = shown._number(file)
            inner = (*path, name)
            stop = min(end, file.tell() + size) if size is not None else end
            if number in (0x18538067, 0x1654AE6B, 0xAE, 0xE0):
                body = walk(file, stop, inner) + changes.get(inner[-1], b"")
            else:
                body = file.read(stop - file.tell())
            result += element(name, body)
        return result

    return walk(io.BytesIO(data), len(data), ())


@few
@given(st.tuples(*[st.integers(0, 20)] * 4))
def test_cropped_borders_are_cut_off_in_matroska(tmp_path, edges):
    plain = make(tmp_path / "plain.mkv", 2)
    names = ("54cc", "54bb", "54dd", "54aa")
    crops = b"".join(
        element(name, bytes([edge])) for name, edge in zip(names, edges, strict=True)
    )
    path = tmp_path / "in.mkv"
    path.write_bytes(rebuild(plain.read_bytes(), {"e0": crops}))
    left, top, right, bottom = edges
    whole = read(plain)[1][0].pixels
    expected = whole[top : HEIGHT - bottom, left : WIDTH - right]
    np.testing.assert_array_equal(read(path)[1][0].pixels, expected)


def test_chapters_in_another_order_are_refused(tmp_path):
    plain = make(tmp_path / "plain.mkv", 2)
    chapters = element("1043a770", element("45b9", element("45dd", b"\1")))
    path = tmp_path / "in.mkv"
    path.write_bytes(rebuild(plain.read_bytes(), {"18538067": chapters}))
    with pytest.raises(MediaError, match="order"):
        video.probe(path)


@few
@given(st.sampled_from([(3, 2), (4, 3), (1, 2), (16, 15)]), st.sampled_from([0, 90]))
def test_the_containers_aspect_is_kept(tmp_path, aspect, degrees):
    aspect = Fraction(*aspect)
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        if degrees:
            stream.set_display_rotation(degrees)
        stream.codec_context.sample_aspect_ratio = aspect
        container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(0), "rgb24")))
        container.mux(stream.encode(None))
    expected = 1 / aspect if degrees else aspect
    for suffix in ("mp4", "mkv", "mov"):
        target = copy(path, tmp_path / f"out.{suffix}")
        found = video.probe(target).aspect
        assert float(found) == pytest.approx(float(expected), rel=0.03)


@few
@given(st.integers(0, 20), st.integers(1, 20), st.sampled_from(["mp4", "mov"]))
def test_an_edit_list_cuts_both_ends(tmp_path, first, count, suffix):
    plain = make(tmp_path / f"plain.{suffix}", 40)
    data = bytearray(plain.read_bytes())
    at = data.find(b"elst") + 12
    unit = int(read_time_base(plain).denominator / 25)
    begin = struct.unpack_from(">i", data, at + 4)[0] + first * unit
    struct.pack_into(">Ii", data, at, count * 40, begin)
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(data)
    times, frames = read(path)
    assert same(frames, read(plain)[1][first : first + count])
    assert times == pytest.approx([i / 25 for i in range(count)], abs=2e-3)


def read_time_base(path):
    return video.probe(path).time_base


def test_an_edit_list_with_another_speed_is_refused(tmp_path):
    plain = make(tmp_path / "plain.mp4")
    data = bytearray(plain.read_bytes())
    struct.pack_into(">i", data, data.find(b"elst") + 20, 1 << 15)
    (tmp_path / "in.mp4").write_bytes(data)
    with pytest.raises(MediaError, match="speed"):
        video.probe(tmp_path / "in.mp4")


STREAMS = {
    "ts": {"codec": "libx264"},
    "m2ts": {"codec": "libx264", "mpegts_m2ts_mode": "1"},
    "mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "6", "q": "3"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}},
}


@settings(few, max_examples=12)
@given(
    st.sampled_from(sorted(STREAMS)),
    st.integers(2, 3),
    st.integers(10, 30),
    st.booleans(),
)
def test_joined_recordings_play_on(tmp_path, suffix, parts, count, is_counted):
    part = make(tmp_path / f"part.{suffix}", count, **STREAMS[suffix])
    data = part.read_bytes() * parts
    if is_counted and suffix.endswith("ts") and suffix != "m2ts":
        data = count_on(data)
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(data)
    times, frames = read(path)
    assert same(frames, read(part)[1] * parts)
    step = np.diff(read(copy(path, tmp_path / "out.mp4"))[0])
    assert step == pytest.approx(np.full(parts * count - 1, 1 / 25), abs=1e-3)


def count_on(data):
    """Lets the packets' counts go on, as in one recording."""
    packets = np.frombuffer(data, np.uint8).reshape(-1, 188).copy()
    last = {}
    for packet in packets:
        name = (packet[1] & 31, packet[2])
        if packet[3] & 16:
            last[name] = (last.get(name, -1) + 1) % 16
        packet[3] = packet[3] & 0xF0 | last.get(name, 0)
    return packets.tobytes()


@few
@given(st.sampled_from([0, 7, 3600, 95443 - 1, 95443 - 70]))
def test_a_late_clock_begins_at_zero_and_may_wrap(tmp_path, late):
    plain = make(tmp_path / "plain.ts", 100, output_ts_offset=str(late))
    times, frames = read(plain)
    assert len(frames) == 100
    assert np.diff(times) == pytest.approx(np.full(99, 1 / 25), abs=1e-3)
    written = read(copy(plain, tmp_path / "out.mp4"))[0]
    assert written == pytest.approx([i / 25 for i in range(100)], abs=2e-3)
    assert video.probe(tmp_path / "out.mp4").duration_seconds == pytest.approx(
        4, abs=0.1
    )


def test_a_recording_that_begins_between_key_frames_begins_at_the_next(tmp_path):
    whole = make(tmp_path / "whole.ts", 40, options={"g": "10", "bf": "2"})
    data = whole.read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    tables = [p for p in packets[:4] if (p[1] & 31, p[2]) != (1, 0)]
    pictures = [i for i, p in enumerate(packets) if p[1] & 64 and p[1] & 31 == 1]
    path = tmp_path / "in.ts"
    path.write_bytes(b"".join(tables + packets[pictures[3] :]))
    _, frames = read(path)
    assert same(frames, read(whole)[1][-len(frames) :])
    assert len(frames) >= 20


@few
@given(st.sampled_from(["mp4", "mov", "mkv", "gif"]), st.integers(2, 100))
def test_a_last_picture_is_held(tmp_path, suffix, length):
    frames = [
        video.Frame(draw(0), 0, 4),
        video.Frame(draw(1), 4, length),
    ]
    source = make(tmp_path / "in.mp4", 2)
    info = video.probe(source)._replace(time_base=Fraction(1, 100))
    held = tmp_path / f"held.{suffix}"
    encode.write(held, iter(frames), info)
    target = copy(held, tmp_path / f"out.{suffix}")
    last = read(target)[1][-1]
    shown_for = float(last.duration * video.probe(target).time_base)
    assert shown_for == pytest.approx(length / 100, abs=0.1)


@few
@given(
    st.permutations([(1, 1), (4, 1), (30, 1), (3, 5)]),
    st.sampled_from(["mp4", "mov", "mkv", "ts"]),
)
def test_the_film_is_the_longest_moving_picture(tmp_path, tracks, suffix):
    path = tmp_path / f"in.{suffix}"
    make_tracks(path, tracks)
    info = video.probe(path)
    assert len(read(path)[1]) == 30
    (note,) = info.notes
    assert note.count("track") == 3


PLACES = {
    "mp4": {"x264-params": "open-gop=1:keyint=8:bframes=3:cpu-independent=1"},
    "mkv": {"x264-params": "open-gop=1:keyint=8:bframes=3:cpu-independent=1"},
    "ts": {"x264-params": "open-gop=1:keyint=8:bframes=3:cpu-independent=1"},
    "avi": {"x264-params": "keyint=8:bframes=3:cpu-independent=1"},
    "mpg": {"bf": "2", "g": "6"},
    "mov": {"x264-params": "intra-refresh=1:keyint=10:bframes=0:cpu-independent=1"},
}


@settings(few, max_examples=20)
@given(st.sampled_from(sorted(PLACES)), st.integers(1, 110), st.integers(1, 30))
def test_a_part_has_exactly_its_pictures(tmp_path, suffix, first, count):
    path = tmp_path / f"in.{suffix}"
    if not path.exists():
        codec = "mpeg2video" if suffix == "mpg" else "libx264"
        make(path, 120, codec=codec, options=PLACES[suffix])
    _, all_frames = read(path)
    assert len(all_frames) == 120
    span = {"start_seconds": first / 25, "end_seconds": (first + count) / 25}
    times, frames = read(path, **span)
    assert same(frames, all_frames[first : first + count])


ALPHAS = [
    ("mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
    ("mov", "qtrle", "argb", {}),
    ("mov", "png", "rgba", {}),
    ("mkv", "ffv1", "yuva420p", {}),
    ("mkv", "ffv1", "bgra", {}),
    ("webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}),
    ("webm", "libvpx", "yuva420p", {"auto-alt-ref": "0"}),
    ("avi", "utvideo", "gbrap", {}),
]


@settings(few, max_examples=24)
@given(
    st.sampled_from(ALPHAS),
    st.sampled_from(["mov", "webm", "mkv", "gif", "mp4"]),
    st.sampled_from([0, 128, 255]),
)
def test_transparency_is_kept_or_refused(tmp_path, way, suffix, least):
    ending, codec, pixel_format, options = way
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, : WIDTH // 2] = least
    source = tmp_path / f"in.{ending}"
    make(
        source, 3, codec=codec, pixel_format=pixel_format, options=options, alpha=alpha
    )
    info, target = video.probe(source), tmp_path / f"out.{suffix}"
    target.unlink(missing_ok=True)
    lossy = codec.startswith("libvpx")
    assert info.has_alpha == (least < 255) or lossy
    is_deep = pixel_format.endswith("le")
    if info.has_alpha and (suffix == "mp4" or is_deep and suffix in ("webm", "mkv")):
        with pytest.raises(MediaError, match="transparent"):
            copy(source, target)
        assert not target.exists()
        return
    copy(source, target)
    if info.has_alpha:
        frame = read(target)[1][1]
        found = np.full((HEIGHT, WIDTH), 255, np.uint8)
        found = found if frame.alpha is None else frame.alpha
        kept = found / np.iinfo(found.dtype).max * 255
        expected = alpha[..., 0] if suffix != "gif" else 255 * (alpha[..., 0] > 127)
        assert np.abs(kept - expected).mean() < 6


def test_an_opaque_video_of_a_format_with_alpha_is_an_opaque_one(tmp_path):
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    source = make(
        tmp_path / "in.mov", codec="qtrle", pixel_format="argb", alpha=alpha, options={}
    )
    assert not video.probe(source).has_alpha
    assert len(read(copy(source, tmp_path / "out.mp4"))[1]) == 10


PLAYLISTS = [
    "ffconcat version 1.0\nfile {}\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">{}</MPD>',
    "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    "[playlist]\nFile1={}\n",
]


@few
@given(
    st.sampled_from(PLAYLISTS),
    st.sampled_from(["mp4", "mkv", "ts", "avi", "mov"]),
    st.sampled_from(["", "\ufeff", "\n\n"]),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_a_playlist_is_no_video_whatever_its_name(
    tmp_path, text, suffix, start, encoding
):
    make(tmp_path / "other.ts")
    path = tmp_path / f"in.{suffix}"
    path.write_bytes((start + text.format("other.ts")).encode(encoding))
    with pytest.raises(MediaError, match="in"):
        video.probe(path)


def test_a_playlist_with_other_bytes_opens_no_other_file(tmp_path):
    make(tmp_path / "other.ts")
    path = tmp_path / "in.mp4"
    path.write_bytes(b"ffconcat version 1.0\nfile other.ts\n#\0\1\n")
    with pytest.raises(MediaError, match="in.mp4"):
        video.probe(path)


def test_a_colon_is_a_character_of_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "plain.mp4").rename(tmp_path / "12:30 http:x.mp4")
    frames = list(video.read(Path("12:30 http:x.mp4")))
    assert len(frames) == 10


@settings(few, max_examples=3)
@given(
    st.integers(5, 10000),
    st.integers(0, 4000),
    st.integers(0, 1000),
    st.sampled_from(["h265", "av1", "h264"]),
)
def test_the_light_of_hdr_is_kept(tmp_path, most, brightest, mean, codec):
    source = make(tmp_path / "in.mp4", 3)
    colours = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)
    info = video.probe(source)._replace(
        mastering=(*colours, 0.005, float(most)), light=(brightest + 1, mean + 1)
    )
    target = tmp_path / "out.mkv"
    encode.write(target, video.read(source), info, encode.Coding(codec))
    found = video.probe(target)
    assert found.light == info.light
    assert found.mastering == pytest.approx(info.mastering, abs=2e-3)


@few
@given(st.sampled_from(["tff", "bff"]), st.sampled_from(["mp4", "mkv", "mov"]))
def test_interlaced_stays_interlaced(tmp_path, order, suffix):
    options = {"x264-params": f"{order}=1:cpu-independent=1"}
    source = make(tmp_path / f"in.{suffix}", options=options)
    assert video.probe(source).field_order == order
    target = copy(source, tmp_path / f"out.{suffix}")
    assert video.probe(target).field_order == order
    (note,) = encode.notes(target, video.probe(source), encode.Coding("h265"))
    assert "interlaced" in note


@few
@given(st.sampled_from([None, 0, 1, 3, 1000]))
def test_a_gif_is_repeated_as_often(tmp_path, loops):
    source = tmp_path / "in.gif"
    info = video.probe(make(tmp_path / "plain.mp4", 3))._replace(loops=loops)
    encode.write(source, video.read(tmp_path / "plain.mp4"), info)
    assert video.probe(source).loops == loops
    assert video.probe(copy(source, tmp_path / "out.gif")).loops == loops
    notes = encode.notes(tmp_path / "out.mp4", video.probe(source))
    assert len(notes) == (loops is not None)


def with_sound(path, codecs):
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25)
        film.height, film.width, film.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        sounds = [
            container.add_stream(
                codec, rate=48000, layout="stereo", options={"strict": "-2"}
            )
            for codec in codecs
        ]
        for sound in sounds:
            sound.metadata["title"] = "Secret"
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(draw(index), "rgb24")
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
        for sound in sounds:
            frame = av.AudioFrame(sound.format.name, "stereo", 9216)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts = 48000, 0
            fifo = av.AudioFifo()
            fifo.write(frame)
            size = sound.codec_context.frame_size or 1024
            for piece in fifo.read_many(size):
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return path


@few
@given(
    st.lists(
        st.sampled_from(["aac", "ac3", "libmp3lame", "libopus"]), min_size=1, max_size=3
    ),
    st.sampled_from(["mp4", "mkv", "webm", "gif", "mov"]),
    st.booleans(),
)
def test_sound_that_cannot_be_copied_is_named(tmp_path, codecs, suffix, is_unknown):
    source = with_sound(tmp_path / "in.mp4", codecs)
    if is_unknown:
        source.write_bytes(source.read_bytes().replace(b"mp4a", b"apac"))
    target = tmp_path / f"out.{suffix}"
    info = video.probe(source)
    notes = encode.notes(target, info, audio_from=source)
    copy(source, target, audio_from=source)
    left_out = sum("sound track" in note for note in notes)
    with av.open(str(target)) as container:
        assert len(container.streams.audio) == len(codecs) - left_out


def test_the_sound_of_vorbis_is_whole_without_its_comments(tmp_path):
    source = with_sound(tmp_path / "in.mkv", ["vorbis"])
    target = copy(source, tmp_path / "out.webm", audio_from=source)
    samples = []
    for path in (source, target):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
            samples.append(np.concatenate([f.to_ndarray() for f in frames], 1))
    np.testing.assert_array_equal(*samples)


@few
@given(st.integers(0, 2000), st.binary(max_size=600))
def test_the_comments_of_vorbis_are_emptied(length, third):
    first, second = b"\1vorbis" + bytes(23), b"\3vorbis" + b"picture!" * length
    laced = bytes([255] * (len(second) // 255) + [len(second) % 255])
    bare = encode._bare(bytes([2, 30]) + laced + first + second + third)
    assert bare == bytes([2, 30, 16]) + first + b"\3vorbis" + bytes(8) + b"\1" + third


@pytest.mark.parametrize("name", ["12:30.mp4", "http:x.mkv", "concat:a.mp4"])
def test_a_colon_is_a_character_of_an_outputs_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "in.mp4", 2)
    copy(Path("in.mp4"), Path("a:b") / name)
    assert len(read(tmp_path / "a:b" / name)[1]) == 2


def test_of_a_gap_in_the_middle_nothing_is_lost(tmp_path):
    times = [*range(20), 80]
    frames = [video.Frame(draw(n), n_time, 1) for n, n_time in enumerate(times)]
    info = video.probe(make(tmp_path / "in.mp4", 2))
    info = info._replace(time_base=Fraction(1, 25))
    for suffix in ("mp4", "mov", "mkv"):
        target = tmp_path / f"out.{suffix}"
        encode.write(target, iter(frames), info)
        assert read(target)[0] == pytest.approx([t / 25 for t in times], abs=2e-3)
        promised = video.probe(target).duration_seconds
        assert promised == pytest.approx(81 / 25, abs=0.02)


@settings(few, max_examples=12)
@given(st.integers(4, 40), st.integers(1, 3))
def test_what_a_recording_has_lost_within_a_picture_is_damage(tmp_path, at, count):
    options = {"g": "10", "crf": "1"}
    whole = make(tmp_path / "whole.ts", 30, options=options).read_bytes()
    packets = [whole[i : i + 188] for i in range(0, len(whole), 188)]
    inner = [
        i for i, p in enumerate(packets) if p[1] & 95 == 1 and p[3] & 16 and i > 20
    ]
    lost = inner[at % len(inner)]
    path = tmp_path / "in.ts"
    path.write_bytes(b"".join(packets[:lost] + packets[lost + count :]))
    with pytest.raises(MediaError):
        read(path)


def test_an_edit_list_with_a_hole_is_refused():
    assert shown._changes_speed(edits((40, 0), (40, -1), (40, 9)))
    assert not shown._changes_speed(edits((40, -1), (40, 0), (40, 9)))


def edits(*pairs):
    lines = (struct.pack(">iii", length, start, 1 << 16) for length, start in pairs)
    return bytes(4) + len(pairs).to_bytes(4) + b"".join(lines)


@few
@given(st.sampled_from(["gif", "mov", "webm", "mkv"]))
def test_transparency_that_moves_is_kept_in_a_gif(tmp_path, suffix):
    plain = make(tmp_path / "plain.mp4", 6)
    alphas = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(6)]
    for index, alpha in enumerate(alphas):
        alpha[:, index * 8 : index * 8 + 20] = 255
    frames = [
        frame._replace(alpha=alpha)
        for frame, alpha in zip(read(plain)[1], alphas, strict=True)
    ]
    info = video.probe(plain)._replace(has_alpha=True)
    source = tmp_path / "in.gif"
    encode.write(source, iter(frames), info)
    target = copy(source, tmp_path / f"out.{suffix}")
    for frame, alpha in zip(read(target)[1], alphas, strict=True):
        kept = frame.alpha / np.iinfo(frame.alpha.dtype).max
        np.testing.assert_allclose(kept, alpha / 255, atol=0.1)


def test_another_shape_of_pixels_on_the_way_is_said(tmp_path):
    data = b""
    for aspect in (1, Fraction(4, 3)):
        path = tmp_path / "part.mpg"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(aspect)
            for index in range(5):
                frame = av.VideoFrame.from_ndarray(draw(index), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data += path.read_bytes()
    path.write_bytes(data)
    notes = []
    assert len(list(video.read(path, notes=notes))) == 10
    assert len(notes) == 1 and "shape" in notes[0]
