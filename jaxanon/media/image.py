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
from jaxanon.media import colour, deep, image_format, metadata
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
    image.load()
    turn = metadata.orientation(image)
    icc = image.info.get("icc_profile") or None
    transparency = image.info.get("transparency")
    if is_deep:
        samples = deep.read(str(path))
        mode = {2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    else:
        samples, mode, replaced = _samples(path, image)
        notes += replaced
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
        gamma=_gamma(image),
        encoding=noted,
        metadata=metadata.collect(image, (pixels.shape[1], pixels.shape[0])),
        notes=notes,
    )


def _refuse_what_cannot_be_kept(
    path: Path, image: Image.Image, head: bytes
) -> tuple[str, ...]:
    """Raises for pictures of which a part would be lost unseen; notes what is left."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format == "MPO":
        return (f"{frames - 1} further picture(s) inside the JPEG left out",)
    if frames > 1:
        raise MediaError(
            f"{path}: holds {frames} pictures (animation or pages); only files with "
            "one are handled as photos."
        )
    if image.format == "TIFF":
        _refuse_tiff(path, image)
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
    return ()


def _refuse_tiff(path: Path, image: Image.Image) -> None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    if 50706 in tags or 330 in tags or tags.get(254, 0) & 1:
        raise MediaError(f"{path}: is a camera's raw file; develop it first.")
    bits = max(tags.get(258, (1,)))
    planes = tags.get(284, 1) == 2 and tags.get(277, 1) > 1
    whole = image.mode in _DEEP_GREY or (deep.is_deep(image) and not planes)
    if bits > 8 and not (bits == 16 and whole):
        raise MediaError(
            f"{path}: TIFF with {bits}-bit samples ({image.mode}"
            f"{', separate planes' if planes else ''}) cannot be kept at its depth."
        )


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


def _gamma(image: Image.Image) -> dict[bytes, bytes]:
    if image.format != "PNG":
        return {}
    chunks = {}
    if (gamma := image.info.get("gamma")) is not None:
        chunks[b"gAMA"] = round(gamma * 100_000).to_bytes(4, "big")
    if (white := image.info.get("chromaticity")) is not None:
        chunks[b"cHRM"] = b"".join(round(v * 100_000).to_bytes(4, "big") for v in white)
    if (intent := image.info.get("srgb")) is not None:
        chunks[b"sRGB"] = bytes([intent])
    return chunks
