import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.errors import ConfigError
from train import efficientnet


def test_maps_have_the_strides_of_the_network():
    shapes = jax.eval_shape(efficientnet.features, jnp.zeros((1, 64, 64, 3)))
    assert [x.shape for x in shapes] == [
        (1, 32, 32, 16),
        (1, 16, 16, 24),
        (1, 8, 8, 40),
        (1, 4, 4, 112),
        (1, 2, 2, 320),
    ]
    shapes = jax.eval_shape(efficientnet.mixed, jnp.zeros((1, 64, 64, 3)))
    assert [x.shape[1:] for x in shapes] == [
        (64 // stride, 64 // stride, depth)
        for stride, depth in zip((2, 4, 8, 16, 32), efficientnet.MIXED, strict=True)
    ]


def test_folded_normalisation_is_the_normalisation_after_the_convolution():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 3, 1, 1)).astype(np.float32)
    norm = {
        name: rng.uniform(0.5, 2, 2).astype(np.float32)
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    values = {"c.weight": kernel} | {f"n.{name}": x for name, x in norm.items()}
    layer = efficientnet._fold(values, "c", "n")
    x = rng.normal(size=3).astype(np.float32)
    plain = kernel[:, :, 0, 0] @ x - norm["running_mean"]
    plain = plain / np.sqrt(norm["running_var"] + 1e-3)
    wanted = plain * norm["weight"] + norm["bias"]
    np.testing.assert_allclose(
        x @ layer.kernel[0, 0] + layer.bias, wanted, rtol=1e-4, atol=1e-5
    )


def test_missing_weights_are_named(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="no_such_package"):
        efficientnet._load.__wrapped__()
