"""Tells metadata that is plain, words and a few numbers, from what may be a picture.

A picture is known by its first bytes, wherever they stand and also in base64. That does
not find every format and every encoding, so what is kept has to look like words: no
long bytes, no long row of numbers, no long "word", nothing as dense as packed data.
"""

import io
import re
import warnings
import zlib
from typing import Any

from PIL import Image

LONGEST_TEXT = 10_000
_LONGEST_BYTES = 64
_MOST_NUMBERS = 16
# Addresses are the longest words that people write.
_LONGEST_WORD, _LONG_WORD, _MOST_LONG_WORDS = 200, 48, 5
_LEAST_DUMP, _LEAST_DENSE, _DENSE = 256, 600, 0.72

_ANYWHERE = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8[79]a|RIFF....WEBP|II[*+]\0|MM\0[*+]|ftyp[\w ]{4}"
    rb"|\0\0\0\x0c(?:jP  |JXL )|\xff\x4f\xff\x51|8BPS|\x1a\x45\xdf\xa3|%PDF|%!PS|<svg"
    rb"|v/1\x01\0|#\?RADIANCE|SIMPLE  =|data:image",
    re.DOTALL | re.IGNORECASE,
)
_AT_START = re.compile(
    rb"BM|\xff\x0a|P[1-7]\s|qoif|\0\0[\x01\x02]\0|\x1f\x8b|\x78[\x01\x5e\x9c\xda]|BZh|PK\x03\x04"
    rb"|\xfd7zXZ|\x28\xb5\x2f\xfd|DDS ",
    re.DOTALL,
)
_BASE64 = re.compile(
    # JPEG, PNG, WebP, GIF, two TIFFs, BMP, SVG, gzip, zlib, AVIF and HEIC, JPEG XL.
    r"(?:/9j/|_9j_|iVBOR|UklGR|R0lGOD|SUkq|TU0AK|Qk[0-9]|PHN2Z|H4sI|eJ[wyz]|eAF|eF4|eNo"
    r"|AAAA[\w+/-]{2}Z0eX|/wo|/0//UQ|AAAADE|AAAADG)[\w+/-]{60,}"
)
_PIECE, _MOST_PIECES = re.compile(r"[\w+/=-]{16,}", re.ASCII), 600
_NUMBERS = re.compile(r"[0-9a-fA-FxX\\%&#;:,.=\[\](){}<>'\"_~+-]")


def is_plain(value: Any) -> bool:
    """Is true for a value of EXIF, XMP, IPTC or a comment that can hold no picture."""
    if isinstance(value, str):
        return _is_plain_text(value)
    if isinstance(value, bytes):
        return _are_plain_bytes(value)
    if isinstance(value, tuple | list):
        texts = [part for part in value if isinstance(part, str | bytes)]
        return len(value) <= _MOST_NUMBERS and all(map(is_plain, texts))
    return True


def holds_base64(text: str) -> bool:
    """Is true where a text, without its spaces, has a picture's beginning in base64."""
    return bool(_BASE64.search("".join(text.split())))


def holds_pieces(text: str) -> bool:
    """Is true where much of a text is words of mixed letters and digits.

    Nobody writes so, but a picture in base64 that is cut into pieces looks like it.
    """
    pieces = [word for word in _PIECE.findall(text) if _is_mixed(word)]
    return sum(map(len, pieces)) > _MOST_PIECES


def _is_mixed(word: str) -> bool:
    return all(any(map(kind, word)) for kind in (str.isupper, str.islower, str.isdigit))


def hides_picture(data: bytes) -> bool:
    """Is true where a picture that can be opened stands somewhere in bytes.

    For what may be long and dense by nature, such as a colour profile.
    """
    if holds_base64(data.decode("latin-1")):
        return True
    for match in _ANYWHERE.finditer(data):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Image.open(io.BytesIO(data[match.start() :])).close()
            return True
        except Exception:  # Not one after all: decoders fail in every way.
            continue
    return False


def _are_plain_bytes(data: bytes) -> bool:
    if _ANYWHERE.search(data):
        return False
    # User comments begin with the name of their encoding, in eight bytes.
    code = data[:8].rstrip(b"\0 ")
    rest = data[8:] if code in (b"ASCII", b"UNICODE", b"JIS", b"") else data
    if _is_plain_text(_text(rest)):
        return True
    return len(data) <= _LONGEST_BYTES and not _AT_START.match(data)


def _text(data: bytes) -> str:
    """Reads bytes as text: as UTF-8, or else as what has two bytes a letter."""
    try:
        text = data.decode().strip("\0\ufeff ")
        # Any two bytes are some letter of UTF-16, but few have a zero in UTF-8.
        if "\0" not in text:
            return text
    except UnicodeDecodeError:
        pass
    # Bytes in the wrong order are other letters; few of them are those of English.
    orders = [data.decode(name, "replace") for name in ("utf-16-le", "utf-16-be")]
    text = max(orders, key=lambda text: sum(map(str.isascii, text.rstrip("\0"))))
    return text.strip("\0\ufeff ")


def _is_plain_text(text: str) -> bool:
    text = text.rstrip("\0")
    if "\ufffd" in text:
        return False
    compact = "".join(text.split())
    if len(text) > LONGEST_TEXT or not compact.isprintable():
        return False
    if _ANYWHERE.search(text.encode("utf-8", "replace")) or holds_base64(text):
        return False
    long = [len(word) for word in text.split() if len(word) > _LONG_WORD]
    # Some scripts have no spaces, but those are not the letters of base64.
    if compact.isascii() and (
        len(long) > _MOST_LONG_WORDS or max(long, default=0) > _LONGEST_WORD
    ):
        return False
    if (
        len(compact) >= _LEAST_DUMP
        and len(_NUMBERS.sub("", compact)) < len(compact) / 8
    ):
        return False
    return not _is_dense(compact)


def _is_dense(compact: str) -> bool:
    """Is true for letters without the order that words have."""
    data = compact.encode()
    if len(data) < _LEAST_DENSE or not compact.isascii():
        return False
    return len(zlib.compress(data, 9)) > _DENSE * len(data)
