"""Finding objectives by name, and refusing what cannot be one."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import objectives
from jaxanon.errors import ConfigError

CRITIC = objectives.Critic(lambda images: images.mean((1, 2, 3)))
SAMPLES = objectives.Samples(
    real=jnp.full((2, 4, 4, 3), 0.5),
    fake=jnp.full((2, 4, 4, 3), -0.5),
    mask=jnp.ones((2, 4, 4, 1)),
)


def value(objective, player="discriminator", step=0):
    return getattr(objective, player)(CRITIC, SAMPLES, jax.random.key(0), step)[0]


def test_names_are_objectives_alone():
    names = objectives.names()
    assert list(names) == sorted(names)
    assert not {"base", "penalties", "registry"} & set(names)


def test_settings_reach_the_objective():
    np.testing.assert_allclose(value(objectives.make("epsilon", weight=2.0)), [0.5] * 2)


def test_a_list_is_the_weighted_sum_of_its_terms():
    made = objectives.make(
        [
            "hinge",
            ("l1", 10.0),
            ("epsilon", 2.0, {"weight": 1.0, "every": 4, "after": 0}),
        ]
    )
    np.testing.assert_allclose(value(made), [1.0 + 4 * 2 * 0.25] * 2)
    np.testing.assert_allclose(value(made, step=1), [1.0] * 2)
    np.testing.assert_allclose(value(made, "generator"), [0.5 + 10.0] * 2)


def test_a_term_may_have_settings_and_no_weight():
    made = objectives.make((("epsilon", {"weight": 4.0}), ["epsilon", 0]))
    np.testing.assert_allclose(value(made), [1.0] * 2)


def test_a_dotted_name_works_from_outside_the_tree(monkeypatch):
    outside = types.ModuleType("outside_tree")
    outside.make = lambda *, weight=1.0: objectives.make("epsilon", weight=weight)
    package = types.ModuleType("outside_package")
    monkeypatch.setitem(sys.modules, "outside_package", package)
    monkeypatch.setitem(sys.modules, "outside_package.idea", outside)
    made = objectives.make("outside_package.idea", weight=4.0)
    np.testing.assert_allclose(value(made), [1.0] * 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hinges", "Did you mean 'hinge'.*non_saturating"),
        ("base", "Unknown objective"),
        ("no.such.module", "No module 'no.such.module'"),
        ("os.path", "no make"),
        ("", "Unknown"),
        (".hinge", "No module"),
        ([], "list of terms"),
        (("hinge", 1.0), "Term 1.0"),
        ([("hinge", "1")], "Term"),
        ([("hinge", float("nan"))], "finite"),
        ([("r1", {"gama": 1.0})], "gama.*gamma: float"),
        ([("r1", {"every": 0})], "every"),
        ([("r1", {"every": True})], "every"),
        ([("r1", {"after": -1})], "after"),
    ],
)
def test_a_wrong_spec_is_a_config_error(spec, message):
    with pytest.raises(ConfigError, match=message):
        objectives.make(spec)


@pytest.mark.parametrize(
    "hyper", [{"gama": 1.0}, {"gamma": "1"}, {"gamma": True}, {"gamma": float("inf")}]
)
def test_wrong_settings_are_config_errors(hyper):
    with pytest.raises(ConfigError, match="r1"):
        objectives.make("r1", **hyper)


def test_a_value_that_the_objective_refuses_is_a_config_error():
    with pytest.raises(ConfigError, match="margin"):
        objectives.make("diversity", margin=0.0)
    with pytest.raises(ConfigError, match="No feature function"):
        objectives.make("projected", features="nowhere")


def test_settings_beside_a_list_are_refused():
    with pytest.raises(ConfigError, match="inside"):
        objectives.make(["r1"], gamma=1.0)
