"""The mark of painted files, by other programs' readers of XMP and tags."""

from fractions import Fraction
from xml.etree import ElementTree

import av
import jax
import numpy as np
import pytest
from PIL import Image

from jaxanon import clips, files, pipeline
from jaxanon.detect.json_format import FileDetections
from jaxanon.media import mark

URI = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
PROPERTY = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
KEPT = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" %s>'
    "<dc:subject>a harbour</dc:subject>%s</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
)
ELEMENT = "<Iptc4xmpExt:DigitalSourceType>%s</Iptc4xmpExt:DigitalSourceType>"
RESOURCE = '<Iptc4xmpExt:DigitalSourceType rdf:resource="%s"/>'
CAPTURE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


def property_of(xmp):
    """Reads the property out of a packet, with a parser of XML."""
    root = ElementTree.fromstring(xmp)
    told = [e.attrib[PROPERTY] for e in root.iter() if PROPERTY in e.attrib]
    return told + [e.text for e in root.iter(PROPERTY)]


def photo(path, *, deep=False, **settings):
    pixels = np.random.default_rng(0).integers(60, 200, (32, 48, 3), np.uint8)
    if deep:
        Image.fromarray(pixels[..., 0].astype(np.uint16) << 8).save(path, **settings)
    else:
        Image.fromarray(pixels).save(path, **settings)
    return path


def gif_xmp(path):
    """The packets in a GIF's extensions, each up to the ramp that ends it."""
    blocks = path.read_bytes().split(b"!\xff\x0bXMP DataXMP")[1:]
    return [block[: block.index(b"\x01\xff\xfe\xfd")] for block in blocks]


def paint(source, target, weights, found, *, faces=True, mode="generate", **settings):
    with Image.open(source) as opened:
        width, height = opened.size
    boxes = ([12, 8, 28, 26],) if faces else ()
    return files.anonymize_image_file(
        source,
        target,
        key=jax.random.key(0),
        weights=weights,
        options=pipeline.Options(mode=mode),
        given=FileDetections(width, height, faces=found(*boxes)),
        **settings,
    )


def xmp_of(path):
    with Image.open(path) as opened:
        opened.load()
        return opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp")


@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.webp", "b.tif", "b.avif"])
def test_a_painted_photo_says_so_in_one_fixed_packet(
    tmp_path, tiny_weights, found, name
):
    source = photo(tmp_path / "a.png")
    report = paint(source, tmp_path / name, tiny_weights, found)
    xmp = xmp_of(tmp_path / name)
    assert property_of(xmp) == [URI]
    assert (xmp.encode() if isinstance(xmp, str) else xmp) == mark.PACKET
    assert (tmp_path / name).read_bytes().count(b"W5M0MpCehiHzreSzNTczkc9d") == 1
    assert report["notes"] == []


@pytest.mark.parametrize("name", ["b.png", "b.tif"])
def test_a_painted_photo_of_16_bits_says_so(tmp_path, tiny_weights, found, name):
    source = photo(tmp_path / "a.png", deep=True)
    paint(source, tmp_path / name, tiny_weights, found)
    assert property_of(xmp_of(tmp_path / name)) == [URI]


def test_a_painted_heic_says_so(tmp_path, tiny_weights, found):
    pytest.importorskip("pillow_heif").register_heif_opener()
    paint(photo(tmp_path / "a.png"), tmp_path / "b.heic", tiny_weights, found)
    assert property_of(xmp_of(tmp_path / "b.heic")) == [URI]


def test_a_painted_gif_says_so(tmp_path, tiny_weights, found):
    source = tmp_path / "a.gif"
    Image.open(photo(tmp_path / "a.png")).quantize(32).save(source)
    report = paint(source, tmp_path / "b.gif", tiny_weights, found)
    assert [property_of(xmp) for xmp in gif_xmp(tmp_path / "b.gif")] == [[URI]]
    with Image.open(tmp_path / "b.gif") as opened:
        assert (opened.n_frames, opened.size) == (1, (48, 32))
    assert report["notes"] == []


