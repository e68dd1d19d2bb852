from pathlib import Path

import pytest

from jaxanon.errors import ConfigError
from train import config
from train.config import TrainConfig

CONFIGS = sorted(Path(__file__).parents[2].glob("configs/[a-z]*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_loads_and_survives_json(path):
    loaded = config.load(path)
    config.check(loaded, 1)
    again = config.from_dict(TrainConfig(), config.as_dict(loaded))
    assert config.digest(again) == config.digest(loaded)
    assert loaded.name == path.stem


def test_overrides_replace_nested_fields():
    new = config.override(
        TrainConfig(),
        [
            "generator.blocks=1",
            "batch_size=8",
            "data.licences=('by','by-sa')",
            "kl=1",
            "data.resident=false",
            "objective=hinge",
        ],
    )
    assert new.generator.blocks == 1 and new.batch_size == 8
    assert new.data.licences == ("by", "by-sa") and new.kl == 1.0
    assert new.data.resident is False and new.objective == "hinge"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize=4", "do you mean 'batch_size'"),
        ("generator.block=4", "do you mean 'blocks'"),
        ("batch_size=4.5", "is a int"),
        ("kl=high", "is a float"),
        ("data.resident=1", "is a bool"),
        ("data=drawn", "has fields of its own"),
        ("kl.more=1", "has no fields"),
        ("batch_size", "not of the form"),
    ],
)
def test_wrong_overrides_name_the_field(text, message):
    with pytest.raises(ConfigError, match=message):
        config.override(TrainConfig(), [text])


def test_batch_must_divide_over_devices_and_parts():
    bad = config.override(TrainConfig(), ["batch_size=30", "accumulate=2"])
    with pytest.raises(ConfigError, match="30 must be divisible by 32"):
        config.check(bad, 8)


@pytest.mark.parametrize(("share", "every"), [(0.0, 1), (1.0, 1), (0.5, 2), (1 / 3, 3)])
def test_share_of_posteriors_is_every_nth_face(share, every):
    assert config.stride(TrainConfig(posterior=share)) == every


@pytest.mark.parametrize("share", [-1.0, 0.4, 2.0, float("nan")])
def test_other_shares_are_refused(share):
    with pytest.raises(ConfigError, match="not 0 or 1/n"):
        config.check(TrainConfig(posterior=share), 1)


def test_a_run_must_have_something_to_learn():
    with pytest.raises(ConfigError, match="Nothing to learn"):
        config.check(TrainConfig(objective=(), posterior=0.0), 1)
