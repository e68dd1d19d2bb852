"""How many pixels stand on an inch of paper: what scanners and printers go by."""

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from jaxanon.media import tags

_PER_METRE = {"metre": Fraction(1), "inch": Fraction(10_000, 254), "cm": Fraction(100)}
_LIMIT = 1 << 16


class Density(NamedTuple):
    """Pixels per unit of length; with no unit, the shape of a pixel alone."""

    x: Fraction
    y: Fraction
    unit: str
    """ "inch", "cm", "metre" or ""."""

    def per(self, unit: str) -> tuple[int, int]:
        """Counts whole pixels per another unit of length."""
        factor = _PER_METRE[unit] / _PER_METRE[self.unit]
        return round(self.x * factor), round(self.y * factor)

    def ratio(self) -> tuple[int, int]:
        """Gives the shape of a pixel in small whole numbers."""
        shape = (self.x / self.y).limit_denominator(_LIMIT - 1)
        return shape.numerator, shape.denominator


def read(image: Image.Image) -> Density | None:
    """Reads the density that an opened picture states; None where it says nothing."""
    info = image.info
    try:
        if image.format == "TIFF":
            known = image.tag_v2  # type: ignore[attr-defined]
            unit = {1: "", 3: "cm"}.get(known.get(296, 2), "inch")
            return _checked(known.get(282), known.get(283), unit)
        if image.format in ("JPEG", "MPO") and any(info.get("jfif_density", ())):
            unit = {1: "inch", 2: "cm"}.get(info["jfif_unit"], "")
            x, y = info["jfif_density"]
            return _checked(x, y, unit)
        if image.format == "PNG" and "aspect" in info:
            x, y = info["aspect"]
            return _checked(x, y, "")
        if "dpi" not in info:
            return None
        x, y = info["dpi"]
        if image.format in ("PNG", "BMP"):
            # These count in metres; Pillow has turned that into inches.
            factor = 0.0254 if image.format == "PNG" else 1 / 39.3701
            return _checked(round(x / factor), round(y / factor), "metre")
        return _checked(x, y, "inch")
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _checked(x: Any, y: Any, unit: str) -> Density | None:
    x, y = (Fraction(value).limit_denominator(_LIMIT) for value in (x, y))
    found = Density(x, y, unit)
    is_sane = all(0 < value < 1e9 for value in found[:2])
    says_something = unit or found.x != found.y
    return found if is_sane and says_something else None


def png_chunk(density: Density) -> bytes:
    """Packs a density as PNG's pHYs."""
    values = density.per("metre") if density.unit else density.ratio()
    packed = b"".join(value.to_bytes(4, "big") for value in values)
    return packed + (b"\1" if density.unit else b"\0")


def tiff_tags(density: Density) -> dict[int, tags.Tag]:
    """Packs a density as TIFF's tags."""
    unit = density.unit
    x, y = density.per("inch") if unit == "metre" else density[:2]
    values = [tags.rational(*Fraction(value).as_integer_ratio()) for value in (x, y)]
    number = {"": 1, "cm": 3}.get(unit, 2)
    return {282: values[0], 283: values[1], 296: tags.short(number)}


def stamp(path: Path, format: str, density: Density) -> bool:
    """Writes a density into the header of a JPEG or BMP file; False if it has none."""
    with path.open("rb+") as file:
        head = file.read(54)
        if format == "JPEG" and head[6:11] == b"JFIF\0":
            unit = "inch" if density.unit == "metre" else density.unit
            values = density.per(unit) if unit else density.ratio()
            if not all(0 < value < _LIMIT for value in values):
                return False
            file.seek(13)
            file.write(bytes([{"": 0, "inch": 1, "cm": 2}[unit]]))
            file.write(b"".join(value.to_bytes(2, "big") for value in values))
            return True
        if format == "BMP" and density.unit:
            file.seek(38)
            for value in density.per("metre"):
                file.write(value.to_bytes(4, "little"))
            return True
    return False
