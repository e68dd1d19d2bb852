"""A picture's own samples to RGB and, where it was painted, back.

Grey, 1-bit and CMYK pictures keep their own samples outside the painted region, bit for
bit; inside it the painted colours are converted. A palette has no room for new colours,
so a painted palette picture becomes RGB, except in a GIF, which gets a new palette.
"""

import io

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image, ImageCms

from jaxanon.errors import MediaError


def to_rgb(
    samples: np.ndarray, mode: str, palette: np.ndarray | None, icc: bytes | None
) -> Integer[np.ndarray, "h w 3"]:
    """Shows samples of any supported mode as RGB of the same depth."""
    if mode == "P":
        assert palette is not None
        return palette[samples]
    if mode == "1":
        return np.repeat(np.where(samples, 255, 0).astype(np.uint8)[..., None], 3, 2)
    if mode == "L":
        return np.repeat(samples[..., None], 3, 2)
    if mode == "LA":
        return np.repeat(samples[..., :1], 3, 2)
    if mode == "CMYK":
        return cmyk_to_rgb(samples, icc)
    return np.ascontiguousarray(samples[..., :3])


def from_rgb(
    pixels: Integer[np.ndarray, "h w 3"],
    samples: np.ndarray,
    mode: str,
    region: Bool[np.ndarray, "h w"],
    icc: bytes | None,
) -> np.ndarray:
    """Puts painted pixels into samples of mode "1", "L" or "CMYK".

    Args:
        pixels: The painted frame.
        samples: The picture's own samples, same height and width.
        mode: What the samples are.
        region: True where `pixels` counts; elsewhere the samples stay.
        icc: The picture's colour profile.
    """
    if mode == "CMYK":
        return np.where(region[..., None], rgb_to_cmyk(pixels, icc), samples)
    grey = luminance(pixels)
    if mode == "1":
        # Dithered: white and black pixels leave no error to spread into the region.
        grey = np.array(Image.fromarray(grey).convert("1"))
    return np.where(region, grey, samples)


def luminance(pixels: Integer[np.ndarray, "h w 3"]) -> Integer[np.ndarray, "h w"]:
    """Turns RGB into grey (BT.601 luma), exactly itself where R = G = B."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    return ((red * 299 + green * 587 + blue * 114 + 500) // 1000).astype(pixels.dtype)


def cmyk_to_rgb(
    samples: UInt8[np.ndarray, "h w 4"], icc: bytes | None
) -> UInt8[np.ndarray, "h w 3"]:
    """Shows inks as sRGB, by the profile where there is one."""
    return _convert(samples, "CMYK", "RGB", icc)


def rgb_to_cmyk(
    pixels: UInt8[np.ndarray, "h w 3"], icc: bytes | None
) -> UInt8[np.ndarray, "h w 4"]:
    """Gives the inks for sRGB colours, by the profile where there is one."""
    return _convert(pixels, "RGB", "CMYK", icc)


def _convert(samples: np.ndarray, source: str, target: str, icc: bytes | None):
    height, width = samples.shape[:2]
    image = Image.frombytes(source, (width, height), samples.tobytes())
    if icc is None or icc_space(icc) != "CMYK":
        return np.array(image.convert(target))
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        screen = ImageCms.createProfile("sRGB")
        ends = (inks, screen) if source == "CMYK" else (screen, inks)
        transform = ImageCms.buildTransform(*ends, source, target)
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError) as error:
        raise MediaError(f"The CMYK colour profile is unusable ({error}).") from error
    assert converted is not None
    return np.array(converted)


def icc_space(icc: bytes) -> str:
    """Names the colour space that a profile describes: "RGB", "GRAY", "CMYK"."""
    return icc[16:20].decode("latin-1").strip()


def index_gif(
    pixels: UInt8[np.ndarray, "h w 3"],
    alpha: Integer[np.ndarray, "h w"] | None,
    region: Bool[np.ndarray, "h w"],
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "256 3"], int | None]:
    """Finds a palette in which nothing changes outside the painted region.

    The colours of the unpainted part come first, exactly; what is left of the 256 goes
    to the painted part, which is dithered to the whole palette.

    Returns:
        Indexes, palette and the index that is transparent, if any.
    """
    hidden = np.zeros(region.shape, bool) if alpha is None else alpha == 0
    fixed = _colours(pixels[~region & ~hidden])
    room = 256 - len(fixed) - int(hidden.any())
    if room < 0:
        raise MediaError("A GIF cannot hold more than 256 colours; write a PNG.")
    fresh = np.zeros((0, 3), np.uint8)
    if room >= 2 and region.any():
        strip = Image.fromarray(pixels[region][None])
        palette = strip.quantize(room, Image.Quantize.MEDIANCUT).getpalette("RGB")
        fresh = np.array(palette, np.uint8).reshape(-1, 3)[:room]
    palette = np.concatenate([fixed, fresh])
    if len(palette) == 0:
        palette = np.zeros((1, 3), np.uint8)
    table = Image.new("P", (1, 1))
    full = np.pad(palette, ((0, 256 - len(palette)), (0, 0)), "edge")
    table.putpalette(full.tobytes())
    dithered = Image.fromarray(pixels).quantize(palette=table)
    indexes = np.minimum(np.array(dithered), len(palette) - 1)
    exact = np.searchsorted(_packed(fixed), _packed(pixels)) if len(fixed) else indexes
    indexes = np.where(region, indexes, exact).astype(np.uint8)
    transparent = len(palette) if hidden.any() else None
    if transparent is not None:
        indexes[hidden] = transparent
    return indexes, full, transparent


def _packed(colours: np.ndarray) -> np.ndarray:
    return colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)


def _colours(pixels: UInt8[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "m 3"]:
    """Lists the distinct colours in the order of `_packed`."""
    packed = np.unique(_packed(pixels))
    parts = packed[:, None] >> np.array([16, 8, 0], np.uint32) & 255
    return parts.astype(np.uint8)
