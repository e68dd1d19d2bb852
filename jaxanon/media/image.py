"""Still pictures: files to upright RGB frames and back, private by default.

`read` decodes a whole picture or raises; `write` puts a painted frame where a picture
was. Frames are RGB uint8, or uint16 for 16-bit files. Outside the painted region the
lossless formats keep every sample. Metadata is dropped unless asked for.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxanon.errors import MediaError
from jaxanon.media import colour, deep, density, image_format, metadata, plain, tags
from jaxanon.media.image_write import write as write
from jaxanon.media.picture import Picture as Picture

MAX_PIXELS = 200_000_000
"""Larger pictures are refused unless asked for: a small file can claim any size."""

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
_REPLACED = {"PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}
_HEAD_BYTES = 1 << 16
_PILLOW_LIMIT = threading.Lock()


def read(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decodes a picture file completely, turned upright.

    Args:
        path: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, or HEIC with the extra "heic".
        max_pixels: Width times height above which the file is refused undecoded.

    Raises:
        MediaError: Not a whole picture that can be kept as it is; the message says why.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head:
            raise MediaError(f"{path}: is empty.")
        with _opened(path, max_pixels) as image:
            return _read(path, image, head)
    except MediaError:
        raise
    except Image.UnidentifiedImageError as error:
        message = f"{path}: is not a picture of a known kind.{_hint(path)}"
        raise MediaError(message) from error
    except MemoryError as error:
        raise MediaError(f"{path}: does not fit into memory.") from error
    except Exception as error:  # Decoders fail on foreign bytes in every way.
        reason = str(error) or type(error).__name__
        raise MediaError(f"{path}: cannot be decoded ({reason}).") from error


@contextlib.contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Opens with our limit in place of Pillow's, which is one for the process."""
    _register_heif()
    with _PILLOW_LIMIT, warnings.catch_warnings():
        # Pillow warns of odd tags and goes on; pixels that lack still raise.
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(path, formats=_known_formats()) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise MediaError(
                        f"{path}: {width}x{height} is more than --max-pixels "
                        f"{max_pixels}."
                    )
                yield image
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _register_heif() -> None:
    with contextlib.suppress(ImportError):
        import pillow_heif  # type: ignore[import-not-found]

        pillow_heif.register_heif_opener()


def _known_formats() -> list[str]:
    Image.init()
    return [format for format in _FORMATS if format in Image.OPEN]


def _hint(path: Path) -> str:
    if "HEIF" not in Image.OPEN and image_format.SUFFIXES.get(path.suffix.lower()) == (
        "HEIF"
    ):
        return ' HEIC needs: pip install "jaxanon[heic]".'
    return ""


