"""Names to objectives: the files of this folder, and any module elsewhere."""

import difflib
import importlib
import inspect
import math
import pkgutil
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from jaxanon.errors import ConfigError
from jaxanon.objectives.base import Objective, add, after, every, scale

_PACKAGE = "jaxanon.objectives"
_NOT_OBJECTIVES = ("base", "networks", "penalties", "registry")


def names() -> tuple[str, ...]:
    """Lists the objectives of this folder, in alphabetic order."""
    folder = importlib.import_module(_PACKAGE).__path__
    found = (module.name for module in pkgutil.iter_modules(folder))
    return tuple(sorted(set(found) - set(_NOT_OBJECTIVES)))


def make(spec: str | Sequence[Any], /, **hyper: Any) -> Objective:
    """Makes an objective from its name, or the sum of several from a list.

    Settings are checked here, before any device is touched. Beside its own settings
    every term takes ``every=n`` and ``after=n``, in steps (see base).

    Args:
        spec: a name of ``names()``, a dotted name of a module elsewhere that has a
            ``make(*, ...) -> Objective``, or a list of terms to add, each one a name,
            ``(name, weight)``, ``(name, weight, {setting: value})`` or
            ``(name, {setting: value})``.
        **hyper: settings of the one objective that a name stands for.

    Raises:
        ConfigError: the name or a setting is unknown or has a value not allowed.

    Example:
        >>> _ = make("r1", gamma=10.0)
        >>> _ = make(["hinge", ("l1", 10.0), ("r1", {"gamma": 2.0, "every": 16})])
    """
    if isinstance(spec, str):
        return _make_one(spec, hyper)
    if hyper:
        raise ConfigError(
            f"A list of objectives takes its settings inside, got {sorted(hyper)} "
            'beside it; write ("name", weight, {"setting": value}).'
        )
    if not isinstance(spec, Sequence) or not spec:
        raise ConfigError(f"An objective is a name or a list of terms, got {spec!r}.")
    return add(*(_make_term(term) for term in spec))


def _make_term(term: Any) -> Objective:
    if isinstance(term, str):
        return _make_one(term, {})
    match list(term) if isinstance(term, Sequence) else term:
        case [str(name)]:
            weight, hyper = 1.0, {}
        case [str(name), Mapping() as hyper]:
            weight = 1.0
        case [str(name), int() | float() as weight]:
            hyper = {}
        case [str(name), int() | float() as weight, Mapping() as hyper]:
            pass
        case _:
            raise ConfigError(
                f"Term {term!r} of an objective must be a name or "
                "(name, weight, {setting: value})."
            )
    if not math.isfinite(weight):
        raise ConfigError(f"Weight of objective {name!r} must be finite, got {weight}.")
    return scale(float(weight), _make_one(name, hyper))


def _make_one(name: str, hyper: Mapping[str, Any]) -> Objective:
    maker = _find(name).make
    settings = dict(hyper)
    period, start = settings.pop("every", 1), settings.pop("after", 0)
    settings = _check(name, maker, settings)
    for setting, value, least in (("every", period, 1), ("after", start, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                f"Setting {setting} of {name!r} must be an int >= {least}: {value!r}."
            )
    try:
        term = maker(**settings)
    except ValueError as error:
        raise ConfigError(f"Objective {name!r}: {error}") from error
    return after(start, every(period, term))


def _find(name: str) -> ModuleType:
    known = names()
    if name not in known and "." not in name:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"Unknown objective {name!r}.{hint} There are: {', '.join(known)}; or the "
            "dotted name of a module with a make()."
        )
    path = f"{_PACKAGE}.{name}" if name in known else name
    try:
        module = importlib.import_module(path)
    except (ModuleNotFoundError, TypeError) as error:
        missing = getattr(error, "name", None) or path
        if path != missing and not path.startswith(f"{missing}."):
            raise  # The module is there, and lacks something that it imports.
        raise ConfigError(f"No module {path!r} to take an objective from.") from error
    if not callable(getattr(module, "make", None)):
        raise ConfigError(f"Module {path!r} has no make(*, ...) -> Objective.")
    return module


def _check(name: str, maker: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    signature = inspect.signature(maker)
    try:
        bound = signature.bind(**settings)
    except TypeError as error:
        raise ConfigError(f"Objective {name!r}: {error}; it is {signature}.") from error
    for setting, value in bound.arguments.items():
        wanted = signature.parameters[setting].annotation
        if wanted not in (int, float):
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value != wanted(value):
            raise ConfigError(
                f"Setting {setting} of objective {name!r} must be a finite "
                f"{wanted.__name__}, got {value!r}."
            )
        bound.arguments[setting] = wanted(value)
    return dict(bound.arguments)
