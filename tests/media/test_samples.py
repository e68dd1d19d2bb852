"""Samples are read as they are meant, or noted, or refused: never silently wrong."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxanon.errors import MediaError
from jaxanon.media import image

H, W = 5, 6
EVERY = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tiff(path, samples, photometric, extra=(), **more):
    """Writes samples [h w c] as an uncompressed little-endian TIFF."""
    h, w, c = samples.shape
    bits = samples.dtype.itemsize * 8
    data = samples.tobytes()
    tags = {256: [w], 257: [h], 258: [bits] * c, 259: [1], 262: [photometric]}
    tags |= {273: [8], 277: [c], 278: [h], 279: [len(data)], 284: [1]}
    if extra:
        tags[338] = list(extra)
    tags |= {int(tag[1:]): values for tag, values in more.items()}
    start = 8 + len(data) + len(data) % 2
    at, entries, behind = start + 6 + 12 * len(tags), b"", b""
    for tag, values in sorted(tags.items()):
        content = struct.pack(f"<{len(values)}H", *values)
        if len(content) > 4:
            field = struct.pack("<I", at + len(behind))
            behind += content
        else:
            field = content.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, 3, len(values)) + field
    head = b"II*\0" + struct.pack("<I", start) + data + b"\0" * (len(data) % 2)
    path.write_bytes(
        head + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + behind
    )


def random(c, dtype, seed):
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, high, (H, W, c)).astype(dtype)


def through(source, target):
    picture = image.read(source)
    nowhere = np.zeros(picture.pixels.shape[:2], bool)
    notes = image.write(target, picture, picture.pixels, region=nowhere)
    return picture, image.read(target), (*picture.notes, *notes)


@EVERY
@given(st.sampled_from([np.uint8, np.uint16]), st.integers(0, 99))
def test_white_is_zero_is_inverted(tmp_path, dtype, seed):
    samples = random(1, dtype, seed)
    tiff(tmp_path / "a.tif", samples, 0)
    _, after, _ = through(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(after.samples, np.iinfo(dtype).max - samples[..., 0])


@EVERY
@given(
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([(0,), (1,), (2,), (2, 0), (0, 0)]),
    st.integers(0, 99),
)
def test_extra_samples_are_kept_or_noted_or_refused(tmp_path, dtype, extra, seed):
    samples = random(3 + len(extra), dtype, seed)
    tiff(tmp_path / "a.tif", samples, 2, extra)
    try:
        _, after, notes = through(tmp_path / "a.tif", tmp_path / "b.tif")
    except MediaError:
        return
    assert (extra == (2,)) == (not notes)
    if extra[0] != 1:
        assert np.array_equal(after.pixels, samples[..., :3])
        assert (after.alpha is None) == (extra[0] == 0)


def test_signed_samples_are_refused(tmp_path):
    tiff(tmp_path / "a.tif", random(1, np.uint8, 0), 1, t339=[2])
    with pytest.raises(MediaError, match="signed"):
        image.read(tmp_path / "a.tif")


@EVERY
@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 255), st.integers(0, 99))
def test_low_bit_grey_transparency(tmp_path, bits, key, seed):
    levels = np.random.default_rng(seed).integers(0, 1 << bits, (8, 8), np.uint8)
    key %= 1 << bits
    planes = np.unpackbits(levels[..., None], axis=-1)[..., 8 - bits :]
    rows = np.packbits(planes.reshape(8, -1), axis=1)

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"cICP", bytes([9, 16, 0, 1]))
        + chunk(b"tRNS", struct.pack(">H", key))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r.tobytes() for r in rows)))
        + chunk(b"IEND", b"")
    )
    _, after, _ = through(tmp_path / "a.png", tmp_path / "b.png")
    assert np.array_equal(after.alpha == 0, levels == key)
    assert after.gamma[b"cICP"] == bytes([9, 16, 0, 1])


@EVERY
@given(st.sampled_from(["jpg", "png", "tif", "bmp"]), st.integers(20, 2400))
def test_resolution_stays(tmp_path, suffix, dpi):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    Image.new("RGB", (W, H)).save(source, dpi=(dpi, dpi))
    before, after, _ = through(source, target)
    assert after.density == before.density
    assert before.density is not None


def test_alpha_of_a_bmp_stays(tmp_path):
    samples = random(4, np.uint8, 1)
    Image.fromarray(samples).save(tmp_path / "a.png")
    _, after, _ = through(tmp_path / "a.png", tmp_path / "b.bmp")
    assert np.array_equal(after.samples, samples)
