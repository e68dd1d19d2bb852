"""What a file says beside its pixels: dropped, or kept by choice without pictures.

Only what tells how the samples look always stays: colour profile, gamma, density. What
is kept by choice is kept in a form that holds no second picture, under whatever name:
no EXIF thumbnail, no maker's notes (they hold previews), no Photoshop resources but the
IPTC text, of all of these only values that ``plain`` finds plain.
"""

import struct
from typing import Any, NamedTuple
from xml.dom import Node, minidom
from xml.parsers.expat import ExpatError

import numpy as np
from PIL import ExifTags, Image

from jaxanon.media import plain

_ORIENTATION = int(ExifTags.Base.Orientation)
_MAKER_NOTE = 0x927C
_WIDTH, _HEIGHT = 0xA002, 0xA003
# Tags that hold pictures, pointers into the old file or its layout.
_LAYOUT = (
    *range(254, 267), 273, 277, 278, 279, 284, 285, 297, 317, 318, 319, 320,
    *range(322, 326), 330, 338, 339, *range(512, 522), 529, 530, 531, 532,
    700, 33723, 34377, 34675, 37724, 40092, 50341, 50706, 50740,
)  # fmt: skip
_INTEROP = 0xA005
_PICTURES_IN_XMP = (
    *("xapgimg", "xmpgimg", "gdepth", "gimage", "gaudio", "gcamera", "thumbnail"),
    *("hasextendedxmp", "preview"),
)
# Datasets of IPTC that are pictures: a caption as a bitmap, previews.
_IPTC_PICTURES = (125, 200, 201, 202)


class Metadata(NamedTuple):
    """What may be kept by choice: no second pictures, orientation reset."""

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    text: dict[str, str] = {}  # noqa: RUF012
    left_out: tuple[str, ...] = ()
    """What is left out even so, since it may hold a picture."""


def orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation, 1 to 8, of a loaded image; 1 where there is none."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # A broken EXIF block is no orientation, as in every viewer.
        return 1
    return value if value in range(1, 9) else 1


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turns samples [h w ...] as the EXIF orientation asks."""
    if orientation in (2, 5, 7, 4):
        samples = samples[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(samples, turns))


def collect(image: Image.Image, size: tuple[int, int]) -> Metadata:
    """Gathers what a loaded image says, for an upright picture of (width, height)."""
    info = image.info
    lost: list[str] = []
    xmp = _as_bytes(info.get("xmp") or info.get("XML:com.adobe.xmp"))
    comment = _as_bytes(info.get("comment"))
    if comment and not plain.is_plain(comment):
        comment = None
        lost.append("comment")
    found = Metadata(
        exif=_exif(image, size, lost),
        xmp=_xmp(xmp, lost) if xmp else None,
        iptc=_iptc(image, lost),
        comment=comment,
        text=_text(getattr(image, "text", None) or {}, lost),
    )
    return found._replace(left_out=tuple(dict.fromkeys(lost)))


def _exif(image: Image.Image, size: tuple[int, int], lost: list[str]) -> bytes | None:
    try:
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in (_ORIENTATION, *_LAYOUT):
            exif.pop(tag, None)
        details.pop(_MAKER_NOTE, None)
        details.pop(_INTEROP, None)
        for tag, value in zip((_WIDTH, _HEIGHT), size, strict=True):
            if tag in details:
                details[tag] = value
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
        names = (ExifTags.TAGS, ExifTags.TAGS, ExifTags.GPSTAGS)
        for directory, known in zip((exif, details, place), names, strict=True):
            for tag, value in list(directory.items()):
                if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                    continue
                if tag not in known or not plain.is_plain(value):
                    lost.append(f"EXIF {known.get(tag, tag)}")
                    del directory[tag]
        # tobytes leaves IFD1, the thumbnail's, behind.
        return exif.tobytes() if len(exif) else None
    except Exception:  # What cannot be read cannot be kept.
        lost.append("EXIF")
        return None


def _xmp(data: bytes, lost: list[str]) -> bytes | None:
    """Takes values that may be pictures out of XMP; all of it where it is unclear."""
    try:
        if b"<!" in data.replace(b"<![CDATA[", b"").replace(b"<!--", b""):
            raise ValueError("A document type can define what it likes.")
        # Some writers end it with zeros; what stands behind the end is none of it.
        document = minidom.parseString(data.rstrip(b"\0"))
        _prune(document, lost)
    except (ExpatError, ValueError, LookupError, RecursionError):
        lost.append("XMP")
        return None
    root = document.documentElement
    text = "" if root is None else root.toxml()
    words = _values(document)
    if not text or plain.holds_base64("".join(words)):
        lost.append("XMP")
        return None
    if plain.holds_pieces(" ".join(words)):
        lost.append("XMP")
        return None
    head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    return f'{head}{text}<?xpacket end="w"?>'.encode()


def _prune(node: Any, lost: list[str]) -> None:
    """Removes what may be a picture from an XML node, and resets the orientation."""
    for child in list(node.childNodes):
        if child.nodeType in (Node.TEXT_NODE, Node.CDATA_SECTION_NODE):
            continue
        text = "".join(
            part.data
            for part in child.childNodes
            if part.nodeType in (Node.TEXT_NODE, Node.CDATA_SECTION_NODE)
        )
        if child.nodeType != Node.ELEMENT_NODE:
            node.removeChild(child)
        elif _is_picture(child.nodeName, text):
            lost.append(f"XMP {child.nodeName[:60]}")
            node.removeChild(child)
        else:
            _prune_attributes(child, lost)
            if child.nodeName == "tiff:Orientation" and child.firstChild:
                child.firstChild.data = "1"
            _prune(child, lost)


def _prune_attributes(element: Any, lost: list[str]) -> None:
    for name, value in list(element.attributes.items()):
        if name == "tiff:Orientation":
            element.setAttribute(name, "1")
        elif name.startswith("xmlns"):
            if not plain.is_plain(value):
                raise ValueError("A name space is no word.")
        elif _is_picture(name, value):
            lost.append(f"XMP {name[:60]}")
            element.removeAttribute(name)


def _is_picture(name: str, value: str) -> bool:
    is_named_so = any(word in name.lower() for word in _PICTURES_IN_XMP)
    return is_named_so or len(name) > 100 or not plain.is_plain(value)


def _values(node: Any) -> list[str]:
    """Lists all texts and values of an XML node: a picture may be cut into pieces."""
    if node.nodeType in (Node.TEXT_NODE, Node.CDATA_SECTION_NODE):
        return [node.data]
    values = [value for _, value in (node.attributes or {}).items()]
    return values + [value for child in node.childNodes for value in _values(child)]


def _iptc(image: Image.Image, lost: list[str]) -> bytes | None:
    """Finds the IPTC record, among Photoshop's resources or by itself in a TIFF."""
    resources = image.info.get("photoshop")
    record = resources.get(0x0404) if isinstance(resources, dict) else None
    if image.format == "TIFF":
        record = image.tag_v2.get(33723)  # type: ignore[attr-defined]
        if isinstance(record, tuple):  # Some writers call the bytes long numbers.
            record = struct.pack(f"<{len(record)}I", *record)
    if not isinstance(record, bytes):
        return None
    return _plain_datasets(record, lost) or None


def photoshop_segment(iptc: bytes) -> bytes:
    """Packs an IPTC record alone as a JPEG has it (resource 1036 is a thumbnail)."""
    body = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(iptc)) + iptc
    body += b"\0" * (len(iptc) % 2)
    return b"Photoshop 3.0\0" + body


def _plain_datasets(record: bytes, lost: list[str]) -> bytes:
    """Keeps the datasets of an IPTC record that are plain."""
    kept, at = b"", 0
    while at + 5 <= len(record) and record[at] == 0x1C:
        number, dataset = record[at + 1 : at + 3]
        end = at + 5 + int.from_bytes(record[at + 3 : at + 5])
        value = record[at + 5 : end]
        is_picture = number > 6 or (number == 2 and dataset in _IPTC_PICTURES)
        if is_picture or end > len(record) or not plain.is_plain(value):
            lost.append(f"IPTC {number}:{dataset}")
        else:
            kept += record[at:end]
        at = end
    if record[at:].strip(b"\0"):
        lost.append("IPTC")
    return kept


def _text(text: dict[Any, Any], lost: list[str]) -> dict[str, str]:
    """Keeps plain text; XMP is kept apart, and EXIF as hexadecimal text is not."""
    kept = {}
    for keyword, value in text.items():
        if keyword.startswith(("XML:", "Raw profile")):
            continue
        if plain.is_plain(keyword) and plain.is_plain(str(value)):
            kept[keyword] = str(value)
        else:
            lost.append(f"text {keyword[:60]}")
    return kept


def _as_bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None
