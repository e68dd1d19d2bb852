"""Writes a painted frame in place of a picture's own, in the same or another format."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image, PngImagePlugin

from jaxanon.errors import MediaError
from jaxanon.media import atomic, colour, deep, image_format, mark, metadata, tags
from jaxanon.media import density as density_of
from jaxanon.media.metadata import Metadata
from jaxanon.media.picture import Picture

_IPTC_TAG, _XMP_TAG = 33723, 700
_PLAIN_GAMMA = 45_455  # 1 / 2.2, as good as sRGB's.


class _Canvas(NamedTuple):
    """Samples as they go into the file."""

    samples: np.ndarray
    mode: str
    palette: np.ndarray | None = None
    transparency: bytes | int | None = None


def write(
    path: Path | str,
    picture: Picture,
    pixels: Integer[np.ndarray, "h w 3"],
    *,
    region: Bool[np.ndarray, "h w"],
    keep_metadata: bool = False,
    marking: mark.Marking = mark.NONE,
) -> tuple[str, ...]:
    """Writes a picture with a painted region, atomically.

    Args:
        path: Its suffix chooses the format where it differs from the source's.
        picture: What was read.
        pixels: The frame to write, of the shape and type of `picture.pixels`.
        region: True where the frame was painted; elsewhere the picture's own samples
            are written.
        keep_metadata: Keeps EXIF, XMP, IPTC, comments and text; never a thumbnail.
        marking: How the file says that it was painted in.

    Returns:
        Notes of what the format could not hold.

    Raises:
        MediaError: The format cannot hold the picture, or writing failed.
    """
    path = Path(path)
    if pixels.shape != picture.pixels.shape or pixels.dtype != picture.pixels.dtype:
        raise ValueError(
            f"The frame is {pixels.shape} {pixels.dtype}, the picture "
            f"{picture.pixels.shape} {picture.pixels.dtype}."
        )
    format = image_format.target_format(path, picture.source, picture.format)
    canvas = _fit(_paint(picture, pixels, region, format), picture, format, path)
    asked = kept = picture.metadata if keep_metadata else Metadata()
    if marking.is_marked:
        kept = kept._replace(xmp=mark.add(kept.xmp))
    if marking.signer:
        marking.signer.check(path, format)
    with atomic.replacing(path) as temporary:
        try:
            if canvas.samples.dtype == np.uint16:
                _save_deep(temporary, canvas, picture, format, kept)
            else:
                _save(temporary, canvas, picture, format, kept)
            if format == "TIFF":
                _add_tags(temporary, picture, kept)
            noted = _stamp_density(temporary, picture, format)
        except OSError:
            raise
        except Exception as error:  # Encoders refuse in every way.
            raise MediaError(f"{path}: cannot be encoded ({error}).") from error
        marking.finish(temporary, format)
    return (*noted, *_colours_lost(picture, canvas, format), *_kept_not(asked, format))


def _stamp_density(path: Path, picture: Picture, format: str) -> tuple[str, ...]:
    """Writes the density where a header has its place; the other formats have it."""
    if picture.density is None or format in ("PNG", "TIFF"):
        return ()
    if density_of.stamp(path, format, picture.density):
        return ()
    return (f"the resolution is left out: this {format} has no place for it",)


def _colours_lost(picture: Picture, canvas: _Canvas, format: str) -> tuple[str, ...]:
    """Notes what says how the samples look and could not be carried over."""
    notes = []
    icc = picture.icc
    if icc and not _fitting_icc(icc, canvas.mode) and picture.mode != "CMYK":
        space = colour.icc_space(icc)
        notes.append(f"the colour profile is left out: it is of {space} samples")
    if icc and format in ("BMP", "GIF"):
        notes.append(f"the colour profile is left out: {format} has no place for it")
    gamma = picture.gamma
    odd = abs(int.from_bytes(gamma.get(b"gAMA", b"")) - _PLAIN_GAMMA) > 500
    if format != "PNG" and (b"cICP" in gamma or (b"gAMA" in gamma and odd)):
        notes.append(
            f"colour space (cICP, gAMA) left out: {format} has no place for it"
        )
    if format != "TIFF" and picture.primaries and not icc:
        notes.append(f"colour space (white, primaries) left out of the {format}")
    return tuple(notes)


def _kept_not(kept: Metadata, format: str) -> tuple[str, ...]:
    """Notes metadata that was to be kept and has no place in the format."""
    places = {
        "EXIF": (kept.exif, ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF")),
        "XMP": (kept.xmp, ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF")),
        "IPTC": (kept.iptc, ("JPEG", "TIFF")),
        "the comment": (kept.comment, ("JPEG", "GIF")),
        "text": (kept.text, ("PNG",)),
    }
    notes = [
        f"{name} left out: {format} has no place for it"
        for name, (content, formats) in places.items()
        if content and format not in formats
    ]
    notes += [f"{name} left out: it may hold a picture" for name in kept.left_out]
    return tuple(notes)


def _add_tags(path: Path, picture: Picture, kept: Metadata) -> None:
    """Completes a TIFF file by what its encoder leaves out."""
    new = dict(picture.primaries)
    if picture.density is not None:
        new |= density_of.tiff_tags(picture.density)
    if kept.xmp:
        new[_XMP_TAG] = tags.undefined(kept.xmp, 1)
    if kept.iptc:
        new[_IPTC_TAG] = tags.undefined(kept.iptc)
    if new or kept.exif:
        tags.add(path, new, exif=kept.exif)


def _paint(
    picture: Picture, pixels: np.ndarray, region: np.ndarray, format: str
) -> _Canvas:
    """Joins the painted region with the picture's own samples."""
    painted = bool(region.any())
    if picture.mode == "P":
        if not painted:
            return _Canvas(picture.samples, "P", picture.palette, picture.transparency)
        if format == "GIF":
            indexes, palette, hidden = colour.index_gif(pixels, picture.alpha, region)
            return _Canvas(indexes, "P", palette, hidden)
        return _with_alpha(pixels, picture.alpha, "RGB")
    if picture.mode in ("RGB", "RGBA"):
        return _with_alpha(pixels, picture.alpha, "RGB")
    mode = "L" if picture.mode == "LA" else picture.mode
    own = picture.samples[..., 0] if picture.mode == "LA" else picture.samples
    samples = own
    if painted:
        samples = colour.from_rgb(pixels, own, mode, region, picture.icc)
    if mode == "1" and picture.alpha is not None:
        return _with_alpha(np.where(samples, 255, 0).astype("u1"), picture.alpha, "L")
    return _with_alpha(samples, picture.alpha, mode)


