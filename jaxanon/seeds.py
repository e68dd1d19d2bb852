"""What a face depends on: the keys of a run, of a file and of a person in a video.

The seed contract: the faces of a file follow from the seed, what is left of its
pictures when the faces are erased, the detections, the weights and the options, on one
kind of device; no hidden pixel, nor the file's name, nor its place among other files
plays a part. A frame's key is the base key folded with the first four bytes of the
SHA-256 of the erased frame, and a face's is the frame's folded with the face's number.
A person's key in a video is made in the same way, of the frame that they are first
seen in and the number of their track.
"""

import hashlib
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt

from jaxanon.errors import ConfigError, MediaError

MAX_SEED = 2**32 - 1


def base_key(seed: int | None) -> jax.Array:
    """Gives the key of a whole run: of the seed, or a fresh secret one.

    Args:
        seed: 0 to `MAX_SEED`; None draws 64 random bits from the system, which are
            written nowhere, so that no later run can paint the same faces. (The work
            on an unfinished video keeps a key that is derived from them, see `resume`.)
    """
    if seed is None:
        words = jnp.asarray(np.frombuffer(os.urandom(8), np.uint32))
        return jax.random.wrap_key_data(words, impl="threefry2x32")
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"The seed is {seed}, but must be in 0 to {MAX_SEED}.")
    return jax.random.key(seed, impl="threefry2x32")


def erased_key(key: jax.Array, frame: UInt[np.ndarray, "h w 3"]) -> jax.Array:
    """Derives the key of a frame from the base key and the erased frame."""
    digest = hashlib.sha256(repr((frame.shape, str(frame.dtype))).encode())
    digest.update(np.ascontiguousarray(frame).data)
    return jax.random.fold_in(key, int(digest.hexdigest()[:8], 16))


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}).") from error
