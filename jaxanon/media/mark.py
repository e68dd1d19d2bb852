"""The mark that a picture was painted in: what machines read, and what is lost of it.

IPTC's DigitalSourceType says so in a packet of XMP, the same bytes in every file: in
pictures, GIFs and MP4; Matroska has a tag for it. Everybody can take it out again.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from jaxanon.errors import MediaError
from jaxanon.media import ebml, sign

NAME = "DigitalSourceType"
VALUE = "compositeWithTrainedAlgorithmicMedia"
_VALUES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ADDRESS = _VALUES + VALUE
TAGS = {NAME: ADDRESS}
"""What a container's header says, where it is the place for it."""

_PROPERTY = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}" + NAME
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
# About the whole file; a packet's descriptions must agree on the name.
_DESCRIPTION = (
    '<rdf:Description rdf:about="%s"'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:{NAME}="{ADDRESS}"/>'
)
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f"{_DESCRIPTION % ''}</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
).encode()
"""The mark as XMP."""

_C2PA = "C2PA manifest"
# The type of a manifest store, a UUID that begins with its name.
_C2PA_STORE = b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71"
_HINTS = (_C2PA_STORE, NAME.encode(), b"digitalsourcetype/")
# Matroska ends a text nowhere: what follows may look like more of it.
_SAID = re.compile(
    rf"{NAME}[\s=>\"']+(?!http)(\w+)|digitalsourcetype/({VALUE}|\w+)".encode()
)
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CHUNK, _OVERLAP = 1 << 20, 200


class Marking(NamedTuple):
    """How painted files are marked."""

    is_marked: bool = True
    """Whether they say how they came about."""
    signer: sign.Signer | None = None
    """Signs that, with C2PA."""

    def finish(self, path: Path, kind: str) -> None:
        """Completes a written file.

        Args:
            path: Of a temporary name; replaced.
            kind: The format's name or the container's suffix, such as "JPEG", ".mp4".

        Raises:
            MediaError: It cannot be signed.
        """
        if self.is_marked:
            _append(path, kind)
        if self.signer:
            self.signer.sign(path, kind, digital_source_type=ADDRESS)


DEFAULT = Marking()
NONE = Marking(is_marked=False)


def add(xmp: bytes | None) -> bytes:
    """Puts the mark into a packet of XMP, in place of another one of its kind.

    Args:
        xmp: What is kept of the input. What is no XML gives way to `PACKET`.
    """
    said = xmp and re.sub(rb"(digitalsourcetype/)\w+", rb"\1" + VALUE.encode(), xmp)
    if said and _is_marked(said):
        return said
    end = re.search(rb"</\w+:RDF\s*>", xmp or b"")
    about = re.search(rb"\w+:about=[\"']([^\"']*)", xmp or b"")
    if xmp and end:
        name = about[1].decode("utf-8", "replace") if about else ""
        added = (_DESCRIPTION % name).encode()
        joined = xmp[: end.start()] + added + xmp[end.start() :]
        if _is_marked(joined):
            return joined
    return PACKET


def _is_marked(xmp: bytes) -> bool:
    """Is true where the packet says `VALUE`, and nothing else beside it."""
    try:
        root = ElementTree.fromstring(xmp.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError):
        return False
    said = []
    for element in root.iter():
        if _PROPERTY in element.attrib:
            said.append(element.attrib[_PROPERTY])
        if element.tag == _PROPERTY:
            said.append(element.get(f"{_RDF}resource") or (element.text or "").strip())
    return said == [ADDRESS]


def _append(path: Path, kind: str) -> None:
    """Adds the packet to a GIF, MP4 or MOV that is whole already."""
    if kind in ("GIF", ".gif"):
        content = path.read_bytes()
        colours = 3 * 2 ** (1 + content[10] % 8) if content[10] & 0x80 else 0
        # A ramp leads readers of blocks of any size over the packet to its end.
        ramp = bytes([1, *range(255, -1, -1), 0])
        block = b"!\xff\x0bXMP DataXMP" + PACKET + ramp
        path.write_bytes(content[: 13 + colours] + block + content[13 + colours :])
    elif kind in (".mp4", ".m4v", ".mov"):
        with path.open("ab") as file:
            size = 8 + len(_XMP_UUID) + len(PACKET)
            file.write(size.to_bytes(4, "big") + b"uuid" + _XMP_UUID + PACKET)


def take_tags_out(path: Path) -> None:
    """Makes the tags of a Matroska file an empty space of the same size.

    They are written before it is known whether there is a face to be painted.
    """
    with path.open("rb+") as file:
        head = file.read(1 << 16)
        # The last one before their content; the file's index names it too.
        content = max(head.find(NAME.upper().encode()), 0)
        start = head.rfind(ebml.TAGS, 0, content)
        if start < 0:
            return
        size, length = ebml.read_size(head[start + 4 :])
        whole = 4 + length + size
        file.seek(start)
        file.write(b"\xec\x01" + (whole - 9).to_bytes(7, "big"))
        file.write(bytes(whole - 9))


def find(path: Path, more: bytes | None = None) -> set[str]:
    """Finds what a file says of how it came about, in any format.

    Args:
        path: The file.
        more: Further content, such as a packet that the file holds compressed.

    Raises:
        MediaError: It cannot be read.
    """
    found, rest = _find(more or b""), b""
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                found |= _find(rest + chunk)
                rest = (rest + chunk)[-_OVERLAP:]
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}).") from error
    return found


def _find(content: bytes) -> set[str]:
    """Lists the digital source types in some bytes, and whether a manifest is there."""
    if not any(hint in content for hint in _HINTS):
        return set()
    said = {(a or b).decode("ascii", "replace") for a, b in _SAID.findall(content)}
    return said | ({_C2PA} if _C2PA_STORE in content else set())


def describe(
    before: set[str], target: Path, marking: Marking, *, painted: bool
) -> Sequence[str]:
    """Says which marks of the input are lost, and which ones its output lacks.

    Args:
        before: What `find` found in the input, which the output may replace.
        target: The output, written.
        marking: What was asked for.
        painted: Whether a face of the output is painted.

    Raises:
        MediaError: The output cannot be read.
    """
    after, notes = find(target), []
    if _C2PA in before:
        notes.append("its C2PA manifest (Content Credentials) is not carried over.")
    for value in sorted(before - after - {_C2PA}):
        notes.append(f"its mark {NAME} = {value} is not carried over.")
    if painted and marking.is_marked and VALUE not in after:
        notes.append(f"{target.suffix} files cannot hold the mark {NAME}.")
    if marking.signer and not painted:
        notes.append("is not signed, because no face was painted.")
    return notes