def test_a_format_that_cannot_hold_the_mark_is_named(tmp_path, tiny_weights, found):
    source = photo(tmp_path / "a.png")
    report = paint(source, tmp_path / "b.bmp", tiny_weights, found)
    assert report["notes"] == [".bmp files cannot hold the mark DigitalSourceType."]


@pytest.mark.parametrize(
    "settings", [{"faces": False}, {"mode": "black"}, {"marking": mark.NONE}]
)
def test_what_is_not_painted_or_not_to_be_marked_is_not(
    tmp_path, tiny_weights, found, settings
):
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"
    paint(source, target, tiny_weights, found, **settings)
    assert b"DigitalSourceType" not in target.read_bytes()


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tif"])
def test_kept_metadata_gets_the_mark_in_its_own_packet(
    tmp_path, tiny_weights, found, name
):
    source, target = tmp_path / "a.jpg", tmp_path / f"b.{name}"
    photo(source, xmp=(KEPT % ("", "")).encode())
    paint(source, target, tiny_weights, found, keep_metadata=True)
    assert property_of(xmp_of(target)) == [URI]
    content = target.read_bytes()
    assert content.count(b"W5M0MpCehiHzreSzNTczkc9d") == 1
    assert content.count(b"a harbour") == 1


@pytest.mark.parametrize(
    "kept",
    [
        KEPT % (f'Iptc4xmpExt:DigitalSourceType="{CAPTURE}"', ""),
        KEPT % ("", ELEMENT % CAPTURE),
        KEPT % ("", ELEMENT % URI),
        KEPT % ("", RESOURCE % CAPTURE),
    ],
)
def test_another_mark_gives_way_and_the_rest_stays(kept):
    changed = mark.add(kept.encode())
    assert changed.count(URI.encode()) == 1
    assert b"digitalCapture" not in changed
    assert changed == kept.replace(CAPTURE, URI).encode()


@pytest.mark.parametrize(
    "kept",
    [
        b"no XML",
        (KEPT % ("", ""))[:-60].encode(),
        (KEPT % ("", ELEMENT % "sort of" + ELEMENT % CAPTURE)).encode(),
    ],
)
def test_xmp_that_cannot_be_marked_gives_way(kept):
    assert mark.add(kept) == mark.PACKET


@pytest.mark.parametrize("keep_metadata", [False, True])
def test_a_mark_of_the_input_that_is_lost_is_told(
    tmp_path, tiny_weights, found, keep_metadata
):
    source = tmp_path / "a.jpg"
    photo(source, xmp=(KEPT % ("", ELEMENT % CAPTURE)).encode())
    report = paint(
        source, tmp_path / "b.jpg", tiny_weights, found, keep_metadata=keep_metadata
    )
    lost = "its mark DigitalSourceType = digitalCapture is not carried over."
    assert report["notes"] == [lost]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mark_is_found_in_compressed_text_too(
    tmp_path, tiny_weights, found, compressed
):
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    text = KEPT % ("", ELEMENT % CAPTURE)
    info.add_itxt("XML:com.adobe.xmp", text, zip=compressed)
    source = photo(tmp_path / "a.png", pnginfo=info)
    report = paint(source, tmp_path / "b.png", tiny_weights, found, mode="black")
    assert "digitalCapture" in report["notes"][0]


def test_a_lost_mark_of_a_replaced_file_is_told(tmp_path, tiny_weights, found):
    source = tmp_path / "a.jpg"
    photo(source, xmp=(KEPT % ("", ELEMENT % CAPTURE)).encode())
    report = paint(source, source, tiny_weights, found)
    assert "digitalCapture" in report["notes"][0]


def test_a_mark_that_is_kept_is_not_told(tmp_path, tiny_weights, found):
    source = tmp_path / "a.jpg"
    photo(source, xmp=(KEPT % ("", ELEMENT % CAPTURE)).encode())
    settings = {"mode": "black", "keep_metadata": True}
    report = paint(source, tmp_path / "b.jpg", tiny_weights, found, **settings)
    assert report["notes"] == []


