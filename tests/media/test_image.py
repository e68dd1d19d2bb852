import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from jaxanon.errors import MediaError
from jaxanon.media import image, kind

HEIGHT, WIDTH = 24, 40
REGION = np.zeros((HEIGHT, WIDTH), bool)
REGION[6:18, 10:26] = True
NOWHERE = np.zeros_like(REGION)


def draw():
    """A picture of few colours with a smooth part: any mode shows it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 6, y * 10, (x // 8) * 40], -1).clip(0, 255).astype(np.uint8)


def opened(path):
    """Opens with Pillow alone, from memory, so that no file stays open."""
    return Image.open(io.BytesIO(path.read_bytes()))


def as_mode(mode):
    picture = Image.fromarray(draw())
    if mode == "P":
        return picture.quantize(32)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(draw()[..., 0]))
        return picture.convert(mode)
    if mode == "I;16":
        return Image.fromarray(draw()[..., 0].astype(np.uint16) * 257 + 3)
    return picture.convert(mode)


def paint(picture):
    """Fills the region with orange, as a painter would fill it with a face."""
    limit = np.iinfo(picture.pixels.dtype).max
    pixels = picture.pixels.copy()
    pixels[REGION] = np.array([limit * 0.9, limit * 0.5, limit * 0.2]).astype(int)
    return pixels


LOSSLESS = [
    *[("png", mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "I;16")],
    *[("tif", mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16")],
    *[("bmp", mode) for mode in ("1", "L", "RGB")],
    ("webp", "RGB"),
    ("webp", "RGBA"),
]


@pytest.mark.parametrize(("suffix", "mode"), LOSSLESS)
def test_lossless_formats_keep_mode_and_every_sample_outside(tmp_path, suffix, mode):
    before, after = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    extra = {"lossless": True, "exact": True} if suffix == "webp" else {}
    as_mode(mode).save(before, **extra)
    picture = image.read(before)
    image.write(after, picture, paint(picture), region=REGION)
    own, new = opened(before), opened(after)
    assert (new.mode, new.format) == (own.mode, own.format)
    own, new = np.array(own), np.array(new)
    assert np.array_equal(new[~REGION], own[~REGION])
    assert (new[REGION] != own[REGION]).any()


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif"])
def test_palette_picture_without_faces_stays_one(tmp_path, suffix):
    before, after = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    as_mode("P").save(before)
    picture = image.read(before)
    image.write(after, picture, picture.pixels, region=NOWHERE)
    assert opened(after).mode == "P"
    assert np.array_equal(np.array(opened(after)), np.array(opened(before)))


def test_painted_palette_picture_becomes_rgb(tmp_path):
    as_mode("P").save(tmp_path / "a.png")
    picture = image.read(tmp_path / "a.png")
    image.write(tmp_path / "b.png", picture, paint(picture), region=REGION)
    again = image.read(tmp_path / "b.png")
    assert again.mode == "RGB"
    assert np.array_equal(again.pixels, paint(picture))


def test_painted_gif_keeps_colours_outside_in_a_new_palette(tmp_path):
    as_mode("P").save(tmp_path / "a.gif")
    picture = image.read(tmp_path / "a.gif")
    image.write(tmp_path / "b.gif", picture, paint(picture), region=REGION)
    again = image.read(tmp_path / "b.gif")
    assert np.array_equal(again.pixels[~REGION], picture.pixels[~REGION])
    assert np.abs(again.pixels[REGION].astype(int) - [229, 127, 51]).max() <= 2


def test_painted_gif_does_not_keep_palette_entries_of_the_face(tmp_path):
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[REGION] = 1
    source = Image.fromarray(pixels)
    source.putpalette([0, 0, 0, 11, 222, 33])
    source.save(tmp_path / "a.gif")
    picture = image.read(tmp_path / "a.gif")
    image.write(tmp_path / "b.gif", picture, paint(picture), region=REGION)
    assert bytes([11, 222, 33]) in (tmp_path / "a.gif").read_bytes()
    assert bytes([11, 222, 33]) not in (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_go_through_unchanged(tmp_path, suffix, channels):
    samples = np.random.default_rng(0).integers(
        0, 65536, (HEIGHT, WIDTH, channels), np.uint16
    )
    from jaxanon.media import deep

    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as file:
        if suffix == "png":
            deep.write_png(file, samples, chunks=[])
        else:
            deep.write_tiff(file, samples, icc=None)
    picture = image.read(path)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.samples.reshape(samples.shape), samples)
    image.write(tmp_path / f"b.{suffix}", picture, paint(picture), region=REGION)
    again = image.read(tmp_path / f"b.{suffix}")
    assert np.array_equal(again.samples[~REGION], picture.samples[~REGION])
    assert again.pixels.dtype == np.uint16


def test_16_bit_png_agrees_with_pillow_in_the_upper_byte(tmp_path):
    from jaxanon.media import deep

    samples = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint16).reshape(HEIGHT, WIDTH, 3)
    samples *= 21
    with (tmp_path / "a.png").open("wb") as file:
        deep.write_png(file, samples, chunks=[])
    upper = np.array(opened(tmp_path / "a.png"))
    assert np.array_equal(upper, (samples >> 8).astype(np.uint8))


def test_16_bits_are_refused_where_the_format_has_8(tmp_path):
    as_mode("I;16").save(tmp_path / "a.png")
    picture = image.read(tmp_path / "a.png")
    with pytest.raises(MediaError, match="16 bits"):
        image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    assert sorted(os.listdir(tmp_path)) == ["a.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_does(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(draw()).save(tmp_path / "a.png", exif=exif)
    expected = np.array(ImageOps.exif_transpose(opened(tmp_path / "a.png")))
    picture = image.read(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, expected)
    out = tmp_path / "b.png"
    nowhere = np.zeros(expected.shape[:2], bool)
    image.write(out, picture, expected, region=nowhere, keep_metadata=True)
    assert np.array_equal(np.array(opened(out)), expected)
    assert opened(out).getexif().get(0x0112, 1) == 1


def thumbnailed_exif():
    """EXIF as a phone writes it: place, camera, orientation, and a thumbnail."""
    small = io.BytesIO()
    Image.fromarray(draw()[:8, :8]).save(small, "JPEG")
    thumbnail = small.getvalue()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "MAKER", 1
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x927C] = b"NOTE" + thumbnail
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    block = exif.tobytes()
    # Appends IFD1 with the thumbnail behind what Pillow wrote.
    tiff = bytearray(block.removeprefix(b"Exif\0\0"))
    order = "little" if tiff[:2] == b"II" else "big"
    first = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[first : first + 2], order)
    at, end = len(tiff), first + 2 + 12 * count
    tiff[end : end + 4] = at.to_bytes(4, order)
    entries = [(0x0103, 3, 6), (0x0201, 4, at + 42), (0x0202, 4, len(thumbnail))]
    tiff += len(entries).to_bytes(2, order)
    for tag, type, value in entries:
        tiff += tag.to_bytes(2, order) + type.to_bytes(2, order)
        tiff += (1).to_bytes(4, order)
        tiff += value.to_bytes(2 if type == 3 else 4, order).ljust(4, b"\0")
    tiff += b"\0\0\0\0"
    assert len(tiff) == at + 42
    return b"Exif\0\0" + bytes(tiff) + thumbnail, thumbnail


@pytest.fixture
def phone_jpeg(tmp_path):
    exif, thumbnail = thumbnailed_exif()
    path = tmp_path / "phone.jpg"
    xmp = b'<x:xmpmeta><a xmpGImg:image="SECRETXMP"/></x:xmpmeta>'
    Image.fromarray(draw()).save(path, exif=exif, comment=b"SECRETCOMMENT", xmp=xmp)
    assert thumbnail in path.read_bytes()
    return path, thumbnail


def test_metadata_is_dropped(tmp_path, phone_jpeg):
    path, thumbnail = phone_jpeg
    picture = image.read(path)
    image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    data = (tmp_path / "b.jpg").read_bytes()
    for secret in (b"MAKER", b"SECRET", b"Exif", thumbnail, b"2020"):
        assert secret not in data


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_kept_metadata_has_no_thumbnail(tmp_path, phone_jpeg, suffix):
    path, thumbnail = phone_jpeg
    picture, out = image.read(path), tmp_path / f"b.{suffix}"
    image.write(out, picture, picture.pixels, region=NOWHERE, keep_metadata=True)
    assert opened(out).getexif()[0x010F] == "MAKER"
    data = out.read_bytes()
    for secret in (thumbnail, thumbnail[:100], b"NOTE", b"SECRETXMP"):
        assert secret not in data


def test_png_text_is_dropped_or_kept(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "SECRET")
    Image.fromarray(draw()).save(tmp_path / "a.png", pnginfo=info)
    picture = image.read(tmp_path / "a.png")
    image.write(tmp_path / "b.png", picture, picture.pixels, region=NOWHERE)
    assert b"SECRET" not in (tmp_path / "b.png").read_bytes()
    image.write(
        tmp_path / "c.png", picture, picture.pixels, region=NOWHERE, keep_metadata=True
    )
    assert opened(tmp_path / "c.png").info["Author"] == "SECRET"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_colour_profile_stays(tmp_path, suffix):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(draw()).save(tmp_path / f"a.{suffix}", icc_profile=profile)
    picture = image.read(tmp_path / f"a.{suffix}")
    image.write(tmp_path / f"b.{suffix}", picture, picture.pixels, region=NOWHERE)
    assert opened(tmp_path / f"b.{suffix}").info["icc_profile"] == profile


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_subsampling_progression_and_fine_tables(
    tmp_path, subsampling, progressive
):
    from PIL import JpegImagePlugin

    source = Image.fromarray(draw())
    options = {"subsampling": subsampling, "progressive": progressive}
    source.save(tmp_path / "a.jpg", quality=98, **options)
    picture = image.read(tmp_path / "a.jpg")
    image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    new, old = opened(tmp_path / "b.jpg"), opened(tmp_path / "a.jpg")
    assert JpegImagePlugin.get_sampling(new) == subsampling
    assert bool(new.info.get("progressive")) == progressive
    assert new.quantization == old.quantization


def test_coarse_jpeg_is_written_at_quality_95(tmp_path):
    Image.fromarray(draw()).save(tmp_path / "a.jpg", quality=40)
    Image.fromarray(draw()).save(tmp_path / "95.jpg", quality=95)
    picture = image.read(tmp_path / "a.jpg")
    image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    expected = opened(tmp_path / "95.jpg").quantization
    assert opened(tmp_path / "b.jpg").quantization == expected


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_keeps_grey_and_cmyk(tmp_path, mode):
    as_mode(mode).save(tmp_path / "a.jpg", quality=98)
    picture = image.read(tmp_path / "a.jpg")
    image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    again = opened(tmp_path / "b.jpg")
    assert again.mode == mode
    difference = np.array(again).astype(int) - picture.samples
    assert np.abs(difference).max() <= 3  # One more rounding of the same tables.


def test_two_faces_of_one_colour_look_the_same_whatever_was_there(tmp_path):
    """CMYK: the inks in the region follow from the painted colours alone."""
    results = []
    for fill in (0, 200):
        inks = np.array(as_mode("CMYK"))
        inks[REGION] = fill
        path = tmp_path / f"{fill}.tif"
        Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes()).save(path)
        picture = image.read(path)
        image.write(tmp_path / "out.tif", picture, paint(picture), region=REGION)
        results.append((tmp_path / "out.tif").read_bytes())
    assert results[0] == results[1]


FORMATS = ["jpg", "png", "webp", "tif", "bmp", "gif", "avif"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("part", [0, 0.3, 0.7, 0.95])
def test_truncated_files_raise(tmp_path, suffix, part):
    whole = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.init()
    Image.fromarray(noise).save(whole, Image.EXTENSION["." + suffix])
    data = whole.getvalue()
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(MediaError, match=r"a\."):
        image.read(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0nonsense"])
def test_what_is_no_picture_raises(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(MediaError, match="a.jpg"):
        image.read(tmp_path / "a.jpg")


def test_too_many_pixels_are_refused_and_pillows_limit_is_left_alone(tmp_path):
    Image.fromarray(draw()).save(tmp_path / "a.png")
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(MediaError, match="max-pixels"):
        image.read(tmp_path / "a.png", max_pixels=HEIGHT * WIDTH - 1)
    assert image.read(tmp_path / "a.png", max_pixels=HEIGHT * WIDTH).mode == "RGB"
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_files_of_several_pictures_are_refused(tmp_path, suffix):
    pages = [Image.fromarray(draw()), Image.fromarray(255 - draw())]
    pages[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:])
    with pytest.raises(MediaError, match="2 pictures"):
        image.read(tmp_path / f"a.{suffix}")


def test_further_pictures_in_a_jpeg_are_left_out_and_noted(tmp_path):
    pages = [Image.fromarray(draw()), Image.fromarray(255 - draw())]
    path = tmp_path / "a.jpg"
    pages[0].save(path, "MPO", save_all=True, append_images=pages[1:])
    picture = image.read(path)
    assert picture.format == "JPEG"
    assert "left out" in picture.notes[0]
    image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    assert (tmp_path / "b.jpg").read_bytes().count(b"\xff\xd8\xff") == 1


def test_another_suffix_asks_for_another_format(tmp_path):
    as_mode("RGBA").save(tmp_path / "a.png")
    picture = image.read(tmp_path / "a.png")
    image.write(tmp_path / "b.webp", picture, picture.pixels, region=NOWHERE)
    again = image.read(tmp_path / "b.webp")
    assert np.array_equal(again.samples, picture.samples)
    with pytest.raises(MediaError, match="transparency"):
        image.write(tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE)
    with pytest.raises(MediaError, match="written as"):
        image.write(tmp_path / "b.xyz", picture, picture.pixels, region=NOWHERE)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    as_mode("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"old")
    picture = image.read(tmp_path / "a.png")

    def interrupt(self, content):
        with self.open("wb") as file:
            file.write(content[:50])
        raise KeyboardInterrupt

    monkeypatch.setattr(type(tmp_path), "write_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        image.write(tmp_path / "b.png", picture, picture.pixels, region=NOWHERE)
    assert (tmp_path / "b.png").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_transparency_by_colour_becomes_alpha(tmp_path):
    Image.fromarray(draw()).save(tmp_path / "a.png", transparency=(0, 0, 0))
    picture = image.read(tmp_path / "a.png")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, (draw() == 0).all(-1))


def test_kinds_are_told_by_content_first(tmp_path):
    as_mode("RGB").save(tmp_path / "picture.txt", "PNG")
    (tmp_path / "movie.jpg").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"BM of the week: none\n\n\n")
    (tmp_path / "song.m4a").write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0")
    found = {path.name: kind.of(path) for path in tmp_path.iterdir()}
    assert found == {
        "picture.txt": "picture",
        "movie.jpg": "video",
        "empty.jpg": "picture",
        "notes.txt": "other",
        "song.m4a": "other",
    }


def test_iptc_is_kept_without_the_photoshop_thumbnail(tmp_path):
    record = b"\x1c\x02\x69\0\x08headline"
    segment = b"Photoshop 3.0\0"
    for number, content in ((0x040C, b"thumbnail!"), (0x0404, record)):
        size = len(content).to_bytes(4, "big")
        segment += b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + size + content
        segment += b"\0" * (len(content) % 2)
    extra = b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment
    Image.fromarray(draw()).save(tmp_path / "a.jpg", extra=extra)
    picture = image.read(tmp_path / "a.jpg")
    image.write(
        tmp_path / "b.jpg", picture, picture.pixels, region=NOWHERE, keep_metadata=True
    )
    data = (tmp_path / "b.jpg").read_bytes()
    assert record in data
    assert b"thumbnail" not in data
