"""One file per generator; the folder is the registry.

A generator's file is named for its kind and has:

- a frozen dataclass that ends in ``Config``, whose default ``kind`` is the file's name;
- ``LATENT``: ``normal``, and then ``latent_shape(config)``; or ``donor``, a
  ``types.Donor`` for each face;
- ``init(key, config) -> params`` and ``generate(config, params, condition, latent)``,
  which paints float32 images in about [-1, 1];
- optional ``prepare(params)``, which rearranges parameters for a CPU.
"""

import dataclasses
import difflib
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from jaxanon.errors import ConfigError


def names() -> tuple[str, ...]:
    """Lists the kinds of this folder, in alphabetic order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(kind: str) -> ModuleType:
    """Imports the generator of a kind.

    Raises:
        ConfigError: There is none of this name.
    """
    if kind not in names():
        near = difflib.get_close_matches(kind, names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"Unknown generator {kind!r}.{hint} There are: {', '.join(names())}."
        )
    return importlib.import_module(f"{__name__}.{kind}")


def config_class(kind: str) -> type:
    """Returns the config class of a kind."""
    module = find(kind)
    found: list[Any] = [
        value
        for value in vars(module).values()
        if dataclasses.is_dataclass(value) and getattr(value, "kind", "") == kind
    ]
    (one,) = found
    return one