def _read(path: Path, image: Image.Image, head: bytes) -> Picture:
    format = "JPEG" if image.format == "MPO" else str(image.format)
    notes = _refuse_what_cannot_be_kept(path, image, head)
    is_deep = deep.is_deep(image)
    noted = image_format.inspect(image, head)
    is_inverted = image.format == "TIFF" and _is_white_zero(image)
    primaries = _primaries(image)
    raw_mode = deep.raw_mode(image)
    dense = density.read(image)
    image.load()
    turn = metadata.orientation(image)
    icc = image.info.get("icc_profile") or None
    if icc and plain.hides_picture(icc):
        icc = None
        notes += ("the colour profile is left out: it holds a picture",)
    transparency = _transparency(image, head)
    if is_deep:
        samples = deep.read(str(path))
        mode = {2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
        if raw_mode.startswith("RGBa"):
            samples = deep.straighten(samples)
    else:
        samples, mode, replaced = _samples(path, image)
        notes += replaced
        if is_inverted:
            samples = np.iinfo(samples.dtype).max - samples
    samples = metadata.upright(samples, turn)
    palette = _palette(image) if mode == "P" else None
    pixels = colour.to_rgb(samples, mode, palette, icc)
    return Picture(
        pixels=pixels,
        alpha=_alpha(samples, mode, transparency),
        samples=samples,
        mode=mode,
        palette=palette,
        transparency=transparency if mode == "P" else None,
        source=path,
        format=format,
        icc=icc,
        gamma=_gamma(path, image),
        primaries=primaries,
        density=_turned(dense, turn),
        encoding=noted,
        metadata=metadata.collect(image, (pixels.shape[1], pixels.shape[0])),
        notes=notes,
    )


def _turned(dense: density.Density | None, turn: int) -> density.Density | None:
    """Swaps the density's directions where the picture is turned on its side."""
    if dense is None or turn < 5:
        return dense
    return dense._replace(x=dense.y, y=dense.x)


def _refuse_what_cannot_be_kept(
    path: Path, image: Image.Image, head: bytes
) -> tuple[str, ...]:
    """Raises for pictures of which a part would be lost unseen; notes what is left."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format == "MPO":
        return (f"{frames - 1} further picture(s) inside the JPEG left out",)
    if image.format == "JPEG" and b"hdrgm:" in head:
        return ("the gain map for HDR screens is left out",)
    if frames > 1:
        raise MediaError(
            f"{path}: holds {frames} pictures (animation or pages); only files with "
            "one are handled as photos."
        )
    if image.format == "TIFF":
        _refuse_tiff(path, image)
        return _note_tiff(image)
    if image.format == "BMP":
        return image_format.bmp_notes(head)
    depth = 8
    if image.format == "AVIF":
        depth = image_format.av1_layout(head)[0]
    elif image.format == "HEIF":
        depth = image.info.get("bit_depth", 8)
    if depth > 8:
        raise MediaError(
            f"{path}: {depth}-bit {image.format} cannot be kept at its depth; "
            "convert it to a 16-bit PNG or TIFF first."
        )
    if image.format in ("AVIF", "HEIF"):
        return image_format.colour_box_notes(head)
    return ()


def _refuse_tiff(path: Path, image: Image.Image) -> None:
    known = image.tag_v2  # type: ignore[attr-defined]
    if 50706 in known or 330 in known or known.get(254, 0) & 1:
        raise MediaError(f"{path}: is a camera's raw file; develop it first.")
    if set(known.get(339, (1,))) - {1, 4}:
        raise MediaError(f"{path}: TIFF with signed samples cannot be kept.")
    bits = max(known.get(258, (1,)))
    planes = known.get(284, 1) == 2 and known.get(277, 1) > 1
    if planes and 1 in known.get(338, ()):
        raise MediaError(f"{path}: TIFF with premultiplied planes cannot be kept.")
    if known.get(332, 1) != 1:
        raise MediaError(f"{path}: TIFF with inks other than CMYK cannot be kept.")
    # What JPEG holds its decoder turns into RGB; Pillow takes the rest as it stands.
    is_jpeg = known.get(259, 1) in (6, 7)
    if known.get(262) == 6 and not is_jpeg and known.get(530, (2, 2)) != (1, 1):
        raise MediaError(f"{path}: TIFF with subsampled YCbCr cannot be read.")
    whole = image.mode in _DEEP_GREY or (deep.is_deep(image) and not planes)
    if bits > 8 and not (bits == 16 and whole):
        raise MediaError(
            f"{path}: TIFF with {bits}-bit samples ({image.mode}"
            f"{', separate planes' if planes else ''}) cannot be kept at its depth."
        )


def _note_tiff(image: Image.Image) -> tuple[str, ...]:
    """Names what a TIFF holds beside colours and straight alpha."""
    known, notes = image.tag_v2, []  # type: ignore[attr-defined]
    extra = known.get(338, ())
    if 1 in extra[:1]:
        notes.append("premultiplied alpha became straight alpha")
    left = len(extra) - (extra[:1] in ((1,), (2,), (999,)))
    if left > 0:
        notes.append(f"{left} further channel(s) left out")
    if known.get(262) == 3 and any(v % 257 and v % 256 for v in known.get(320, ())):
        notes.append("the palette's colours are kept with 8 bits of 16")
    for tag, name in ((291, "grey response"), (301, "transfer function")):
        if tag in known:
            notes.append(f"the {name} curve is left out")
    return tuple(notes)


def _is_white_zero(image: Image.Image) -> bool:
    """Is true for grey that Pillow reads as a negative: it inverts up to 8 bits."""
    return image.tag_v2.get(262) == 0 and image.mode in _DEEP_GREY  # type: ignore[attr-defined]


def _primaries(image: Image.Image) -> dict[int, tags.Tag]:
    """Copies a TIFF's white point and primaries."""
    known = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    found = {}
    for tag, count in ((318, 2), (319, 6)):
        values = known.get(tag, ())
        if len(values) == count and all(0 <= value <= 1 for value in values):
            content = [tags.rational(round(v * 10**6), 10**6).content for v in values]
            found[tag] = tags.Tag(5, count, b"".join(content))
    return found


def _transparency(image: Image.Image, head: bytes) -> Any:
    """Gives what is transparent, in the samples that Pillow makes of a PNG's."""
    value = image.info.get("transparency")
    if image.format != "PNG" or value is None or isinstance(value, bytes):
        return value
    bits = head[24]
    if image.mode == "L":
        return value % (1 << bits) * (255 // ((1 << bits) - 1))
    if image.mode == "RGB" and bits == 8:
        return tuple(part & 255 for part in value)
    return value


def _samples(path: Path, image: Image.Image) -> tuple[np.ndarray, str, tuple[str, ...]]:
    if image.mode in _DEEP_GREY:
        return np.array(image).astype(np.uint16), "L", ()
    if image.mode in _REPLACED:
        mode = _REPLACED[image.mode]
        image_mode, image = image.mode, image.convert(mode)
        return np.array(image), mode, (f"{image_mode} became {mode}",)
    if image.mode not in _MODES:
        raise MediaError(
            f"{path}: colour mode {image.mode} cannot be kept; allowed are "
            f"{', '.join(_MODES)} and 16-bit grey and RGB."
        )
    return np.array(image), image.mode, ()


def _palette(image: Image.Image) -> np.ndarray:
    entries = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return np.pad(entries, ((0, 256 - len(entries)), (0, 0)))


def _alpha(samples: np.ndarray, mode: str, transparency: Any) -> np.ndarray | None:
    if mode in ("LA", "RGBA"):
        return np.ascontiguousarray(samples[..., -1])
    if transparency is None:
        return None
    opaque = np.iinfo(samples.dtype).max if samples.dtype != bool else 255
    if isinstance(transparency, bytes):
        table = np.full(256, 255, np.uint8)
        table[: len(transparency)] = np.frombuffer(transparency, np.uint8)[:256]
        return table[samples]
    if mode == "1":
        hidden = samples == bool(transparency)
    elif samples.ndim == 3:
        hidden = (samples == np.array(transparency)).all(-1)
    else:
        hidden = samples == transparency
    return np.where(hidden, 0, opaque).astype(
        np.uint8 if samples.dtype == bool else samples.dtype
    )


def _gamma(path: Path, image: Image.Image) -> dict[bytes, bytes]:
    if image.format != "PNG":
        return {}
    sizes = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
    found = deep.read_png_chunks(path)
    return {
        name: found[name] for name, n in sizes.items() if len(found.get(name, b"")) == n
    }
