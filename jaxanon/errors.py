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
