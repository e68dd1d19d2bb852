"""What libraries trip over or pass for whole: damaged videos, and half a write."""

import numpy as np
import pytest
from PIL import Image

from jaxanon.errors import MediaError
from jaxanon.media import ebml, image, video


@pytest.fixture
def clip(tmp_path, encode_clip):
    noise = np.random.default_rng(0).integers(60, 160, (32, 48, 3), np.uint8)
    pictures = [np.roll(noise, index, 1) for index in range(9)]
    return lambda name: encode_clip(tmp_path / name, pictures)


def test_matroska_that_lacks_a_byte_is_refused(clip):
    path = clip("a.mkv")
    assert len(list(video.read(path))) == 9
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MediaError, match="ends early"):
        list(video.read(path))


def test_matroska_of_unknown_length_is_read(clip):
    path = clip("a.mkv")
    content = bytearray(path.read_bytes())
    at = content.index(ebml.SEGMENT) + 4
    content[at : at + 8] = b"\x01" + b"\xff" * 7
    path.write_bytes(content)
    assert len(list(video.read(path))) == 9


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x81", (1, 1)),
        (b"\x40\x02", (2, 2)),
        (b"\x01" + bytes(6) + b"\x09", (9, 8)),
        (b"\x40", (0, 0)),
        (b"\x00\xff", (0, 0)),
        (b"", (0, 0)),
    ],
)
def test_sizes_of_ebml(content, expected):
    assert ebml.read_size(content) == expected


def test_an_unknown_codec_is_an_error_of_the_file(clip):
    path = clip("a.mkv")
    content = path.read_bytes()
    assert content.count(b"V_MPEG4/ISO/AVC") == 1
    path.write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_NOBODYS/CODEC"))
    with pytest.raises(MediaError, match="cannot be decoded"):
        video.probe(path)


def test_metadata_that_is_no_text_does_not_matter(clip):
    path = clip("a.mp4")
    content = path.read_bytes()
    assert content.count(b"VideoHandler") == 1
    path.write_bytes(content.replace(b"VideoHandler", b"VideoHandle\xc3"))
    assert len(list(video.read(path))) == 9


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif", "avif"])
def test_half_a_written_picture_is_none(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    source, target = tmp_path / f"a.{suffix}", tmp_path / "out" / f"a.{suffix}"
    Image.fromarray(pixels).save(source)
    picture, size = image.read(source), source.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(MediaError, match="cannot be written"):
            image.write(
                target, picture, picture.pixels, region=np.zeros((64, 64), bool)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(target.parent.iterdir())
