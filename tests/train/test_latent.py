from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jaxanon.errors import ConfigError
from jaxanon.models import GeneratorConfig
from train import latent
from train.config import TrainConfig
from train.latent import fit_latent, fold_latent


def test_fit_adds_spread_of_means_and_mean_variance():
    means = np.array([[1.0, 0.0], [3.0, 2.0]])
    variances = np.array([[0.5, 1.0], [1.5, 3.0]])
    mean, covariance = fit_latent(means, variances)
    np.testing.assert_allclose(mean, [2.0, 1.0])
    # Means are off by (1, 1) and (-1, -1); variances are 1 and 2 on average.
    np.testing.assert_allclose(covariance, [[2.0, 1.0], [1.0, 3.0]])


def style(kernel, bias):
    return {"style_0": {"Dense_0": {"kernel": kernel, "bias": bias}}, "seed": 7}


def test_fold_by_hand():
    # The root of [[5 4] [4 5]] is [[2 1] [1 2]]; the third input isn't of z.
    kernel, bias = np.array([[1.0, 0.0], [3.0, 1.0], [9.0, 9.0]]), np.array([0.5, 0.0])
    params = style(kernel, bias)
    folded = fold_latent(params, np.array([1.0, -1.0]), [[5.0, 4.0], [4.0, 5.0]], 2)
    dense = folded["style_0"]["Dense_0"]
    np.testing.assert_allclose(
        dense["kernel"], [[5.0, 1.0], [7.0, 2.0], [9.0, 9.0]], rtol=1e-6
    )
    np.testing.assert_allclose(dense["bias"], [0.5 + 1 - 3, -1.0], rtol=1e-6)
    assert folded["seed"] == 7 and dense["kernel"].dtype == np.float32
    assert params["style_0"]["Dense_0"]["kernel"] is kernel and kernel[0, 0] == 1


def test_folded_layer_makes_of_noise_what_the_old_one_made_of_latents():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(7, 5)), rng.normal(size=5)
    mean, half = rng.normal(size=4), rng.normal(size=(4, 4))
    covariance = half @ half.T
    noise, rest = rng.normal(size=(100_000, 4)), np.zeros((100_000, 3))
    dense = fold_latent(style(kernel, bias), mean, covariance, 4)["style_0"]["Dense_0"]
    outputs = np.concatenate([noise, rest], 1) @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(outputs.mean(0), mean @ kernel[:4] + bias, atol=0.1)
    wanted = kernel[:4].T @ covariance @ kernel[:4]
    assert np.abs(np.cov(outputs.T) - wanted).max() < 0.03 * np.abs(wanted).max()


def test_spread_widens_what_is_drawn_around_the_same_middle(monkeypatch):
    encoded = np.array([[1.0, 2.0], [3.0, 2.0]]), np.ones((2, 2))
    monkeypatch.setattr(latent, "encode_faces", lambda *_: encoded)
    state: Any = SimpleNamespace(generator={"encoder": {}})
    params = style(np.array([[1.0, 0.0], [3.0, 1.0], [9.0, 9.0]]), np.zeros(2))
    dense = []
    for spread in (1.0, 1.5):
        generator = GeneratorConfig(latent_dim=2)
        config = TrainConfig(generator=generator, latent_spread=spread)
        folded, _ = latent.fit_and_fold(config, state, params, state)
        dense.append(folded["style_0"]["Dense_0"])
    np.testing.assert_allclose(1.5 * dense[0]["kernel"][:2], dense[1]["kernel"][:2])
    np.testing.assert_array_equal(dense[0]["kernel"][2:], dense[1]["kernel"][2:])
    np.testing.assert_array_equal(dense[0]["bias"], dense[1]["bias"])


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(3), "do not fit"),
        (np.diag([1.0, -1.0]), "is none"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "is none"),
        (np.diag([1.0, np.nan]), "not finite"),
    ],
)
def test_what_is_no_covariance_is_refused(covariance, message):
    params = style(np.ones((2, 2)), np.ones(2))
    with pytest.raises(ConfigError, match=message):
        fold_latent(params, np.zeros(2), covariance, 2)


def test_networks_without_style_are_refused():
    with pytest.raises(ConfigError, match="style layer"):
        fold_latent({"seed": 1}, np.zeros(2), np.eye(2), 2)
