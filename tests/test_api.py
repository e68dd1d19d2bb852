import inspect

import pytest

import jaxanon
from jaxanon import models, pipeline


@pytest.mark.parametrize("name", jaxanon.__all__)
def test_every_public_name_can_be_had_and_is_described(name):
    value = getattr(jaxanon, name)
    assert name == "__version__" or not callable(value) or value.__doc__


@pytest.mark.parametrize("room", [models, pipeline])
def test_random_keys_come_first_or_by_name(room):
    for name, function in inspect.getmembers(room, inspect.isfunction):
        parameters = inspect.signature(function).parameters
        assert "rng" not in parameters, name
        if "key" in parameters:
            by_name = parameters["key"].kind is inspect.Parameter.KEYWORD_ONLY
            assert by_name or list(parameters)[0] == "key", name
