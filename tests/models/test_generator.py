import jax
import jax.numpy as jnp
import numpy as np

from jaxanon import models
from jaxanon.models.generators import unet as generator


def test_prepared_parameters_paint_the_same_face(monkeypatch):
    config = models.GeneratorConfig(
        resolution=16, widths=(4, 8), blocks=1, latent_dim=3, style_width=4
    )
    shapes = jax.eval_shape(
        lambda: models.init_generator(jax.random.key(0), config)
    )  # Drawn by hand: initialising by layers takes long.
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), jnp.float32), shapes
    )
    monkeypatch.setattr(generator, "MANY_CHANNELS", 8)
    prepared = models.prepare("unet", params)
    assert prepared["down_1_0"]["Conv_0"].keys() == {"transformed", "bias"}
    assert "Conv_0" in prepared["down_0_0"]["Conv_0"]
    condition = models.empty_condition(2, 16)
    condition = condition._replace(
        image=jnp.asarray(rng.normal(size=(2, 16, 16, 3)), jnp.float32)
    )
    z = jnp.ones((2, 3))
    painted = models.generate(config, params, condition, z)
    assert float(jnp.abs(painted).max()) > 0.01
    np.testing.assert_allclose(
        models.generate(config, prepared, condition, z), painted, atol=1e-4, rtol=1e-4
    )
