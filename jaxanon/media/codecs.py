"""Which codec, pixel format and settings a video is written with."""

from pathlib import Path
from typing import NamedTuple

import av
import av.codec

from jaxanon.errors import ConfigError, MediaError


class Codec(NamedTuple):
    """One way to compress a video."""

    encoder: str
    """The encoder's name in FFmpeg."""
    crf: int | None
    """The quality used unless another is asked for; lower is better and larger."""
    options: dict[str, str]
    """What else the encoder is told: fast enough to keep up with the painting."""
    even: bool
    """Whether frames with halved chroma must have even sides."""
    in_order: dict[str, str] = {}
    """What writes pictures in the order they are shown, for parts to be joined."""


CODECS = {
    # On processors with AVX-512 x264's look-ahead differs from run to run, unless it
    # is told to do as all processors do.
    "h264": Codec(
        "libx264",
        18,
        {"preset": "veryfast", "x264-params": "cpu-independent=1"},
        even=True,
        in_order={"bf": "0"},
    ),
    "h265": Codec(
        "libx265",
        21,
        {"preset": "fast", "x265-params": "log-level=none"},
        even=True,
        in_order={"x265-params": "log-level=none:bframes=0"},
    ),
    "vp9": Codec(
        "libvpx-vp9",
        28,
        {"deadline": "good", "cpu-used": "5", "row-mt": "1", "b": "0"},
        even=False,
    ),
    "av1": Codec("libsvtav1", 28, {"preset": "9"}, even=False),
    "gif": Codec("gif", None, {}, even=False),
    "prores": Codec(
        "prores_ks", None, {"profile": "4444", "alpha_bits": "16"}, even=False
    ),
}
"""The first four can be asked for; GIF follows from the file's name, ProRes from
transparency."""

CONTAINERS = {
    ".mp4": ("h264", "h265", "av1", "vp9"),
    ".m4v": ("h264", "h265"),
    ".mov": ("h264", "h265"),
    ".mkv": ("h264", "h265", "av1", "vp9"),
    ".webm": ("vp9", "av1"),
    ".gif": ("gif",),
}
"""What can be written, and the codecs that each container holds."""


TRANSPARENT = {".webm": "vp9", ".mkv": "vp9", ".mov": "prores", ".gif": "gif"}
"""What keeps transparency in each container that can."""


def choose_codec(
    target: Path, codec: str | None, *, bits: int, has_alpha: bool = False
) -> str:
    """Chooses a codec that the file's container holds.

    Args:
        target: The file to be written; its suffix names the container.
        codec: One of CODECS, or None for the one that most players know.
        bits: Bits per channel of the source; more than 8 are kept.
        has_alpha: Whether the source is transparent in parts, which is kept.

    Raises:
        MediaError: The suffix names no container that can be written.
        ConfigError: The container doesn't hold this codec.
    """
    suffix = target.suffix.lower()
    if suffix not in CONTAINERS:
        raise MediaError(
            f"{target}: cannot write {suffix or 'a file without suffix'} videos; "
            f"choose one of {', '.join(CONTAINERS)}."
        )
    allowed = CONTAINERS[suffix]
    codec = {"hevc": "h265", "avc": "h264"}.get(codec or "", codec)
    if codec is not None and codec not in allowed:
        raise ConfigError(
            f"{suffix} files are not written with {codec!r}; "
            f"choose one of {', '.join(allowed)}."
        )
    if has_alpha:
        kept = TRANSPARENT.get(suffix)
        if kept is None or codec not in (None, kept) or (bits > 8 and kept == "vp9"):
            raise MediaError(
                f"{target}: parts of the video are transparent, which "
                f"{codec or suffix.lstrip('.')} does not keep; write .mov, or .webm, "
                ".mkv or .gif of 8 bits, without --codec."
            )
        return kept
    if codec is None:
        # Players know 10-bit H.265 and AV1, and rarely 10-bit H.264 and VP9.
        return allowed[1 if bits > 8 and len(allowed) > 1 else 0]
    return codec


def choose_pixel_format(
    codec: str, source: str, *, height: int, width: int, has_alpha: bool = False
) -> str:
    """Chooses the encoder's pixel format that loses least of the source's.

    An odd side can't be written with halved chroma in H.264 and H.265, so that such a
    frame is written with full chroma and keeps its size.

    Args:
        codec: One of CODECS.
        source: The source's pixel format, by FFmpeg's name.
        height: Of the upright frame.
        width: Of the upright frame.
        has_alpha: Whether transparency is kept.
    """
    if codec == "gif":
        return "pal8"
    wanted, encoder = CODECS[codec], av.codec.Codec(CODECS[codec].encoder, "w")
    bits, across, down = _traits(source)
    if wanted.even:
        across, down = across and width % 2 == 0, down and height % 2 == 0

    def loss(name: str) -> tuple[int, ...]:
        its_bits, its_across, its_down = _traits(name)
        coarser = (its_across and not across) + (its_down and not down)
        finer = (across and not its_across) + (down and not its_down)
        return max(bits - its_bits, 0), coarser, finer, abs(its_bits - bits)

    # The yuvj names are the old way to say full range; it is said apart here.
    start = "yuva4" if has_alpha else "yuv4"
    names = [f.name for f in encoder.video_formats or () if f.name.startswith(start)]
    names = [name for name in names if not name.startswith("yuv440")]
    return min(names, key=loss)


def bit_depth(pixel_format: str) -> int:
    """Bits per channel of a pixel format, by FFmpeg's name."""
    return max((c.bits for c in av.VideoFormat(pixel_format).components), default=8)


def has_alpha(pixel_format: str) -> bool:
    """Says whether pixels of a format, by FFmpeg's name, may be transparent."""
    found = av.VideoFormat(pixel_format)
    return found.has_palette or any(c.is_alpha for c in found.components)


def _traits(name: str) -> tuple[int, bool, bool]:
    """Bits, and whether the chroma is halved across and down."""
    pixel_format = av.VideoFormat(name, 64, 64)
    if pixel_format.has_palette or len(pixel_format.components) < 3:
        return bit_depth(name), True, True
    if pixel_format.is_rgb:
        # Animated GIFs decode to RGB; as a video they are to play everywhere.
        halved = len(pixel_format.components) == 4
        return bit_depth(name), halved, halved
    return (
        bit_depth(name),
        pixel_format.chroma_width() < 64,
        pixel_format.chroma_height() < 64,
    )
