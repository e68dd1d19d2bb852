"""Kept metadata never holds a picture, whatever its name, place and encoding."""

import base64
import io
import re
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from jaxanon.media import image, plain

SMALL = np.random.default_rng(3).integers(0, 256, (12, 10, 3), np.uint8)
FORMATS = [
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "TIFF",
    "BMP",
    "AVIF",
    "JPEG2000",
    "PPM",
    "ICO",
]


def encoded(format):
    """A small picture as a file of a format."""
    file = io.BytesIO()
    Image.fromarray(SMALL).resize((48, 48)).save(file, format)
    return file.getvalue()


PICTURES = {format: encoded(format) for format in FORMATS}
TEXTS = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64 in lines": lambda data: base64.encodebytes(data).decode(),
    "base64 in words": lambda data: spaced(base64.b64encode(data).decode(), 4),
    "urlsafe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "address": lambda data: "data:image/x;base64," + base64.b64encode(data).decode(),
    "hexadecimal": lambda data: data.hex(),
    "hexadecimal with spaces": lambda data: data.hex(" "),
    "numbers": lambda data: ", ".join(map(str, data)),
    "base85": lambda data: base64.b85encode(data).decode(),
    "base32": lambda data: base64.b32encode(data).decode(),
    "latin-1": lambda data: data.decode("latin-1"),
    "percent": lambda data: "".join(f"%{byte:02X}" for byte in data),
    "behind words": lambda data: "See here: " + base64.b64encode(data).decode(),
}
WORDS = [
    "Photo: Ann Example, Hamburg (all rights reserved)",
    "https://example.org/people/2024/05/01/a-rather-long-address?size=full&page=3",
    "Der Marktplatz von Überlingen am Bodensee, früh am Morgen, von Süden gesehen.",
    "湖畔の朝、山々を望む。撮影者の許可なく転載を禁じます。",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "adobe:docid:photoshop:7bd65e0e-1b5d-11e9-9c3b-d1b1a7d3c3a5",
    "BMW in front of the P2 car park; II* and MM are letters.",
]


def spaced(text, every):
    return " ".join(text[i : i + every] for i in range(0, len(text), every))


@given(st.sampled_from(FORMATS), st.sampled_from(sorted(TEXTS)), st.integers(0, 40))
def test_picture_as_text_is_not_plain(format, encoding, before):
    text = TEXTS[encoding](PICTURES[format])
    assert not plain.is_plain(text)
    assert not plain.is_plain(text.encode())
    assert not plain.is_plain(text.encode("utf-16-le"))
    assert not plain.is_plain("n" * before + " " + text)


@given(st.sampled_from(FORMATS), st.binary(max_size=80))
def test_picture_in_bytes_is_not_plain(format, before):
    data = PICTURES[format]
    assert not plain.is_plain(data)
    assert not plain.is_plain(before + data)
    assert not plain.is_plain(b"ASCII\0\0\0" + data)
    assert not plain.is_plain(tuple(data))


@given(st.integers(0, 2**32), st.integers(200, 2000))
def test_long_bytes_that_are_no_text_are_not_plain(seed, length):
    assert not plain.is_plain(np.random.default_rng(seed).bytes(length))


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20))
def test_words_are_plain(words):
    text = " ".join(dict.fromkeys(words))
    assert plain.is_plain(text)
    assert plain.is_plain(b"UNICODE\0" + text.encode("utf-16-le"))
    assert plain.is_plain(text.encode())
    assert plain.is_plain(text.encode("utf-16-le") + b"\0\0")


def xmp(inside, attributes=""):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        '"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:c="http://x/" dc:creator='
        f'"Ann" {attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def in_list(text, every):
    parts = [text[i : i + every] for i in range(0, len(text), every)]
    items = "".join(f"<rdf:li>{part}</rdf:li>" for part in parts)
    return f"<c:a><rdf:Seq>{items}</rdf:Seq></c:a>"


def in_attributes(text, every):
    parts = [text[i : i + every] for i in range(0, len(text), every)]
    return " ".join(f'c:A{index}="{part}"' for index, part in enumerate(parts))


# Where a picture (bytes, and as text) may be put: what to give Pillow's save.
XMP_PLACES = {
    "attribute": lambda text: xmp("", f'c:Any="{text}"'),
    "element": lambda text: xmp(f"<c:Any>{text}</c:Any>"),
    "marked text": lambda text: xmp(f"<c:Any><![CDATA[{text}]]></c:Any>"),
    "comment": lambda text: xmp(f"<!--{text}-->"),
    "instruction": lambda text: xmp(f"<?any {text}?>"),
    "short list": lambda text: xmp(in_list(text, 300)),
    "long list": lambda text: xmp(in_list(text, 20)),
    "name space": lambda text: xmp("", f'xmlns:d="{text}"'),
    "many values": lambda text: xmp("", in_attributes(text, 120)),
    "elements": lambda text: xmp(in_list(text, 35).replace("rdf:li", "c:B")),
    "broken": lambda text: xmp(f"<c:Any>{text}"),
}
EXIF_PLACES = [(None, 50828), (None, 270), (None, 40000), (None, 40092), (None, 33432)]
EXIF_PLACES += [(0x8769, 37510), (0x8769, 37121), (0x8769, 42033), (0x8825, 27)]