def test_a_mark_across_two_chunks_is_found(tmp_path):
    content = b"\0" * ((1 << 20) - 30) + URI.encode() + b'"' + b"\0" * 500
    (tmp_path / "a").write_bytes(content)
    assert mark.find(tmp_path / "a") == {"compositeWithTrainedAlgorithmicMedia"}


def film(path, encode_clip):
    noise = np.random.default_rng(0).integers(60, 160, (32, 48, 3), np.uint8)
    return encode_clip(path, [np.roll(noise, i, 1) for i in range(6)])


def hide(source, target, weights, found, *, boxes=([12, 8, 28, 26],), **settings):
    return clips.anonymize_video_file(
        source,
        target,
        weights=weights,
        detector=lambda frames: [found(*boxes) for _ in frames],
        seed=1,
        **settings,
    )


def told(path):
    """What FFmpeg reads of a video's mark; for GIFs it is looked for."""
    if path.suffix == ".gif":
        return [property_of(xmp) for xmp in gif_xmp(path)]
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        tags = container.metadata
    if xmp := tags.get("xmp"):
        return [property_of(xmp.strip("\ufeff"))]
    return [[tags[name]] for name in tags if name.upper() == "DIGITALSOURCETYPE"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, encode_clip):
    return film(tmp_path_factory.mktemp("clips") / "in.mp4", encode_clip)


SUFFIXES = ["mp4", "m4v", "mov", "mkv", "webm", "gif"]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_painted_video_says_so(tmp_path, clip, tiny_weights, found, suffix, resume):
    if suffix == "m4v" and resume:
        pytest.skip("as MP4")
    target = tmp_path / f"out.{suffix}"
    options = clips.VideoOptions(resume=resume)
    report = hide(clip, target, tiny_weights, found, video=options)
    assert told(target) == [[URI]]
    assert not [note for note in report["notes"] if "mark" in note]
    with av.open(str(target)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 6


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_video_without_a_face_or_unmarked_does_not_say_so(
    tmp_path, clip, tiny_weights, found, suffix
):
    for name, settings in (
        ("empty", {"boxes": ()}),
        ("asked", {"marking": mark.NONE}),
        ("black", {"options": pipeline.Options(mode="black")}),
    ):
        target = tmp_path / f"{name}.{suffix}"
        hide(clip, target, tiny_weights, found, **settings)
        assert told(target) == []
        assert b"digitalsourcetype" not in target.read_bytes()
        with av.open(str(target)) as container:
            assert len(list(container.decode(video=0))) == 6


def test_a_video_of_the_mark_is_told_when_it_is_lost(
    tmp_path, clip, tiny_weights, found
):
    hide(clip, tmp_path / "a.mkv", tiny_weights, found)
    options = pipeline.Options(mode="black")
    source, target = tmp_path / "a.mkv", tmp_path / "b.mp4"
    report = hide(source, target, tiny_weights, found, options=options)
    assert any("compositeWithTrained" in note for note in report["notes"])


def test_the_same_run_gives_the_same_bytes(tmp_path, clip, tiny_weights, found):
    for suffix in SUFFIXES:
        one, two = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
        hide(clip, one, tiny_weights, found)
        hide(clip, two, tiny_weights, found)
        assert one.read_bytes() == two.read_bytes()


def test_times_are_those_of_the_unmarked_video(tmp_path, clip, tiny_weights, found):
    def times(path):
        with av.open(str(path)) as container:
            unit = container.streams.video[0].time_base or Fraction(1)
            return [frame.pts * unit for frame in container.decode(video=0)]

    for suffix in SUFFIXES:
        one, two = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
        hide(clip, one, tiny_weights, found)
        hide(clip, two, tiny_weights, found, marking=mark.NONE)
        assert times(one) == times(two)
