"""Detectors: frames to detections. The folder is the registry.

To add one, create a file here with ``def make(*, ...) -> Detector``; a dotted name of a
module elsewhere works as well, and so does any function that fits ``Detector``.
"""

import difflib
import importlib
import inspect
import pkgutil
from typing import Any

from jaxanon.detect.base import Detector as Detector
from jaxanon.detect.base import complete as complete
from jaxanon.detect.base import take as take
from jaxanon.detect.base import validate as validate
from jaxanon.errors import ConfigError, DetectorError

_NOT_DETECTORS = ("base", "json_format", "onnx_file", "passes")


def names() -> tuple[str, ...]:
    """Lists the detectors of this folder, in alphabetic order."""
    found = {module.name for module in pkgutil.iter_modules(__path__)}
    return tuple(sorted(found - set(_NOT_DETECTORS)))


def make(name: str, /, **settings: Any) -> Detector:
    """Makes a detector from its name; its network is loaded here, once.

    Args:
        name: one of ``names()``, or the dotted name of a module elsewhere that has a
            ``make(*, ...) -> Detector``.
        **settings: what the ``make`` of that module takes.

    Raises:
        ConfigError: the name or a setting is unknown or has a value not allowed.
        DetectorError: the detector cannot be loaded.
    """
    if "." not in name and name not in names():
        close = difflib.get_close_matches(name, names(), 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"There is no detector {name!r}; there are {', '.join(names())}.{hint}"
        )
    try:
        module = importlib.import_module(name if "." in name else f"{__name__}.{name}")
    except ImportError as error:
        raise DetectorError(f"Detector {name!r} cannot be loaded: {error}.") from error
    if not callable(getattr(module, "make", None)):
        raise ConfigError(f"Module {name!r} has no make(*, ...) -> Detector.")
    try:
        inspect.signature(module.make).bind(**settings)
    except TypeError as error:
        allowed = ", ".join(inspect.signature(module.make).parameters)
        raise ConfigError(
            f"Detector {name!r}: {error}; its settings are {allowed}."
        ) from error
    return module.make(**settings)