_TAGS = re.compile(rb"</?[\w:]{1,40}>|\s")


def leaks(data, secret):
    """Is true where bytes hold a good part of the secret in some encoding."""
    data += _TAGS.sub(b"", data)
    middle = secret[-120:-60]  # Tables that all JPEGs have stand before.
    text = base64.b64encode(secret).decode()
    codes = [middle, middle.hex().encode(), middle.decode("latin-1").encode()]
    codes.append(text[-160:-145].encode())
    return any(code in data or code.upper() in data for code in codes)


ROOMY = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def keep(tmp_path, suffix, **extra):
    """Writes a file with metadata, passes it through and gives both as bytes."""
    before, after = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    if suffix == "tif" and "xmp" in extra:
        extra = {"tiffinfo": {700: extra["xmp"]}}
    Image.new("RGB", (16, 16), "teal").save(before, **extra)
    picture = image.read(before)
    nowhere = np.zeros((16, 16), bool)
    notes = image.write(
        after, picture, picture.pixels, region=nowhere, keep_metadata=True
    )
    return before.read_bytes(), after.read_bytes(), notes


@ROOMY
@given(
    suffix=st.sampled_from(["jpg", "webp", "tif", "avif"]),
    place=st.sampled_from(sorted(XMP_PLACES)),
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]),
)
def test_kept_xmp_holds_no_picture(tmp_path, suffix, place, format):
    secret = PICTURES[format]
    packet = XMP_PLACES[place](base64.b64encode(secret).decode())
    before, after, _ = keep(tmp_path, suffix, xmp=packet)
    assert leaks(before, secret)
    assert not leaks(after, secret)
    if place in ("attribute", "element", "short list", "comment"):
        assert b'dc:creator="Ann"' in after


@ROOMY
@given(
    suffix=st.sampled_from(["jpg", "png", "webp", "tif"]),
    place=st.sampled_from(EXIF_PLACES),
    format=st.sampled_from(FORMATS),
    encoding=st.sampled_from(["", "ASCII", *sorted(TEXTS)]),
)
def test_kept_exif_holds_no_picture(tmp_path, suffix, place, format, encoding):
    secret, (directory, tag) = PICTURES[format], place
    value = secret
    if encoding == "ASCII":
        value = b"ASCII\0\0\0" + secret
    elif encoding:
        value = TEXTS[encoding](secret).encode()
    exif = Image.Exif()
    exif[315] = "Ann"
    exif.get_ifd(0x8769)[36867] = "2024:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    (exif if directory is None else exif.get_ifd(directory))[tag] = value
    whole = Image.Exif()
    whole.load(exif.tobytes())
    _, after, _ = keep(tmp_path, suffix, exif=whole)
    assert not leaks(after, secret)
    again = Image.open(io.BytesIO(after)).getexif()
    assert again[315] == "Ann"
    assert again.get_ifd(0x8769)[36867] == "2024:01:02 03:04:05"
    assert again.get_ifd(0x8825)[1] == "N"


@ROOMY
@given(format=st.sampled_from(FORMATS), encoding=st.sampled_from(sorted(TEXTS)))
def test_kept_text_and_comments_hold_no_picture(tmp_path, format, encoding):
    secret = PICTURES[format]
    text = TEXTS[encoding](secret)
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Ann")
    info.add_itxt("Any", text)
    _, png, notes = keep(tmp_path, "png", pnginfo=info)
    assert not leaks(png, secret)
    assert b"Ann" in png
    assert any("Any" in note for note in notes)
    _, jpeg, _ = keep(tmp_path, "jpg", comment=text.encode()[:60_000])
    assert not leaks(jpeg, secret)


@pytest.mark.parametrize("dataset", [(2, 5), (2, 125), (2, 202), (8, 10)])
def test_kept_iptc_holds_no_picture(tmp_path, dataset):
    secret = PICTURES["JPEG"]
    record = b"\x1c\x02\x69" + struct.pack(">H", 8) + b"headline"
    record += bytes([0x1C, *dataset]) + struct.pack(">H", len(secret)) + secret
    body = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    segment = b"Photoshop 3.0\0" + body + b"\0" * (len(record) % 2)
    size = struct.pack(">H", len(segment) + 2)
    _, after, notes = keep(tmp_path, "jpg", extra=b"\xff\xed" + size + segment)
    assert not leaks(after, secret)
    assert b"headline" in after
    assert any("IPTC" in note for note in notes)


def test_colour_profile_that_holds_a_picture_is_left_out(tmp_path):
    secret = PICTURES["JPEG"]
    profile = b"\0" * 16 + b"RGB " + b"\0" * 200
    for hidden in (secret, base64.b64encode(secret)):
        _, after, _ = keep(tmp_path, "png", icc_profile=profile + hidden)
        assert b"iCCP" not in after
    _, after, _ = keep(tmp_path, "png", icc_profile=profile)
    assert b"iCCP" in after
