"""What can go wrong in a way that a user can mend."""


class JaxanonError(Exception):
    """Is the parent of every error that the user can do something about."""


class MediaError(JaxanonError):
    """Says that a file cannot be read, decoded or written."""


class WeightsError(JaxanonError):
    """Says that a weights file or checkpoint cannot be used."""


class DetectorError(JaxanonError):
    """Says that a detector cannot be made or answered nonsense."""


class ConfigError(JaxanonError):
    """Says that a setting is unknown or has a value that is not allowed."""


# What the system, Python's imports, threads, XLA and C++ say for want of memory.
_NO_MEMORY = (
    "failed to map segment",
    "annot allocate memory",
    "error return without exception set",
    "without setting an exception",
    "can't start new thread",
    "RESOURCE_EXHAUSTED",
    "bad_alloc",
    "bad allocation",
)


def is_lack_of_memory(error: BaseException | None) -> bool:
    """Is true where an error, or one that it follows from, is for want of memory."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False
