"""Frozen dataclasses from JSON objects: no unknown field, no value of another type."""

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any

from jaxanon.errors import ConfigError


def make(config_class: type, values: Mapping[str, Any]) -> Any:
    """Builds a config; absent fields keep their defaults, lists become tuples.

    Raises:
        ConfigError: a field is unknown (the nearest one is named), a value has another
            type than its field, or the class refuses them.
    """
    hints = typing.get_type_hints(config_class)
    known = {f.name: hints[f.name] for f in dataclasses.fields(config_class) if f.init}
    given = {}
    for name, value in values.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f", perhaps {nearest[0]!r} is meant" if nearest else ""
            raise ConfigError(f"unknown config field {name!r}{hint}")
        if isinstance(value, list):
            value = tuple(value)
        if not _fits(value, known[name]):
            raise ConfigError(f"config field {name!r} cannot be {value!r}")
        given[name] = value
    try:
        return config_class(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config cannot be used: {error}") from error


def _fits(value: Any, hint: Any) -> bool:
    """Says whether a JSON value has the type of a config field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(args) == 2 and args[1] is ...:
            args = (args[0],) * len(value)
        return len(args) == len(value) and all(map(_fits, value, args))
    if args:  # A union.
        return any(_fits(value, arg) for arg in args)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