def _with_alpha(samples: np.ndarray, alpha: np.ndarray | None, mode: str) -> _Canvas:
    if alpha is None:
        return _Canvas(samples, mode)
    return _Canvas(np.dstack([samples, alpha]), mode + "A")


def _fit(canvas: _Canvas, picture: Picture, format: str, path: Path) -> _Canvas:
    """Changes the mode where another format needs it, or refuses."""
    if canvas.samples.dtype == np.uint16:
        if format not in image_format.HOLDS_16_BITS:
            raise MediaError(
                f"{path}: {format} cannot hold 16 bits a channel; write a PNG or TIFF."
            )
        if canvas.mode == "LA" and format == "TIFF":
            grey, alpha = canvas.samples[..., :1], canvas.samples[..., 1:]
            return _Canvas(np.concatenate([grey, grey, grey, alpha], -1), "RGBA")
        return canvas
    if canvas.mode in image_format.HOLDS[format]:
        return canvas
    rgb = colour.to_rgb(canvas.samples, canvas.mode, canvas.palette, picture.icc)
    if format == "GIF" and canvas.mode == "LA":
        nowhere = np.zeros(rgb.shape[:2], bool)
        indexes, palette, hidden = colour.index_gif(rgb, picture.alpha, nowhere)
        return _Canvas(indexes, "P", palette, hidden)
    if format == "GIF":
        raise MediaError(f"{path}: a GIF cannot hold full colour; write a PNG.")
    if picture.alpha is None:
        grey = canvas.mode == "1" and "L" in image_format.HOLDS[format]
        return _Canvas(rgb[..., 0], "L") if grey else _Canvas(rgb, "RGB")
    if "RGBA" not in image_format.HOLDS[format]:
        raise MediaError(f"{path}: {format} cannot hold transparency; write a PNG.")
    return _with_alpha(rgb, picture.alpha, "RGB")


