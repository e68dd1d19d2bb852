"""The published generator against a plain NumPy one and the published facts."""

import math
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.models.generators import deepprivacy_v1 as deepprivacy
from jaxanon.models.generators.deepprivacy_v1 import DeepPrivacyConfig
from jaxanon.types import Condition

SHARED = Path(
    os.environ.get("JAXANON_SHARED", Path(__file__).parents[2].parent / "shared")
)
CONFIG = DeepPrivacyConfig(resolution=16, width=16, latent_channels=3)


@pytest.fixture(scope="module")
def example():
    rng = np.random.default_rng(0)
    params = jax.eval_shape(lambda: deepprivacy.init(jax.random.key(0), CONFIG))
    params = jax.tree.map(lambda a: rng.standard_normal(a.shape).astype("f4"), params)
    condition = Condition(
        image=rng.uniform(-1, 1, (2, 16, 16, 3)).astype("f4"),
        mask=np.zeros((2, 16, 16, 1), "f4"),
        keypoints=rng.uniform(-0.1, 1.1, (2, 11, 2)).astype("f4"),
        visible=rng.integers(0, 2, (2, 11)).astype("f4"),
    )
    z = rng.standard_normal((2, 4, 4, 3)).astype("f4")
    return params, jax.tree.map(jnp.asarray, condition), jnp.asarray(z)


def numpy_conv(x, conv):
    """Pads and multiplies one shift after another."""
    kernel, bias = np.float64(conv["kernel"]), np.float64(conv["bias"])
    side = kernel.shape[0]
    height, width = x.shape[1:3]
    gain = math.sqrt(2 / math.prod(kernel.shape[:3]))
    edge = side // 2
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    windows = [
        x[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(side)
        for j in range(side)
    ]
    return sum(windows) * gain + bias


def numpy_layer(x, layer):
    x = numpy_conv(x, layer["conv"])
    x = np.where(x < 0, 0.2 * x, x)
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-8)


def numpy_maps(condition, size):
    maps = np.zeros((2, size, size, 7))
    for b, k in np.ndindex(2, 7):
        x, y = np.asarray(condition.keypoints[b, k])
        if condition.visible[b, k] and 0 <= x < 1 and 0 <= y < 1:
            maps[b, int(y * size), int(x * size), k] = 1
    return maps


def numpy_generate(params, condition, z):
    x = numpy_layer(np.float64(condition.image), params["from_rgb"])
    skips = {}
    for size in (16, 8, 4):
        x = numpy_layer(x, params[f"down_{size}_0"])
        x = skips[size] = numpy_layer(x, params[f"down_{size}_1"])
        if size > 4:
            x = x.reshape(2, size // 2, 2, size // 2, 2, -1).mean((2, 4))
    for size in (4, 8, 16):
        extra = [numpy_maps(condition, size)]
        extra = [skips[size], *extra] if size > 4 else [*extra, np.float64(z)]
        x = x.repeat(size // x.shape[1], 1).repeat(size // x.shape[2], 2)
        x = numpy_layer(np.concatenate([x, *extra], -1), params[f"merge_{size}"])
        x = numpy_layer(x, params[f"up_{size}_0"])
        x = numpy_layer(x, params[f"up_{size}_1"])
    return numpy_conv(x, params["to_rgb"])


def test_generate_equals_numpy(example):
    params, condition, z = example
    faces = jax.jit(deepprivacy.generate, static_argnums=0)(CONFIG, *example)
    assert faces.shape == (2, 16, 16, 3)
    # float32 against float64 over 20 layers.
    np.testing.assert_allclose(faces, numpy_generate(params, condition, z), atol=1e-4)


def test_generate_in_bfloat16_is_close(example):
    config = DeepPrivacyConfig(
        resolution=16, width=16, latent_channels=3, dtype="bfloat16"
    )
    faces = jax.jit(deepprivacy.generate, static_argnums=0)(config, *example)
    assert faces.dtype == jnp.float32
    # bfloat16 has 8 bits; the faces of this random network have a deviation of 1.4.
    error = np.sqrt(np.mean((faces - numpy_generate(*example)) ** 2))
    assert error < 0.1


def test_published_network_has_its_published_size():
    config = DeepPrivacyConfig()
    shapes = jax.eval_shape(lambda: deepprivacy.init(jax.random.key(0), config))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == 46_924_931
    assert deepprivacy.latent_shape(config) == (4, 4, 32)


@pytest.mark.parametrize("side", [2, 12, 0, -8])
def test_resolution_must_be_a_power_of_two(side):
    with pytest.raises(ValueError, match="power of two"):
        deepprivacy.resolutions(DeepPrivacyConfig(resolution=side))


def test_one_hot_maps_leave_out_what_is_unseen_or_outside():
    keypoints = jnp.array(
        [[[0.0, 0.5], [0.99, 0.0], [1.0, 0.5], [-0.01, 0], [0.5, 0.5]]]
    )
    maps = deepprivacy.one_hot_maps(keypoints, jnp.array([[1.0, 1, 1, 1, 0]]), size=4)
    assert maps.sum((1, 2)).tolist() == [[1, 1, 0, 0, 0]]
    assert maps[0, 2, 0, 0] == maps[0, 0, 3, 1] == 1


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64, 128])
def test_one_hot_maps_equal_the_published_ones(size):
    path = SHARED / "parity" / "pose_onehot.npz"
    if not path.exists():
        pytest.skip(f"needs {path.name}")
    published = np.load(path)
    keypoints = jnp.asarray(published["kp"].reshape(-1, 7, 2))
    maps = deepprivacy.one_hot_maps(keypoints, jnp.ones(keypoints.shape[:2]), size=size)
    np.testing.assert_array_equal(maps.transpose(0, 3, 1, 2), published[f"r{size}"])


def test_prepared_parameters_paint_the_same_face(example, monkeypatch):
    params, condition, z = example
    params = jax.tree.map(jnp.asarray, params)
    monkeypatch.setattr(deepprivacy, "MANY_CHANNELS", 16)
    monkeypatch.setattr(deepprivacy, "FINE_ENOUGH", 8)
    prepared = deepprivacy.prepare(params)
    changed = {name for name in params if prepared[name] is not params[name]}
    assert {"down_8_0", "up_8_1"} <= changed
    assert not {"from_rgb", "merge_8", "to_rgb", "down_4_0"} & changed
    np.testing.assert_allclose(
        deepprivacy.generate(CONFIG, prepared, condition, z),
        deepprivacy.generate(CONFIG, params, condition, z),
        atol=1e-4,
    )
