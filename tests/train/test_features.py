import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import objectives
from jaxanon.detect import centerface_jax
from train import features


@pytest.mark.parametrize(
    ("side", "stride", "before"), [(3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 2, 1)]
)
def test_depthwise_is_the_grouped_convolution_and_its_gradient(side, stride, before):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(side, side, 2)).astype(np.float32)
    x = jnp.asarray(rng.normal(size=(1, 6, 4, 2)), jnp.float32)

    def plain(x):
        return jax.lax.conv_general_dilated(
            x,
            jnp.asarray(kernel)[:, :, None],
            (stride, stride),
            [(before, side - stride - before)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )

    ours, pull = jax.vjp(features.depthwise(kernel, stride, before), x)
    theirs, pull_theirs = jax.vjp(plain, x)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    slope = jnp.asarray(rng.normal(size=ours.shape), jnp.float32)
    np.testing.assert_allclose(pull(slope)[0], pull_theirs(slope)[0], atol=1e-5)


def test_maps_are_the_detectors_own():
    images = np.random.default_rng(1).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    got = jax.jit(features.centerface)(images)
    nodes, params = centerface_jax.load()
    kept = nodes[: [node.outputs[0] for node in nodes].index("451") + 1]

    @jax.jit
    def run(x):
        values = dict(params) | {nodes[0].inputs[0]: x}
        for node in kept:
            inputs = [values[name] for name in node.inputs]
            operation = centerface_jax._OPERATIONS[node.operation]
            values[node.outputs[0]] = operation(node.attributes, *inputs)
        return [values[name] for name in features.TAPS]

    wanted = run((images.transpose(0, 3, 1, 2) + 1) * 127.5)
    assert [x.shape[1] for x in got] == [16, 8, 8, 4, 2]
    for ours, theirs, deviation in zip(
        got, wanted, features.TAPS.values(), strict=True
    ):
        theirs = np.asarray(theirs).transpose(0, 2, 3, 1) / deviation
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_perceptual_finds_them_by_name():
    objectives.make("perceptual", features="train.features.centerface")
