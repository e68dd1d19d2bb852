import dataclasses
from pathlib import Path

import pytest

from jaxanon import models
from jaxanon.errors import ConfigError
from jaxanon.models import generators

KINDS = generators.names()


def test_the_folder_is_the_registry():
    folder = Path(generators.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert set(KINDS) == files
    assert KINDS == tuple(sorted(KINDS))
    assert {"unet", "donor", "deepprivacy_v1"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_has_what_the_registry_asks_for(kind):
    module, config = generators.find(kind), generators.config_class(kind)
    assert config.__name__.endswith("Config") and config().kind == kind
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().kind = "other"
    assert module.LATENT in ("normal", "donor")
    assert models.latent_kind(config()) == module.LATENT
    assert models.is_generator(kind)
    if module.LATENT == "normal":
        assert all(side > 0 for side in models.latent_shape(config()))


def test_an_unknown_generator_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="'donner'.*mean 'donor'.*donor, unet"):
        generators.find("donner")
    with pytest.raises(ConfigError, match="Unknown generator 'xyzzy'. There are"):
        generators.find("xyzzy")
    assert not models.is_generator("keypointer")
