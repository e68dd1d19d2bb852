"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from jaxanon.errors import MediaError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place at the end.

    When the block raises anything, KeyboardInterrupt too, the temporary file is removed
    and `path` is as it was. The temporary name has the suffix of `path`, because some
    encoders go by it, and begins with a dot, so that a half-written file never looks
    like a result.

    Raises:
        MediaError: The folder cannot be made or the file cannot be written.
    """
    path = Path(path)
    # Absolute: encoders take what stands before a colon for a kind of address.
    temporary = path.absolute().with_name(f".{secrets.token_hex(6)}.part{path.suffix}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # O_EXCL: never through somebody else's link. Mode 0o666 obeys the umask.
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            os.close(os.open(temporary, flags, 0o666))
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({error}).") from error
