"""What users of the Python API give: a picture, made a frame or refused."""

from typing import Any

import jax
import numpy as np
from jaxtyping import UInt

_WANTED = "give one RGB picture [h w 3] of uint8 or uint16 (NumPy, JAX or PIL)"


def to_frame(picture: Any) -> UInt[np.ndarray, "h w 3"]:
    """Makes a frame of a picture.

    Args:
        picture: NumPy or JAX, [h w 3], uint8 or uint16; or PIL, of mode RGB.

    Raises:
        TypeError: It is something else; the message says what to give.
    """
    if type(picture).__module__.split(".")[0] == "PIL":
        if picture.mode != "RGB":
            raise TypeError(
                f"PIL picture of mode {picture.mode}: give image.convert('RGB')."
            )
        if picture.getexif().get(0x0112, 1) != 1:
            raise TypeError(
                "PIL picture to be turned: give ImageOps.exif_transpose(image)."
            )
        return np.array(picture)
    if not isinstance(picture, np.ndarray | jax.Array):
        raise TypeError(f"{type(picture).__name__}: {_WANTED}.")
    if picture.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise TypeError(f"Picture of {picture.dtype}: {_WANTED}.")
    frame = np.asarray(picture)
    frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise TypeError(f"Picture of shape {frame.shape}: {_WANTED}.")
    if frame.dtype == np.uint16 and 0 < frame.max() < 256:
        raise TypeError(
            "Picture of uint16 that holds 0 to 255, which is nearly black: give "
            "uint8, or multiply by 257."
        )
    return frame
