"""Strict ``a.b=c`` overrides of the fields of frozen dataclasses."""

import ast
import dataclasses
import difflib
import typing
from collections.abc import Sequence
from typing import Any

from jaxanon.errors import ConfigError


def override(config: Any, overrides: Sequence[str]) -> Any:
    """Returns a config with fields replaced, e.g. by ``generator.blocks=1``.

    Raises:
        ConfigError: a field is unknown (the nearest one is named) or the value is of
            another type.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"Override {text!r} is not of the form a.b=value.")
        config = _replace(config, path.strip().split("."), value.strip(), path.strip())
    return config


def _replace(config: Any, names: Sequence[str], text: str, path: str) -> Any:
    known = [f.name for f in dataclasses.fields(config)]
    name = names[0]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"do you mean {near[0]!r}?" if near else f"allowed: {', '.join(known)}."
        raise ConfigError(f"Unknown field {path!r} ({name!r}): {hint}")
    value = getattr(config, name)
    if dataclasses.is_dataclass(value) != (len(names) > 1):
        what = "has fields of its own" if len(names) == 1 else "has no fields"
        raise ConfigError(f"Field {path!r}: {name!r} {what}.")
    if len(names) > 1:
        new = _replace(value, names[1:], text, path)
    else:
        new = _parse(text, typing.get_type_hints(type(config))[name], path)
    try:
        return dataclasses.replace(config, **{name: new})
    except ValueError as error:
        raise ConfigError(f"Field {path!r} cannot be {text!r}: {error}") from error


def _parse(text: str, hint: Any, path: str) -> Any:
    """Reads a value of a type, or says what the type is."""
    if hint is str:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    value = _coerce(value, hint)
    if value is None:
        name = getattr(hint, "__name__", str(hint)) if not _args(hint) else str(hint)
        raise ConfigError(f"Field {path!r} is a {name}; {text!r} is not.")
    return value


def _coerce(value: Any, hint: Any) -> Any:
    """Returns the value as the type asks for it, None where it is of another type."""
    args = _args(hint)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            value = (value,)
        kinds = (args[0],) * len(value) if args[-1] is ... else args
        values = tuple(map(_coerce, value, kinds))
        return None if len(kinds) != len(value) or None in values else values
    if typing.get_origin(hint) is typing.Literal:
        return value if value in args else None
    if args:  # A union.
        found = (_coerce(value, arg) for arg in args)
        return next((v for v in found if v is not None), None)
    if hint is float and type(value) is int:
        return float(value)
    return value if hint is Any or type(value) is hint else None


def _args(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint)