def _save(
    path: Path, canvas: _Canvas, picture: Picture, format: str, kept: Metadata
) -> None:
    image = _to_pillow(canvas)
    noted = picture.encoding if format == picture.format else None
    options = image_format.settings(format, canvas.mode, noted)
    if canvas.transparency is not None:
        options["transparency"] = canvas.transparency
    if icc := _fitting_icc(picture.icc, canvas.mode):
        options["icc_profile"] = icc
    options |= _metadata_options(format, kept, picture)
    if format == "BMP" and canvas.mode == "RGBA":
        path.write_bytes(image_format.bmp_with_alpha(canvas.samples))
        return
    # Not into the file: on a full disk Pillow passes half a write for a whole one.
    encoded = io.BytesIO()
    image.save(encoded, format=format, **options)
    path.write_bytes(encoded.getbuffer())
    if format == "PNG":
        deep.insert_png_chunks(path, _png_chunks(picture))


def _to_pillow(canvas: _Canvas) -> Image.Image:
    if canvas.mode == "1":
        return Image.fromarray(canvas.samples)
    height, width = canvas.samples.shape[:2]
    mode = "L" if canvas.mode == "P" else canvas.mode
    image = Image.frombytes(mode, (width, height), canvas.samples.tobytes())
    if canvas.mode == "P":
        assert canvas.palette is not None
        image.putpalette(canvas.palette.tobytes())
    return image


def _fitting_icc(icc: bytes | None, mode: str) -> bytes | None:
    """Leaves out a profile of another kind of samples than the file now has."""
    if icc is None:
        return None
    spaces = {"CMYK": ("CMYK",), "1": ("GRAY", "RGB"), "L": ("GRAY", "RGB")}
    allowed = spaces.get(mode.removesuffix("A"), ("RGB",))
    return icc if colour.icc_space(icc) in allowed else None


def _metadata_options(format: str, kept: Metadata, picture: Picture) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if format == "PNG":
        options["pnginfo"] = _png_info(kept)
    if format in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF") and kept.exif:
        options["exif"] = kept.exif
    if format in ("JPEG", "WEBP", "AVIF", "HEIF") and kept.xmp:
        options["xmp"] = kept.xmp
    if format in ("JPEG", "GIF") and kept.comment:
        options["comment"] = kept.comment
    if format == "JPEG" and kept.iptc:
        segment = metadata.photoshop_segment(kept.iptc)
        size = (len(segment) + 2).to_bytes(2, "big")
        options["extra"] = b"\xff\xed" + size + segment
    return options


def _png_info(kept: Metadata) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for keyword, text in kept.text.items():
        info.add_text(keyword, text)
    if kept.xmp:
        info.add_itxt("XML:com.adobe.xmp", kept.xmp.decode("utf-8", "replace"))
    return info


def _png_chunks(picture: Picture) -> list[tuple[bytes, bytes]]:
    """Lists the chunks that say how the samples look; Pillow writes but some."""
    chunks = list(picture.gamma.items())
    if picture.density is not None:
        chunks.append((b"pHYs", density_of.png_chunk(picture.density)))
    return chunks


def _save_deep(
    path: Path, canvas: _Canvas, picture: Picture, format: str, kept: Metadata
) -> None:
    height, width = canvas.samples.shape[:2]
    samples = canvas.samples.reshape(height, width, -1)
    icc = _fitting_icc(picture.icc, canvas.mode)
    with path.open("wb") as file:
        if format == "TIFF":
            deep.write_tiff(file, samples, icc=icc)
            return
        info = _png_info(kept)
        chunks = _png_chunks(picture)
        chunks += [(chunk[0], chunk[1]) for chunk in info.chunks]
        if icc:
            profile = b"ICC Profile\0\0" + deep.zlib.compress(icc)
            chunks.insert(0, (b"iCCP", profile))
        if kept.exif:
            chunks.append((b"eXIf", kept.exif.removeprefix(b"Exif\0\0")))
        deep.write_png(file, samples, chunks=chunks)
