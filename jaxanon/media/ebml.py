"""Numbers of EBML, the boxes that Matroska and WebM are made of."""

SEGMENT = b"\x18\x53\x80\x67"
TAGS = b"\x12\x54\xc3\x67"


def read_size(content: bytes) -> tuple[int, int]:
    """Reads the size of an element, which stands behind its name.

    Returns:
        The size, and in how many bytes it stands; 0, 0 where there is none.
    """
    length = 9 - content[0].bit_length() if content else 9
    if length > 8 or len(content) < length:
        return 0, 0
    return int.from_bytes(content[:length]) & ((1 << 7 * length) - 1), length


def promised_bytes(head: bytes) -> int:
    """Reads how long a file is to be; 0 where it doesn't say, as live streams do not.

    Args:
        head: Its first hundred bytes.
    """
    start = head.find(SEGMENT)
    if start < 0:
        return 0
    size, length = read_size(head[start + 4 :])
    is_unknown = size == (1 << 7 * length) - 1
    return 0 if is_unknown else start + 4 + length + size
