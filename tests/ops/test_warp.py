import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon.ops import affine, warp

MAP = jnp.float32([[[0.8, -0.3, 0.1], [0.3, 1.1, -0.2]]])
"""An affine map of a batch of one."""


def points(n=7, *, batch=2, seed=0):
    """Points of the unit square, no three of them in a line."""
    return jnp.float32(np.random.default_rng(seed).uniform(size=(batch, n, 2)))


fit_thin_plate = jax.jit(warp.fit_thin_plate, static_argnames="stiffness")
apply_thin_plate = jax.jit(warp.apply_thin_plate)
fit_similarity = jax.jit(warp.fit_similarity)


def bend(source, target, at):
    return warp.apply_thin_plate(warp.fit_thin_plate(source, target), at)


def test_thin_plate_takes_its_points_where_they_should_go():
    source, target = points(), points(seed=1)
    plate = fit_thin_plate(source, target, stiffness=0.0)
    # The system is solved with 1e-6 on its diagonal, in float32.
    np.testing.assert_allclose(apply_thin_plate(plate, source), target, atol=1e-3)


@pytest.mark.parametrize("stiffness", [0.0, 2e-3, 1.0])
def test_thin_plate_makes_an_affine_map_of_affine_points(stiffness):
    source, elsewhere = points(batch=1), 3 * points(20, batch=1, seed=2) - 1
    target = affine.apply(MAP, source)
    plate = fit_thin_plate(source, target, stiffness=stiffness)
    # Solved with 1e-6 on the diagonal, in float32.
    np.testing.assert_allclose(plate.bends, 0, atol=1e-3)
    np.testing.assert_allclose(
        apply_thin_plate(plate, elsewhere),
        affine.apply(MAP, elsewhere),
        atol=2e-3,
    )


def test_a_stiffer_plate_bends_less():
    source, target = points(), points(seed=1)
    bends = [
        np.abs(fit_thin_plate(source, target, stiffness=s).bends).mean()
        for s in (0.0, 0.1, 10.0)
    ]
    assert bends[0] > bends[1] > bends[2]


def test_thin_plate_follows_the_unit_of_its_target():
    source, target, at = points(), points(seed=1), points(5, seed=2)
    np.testing.assert_allclose(
        bend(source, 64 * target, at), 64 * bend(source, target, at), rtol=1e-3
    )


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (30, 0.4), (170, 3.0)])
def test_similarity_is_found_again(degrees, scale):
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    expected = np.array([[turn.real, -turn.imag, 5], [turn.imag, turn.real, -2]])
    source, weight = points(batch=1), points(7, batch=1, seed=3)[..., 0]
    target = affine.apply(jnp.float32(expected)[None], source)
    (found,) = fit_similarity(source, target, weight)
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(scale, 1))


def test_similarity_listens_to_the_points_that_weigh():
    source, target = points(batch=1), points(batch=1, seed=1)
    weight = jnp.float32([[0, 3, 0, 0, 3, 0, 0]])
    moved = affine.apply(fit_similarity(source, target, weight), source)
    # Two points determine a similarity.
    np.testing.assert_allclose(moved[:, [1, 4]], target[:, [1, 4]], atol=1e-5)


def test_similarity_is_the_least_of_squares():
    source, target, weight = points(), points(seed=1), points(seed=3)[..., 0]
    best = fit_similarity(source, target, weight)

    def error(transform):
        squares = jnp.square(affine.apply(transform, source) - target).sum(-1)
        return (weight * squares).sum()

    slopes = jax.grad(error)(best)
    # Along the four directions that keep it a similarity nothing is to be gained.
    along = slopes[:, 0, 0] + slopes[:, 1, 1], slopes[:, 1, 0] - slopes[:, 0, 1]
    np.testing.assert_allclose(jnp.stack([*along]), 0, atol=1e-5)
    np.testing.assert_allclose(slopes[..., 2], 0, atol=1e-5)


def similarity(source, target, at):
    return affine.apply(warp.fit_similarity(source, target, at[..., 0]), source)


@pytest.mark.parametrize("function", [bend, similarity])
def test_eager_and_jit_and_vmap_agree(function):
    arguments = [jnp.stack([points(seed=i), points(seed=i + 3)]) for i in range(3)]
    eager = jnp.stack([function(*(x[i] for x in arguments)) for i in range(2)])
    np.testing.assert_allclose(
        jax.vmap(function)(*arguments), eager, rtol=1e-3, atol=1e-4
    )
    first = [x[0] for x in arguments]
    # Products of float32, added up in another order.
    np.testing.assert_allclose(
        jax.jit(function)(*first), eager[0], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("function", [bend, similarity])
def test_gradients_are_finite_where_points_coincide(function):
    source = points()
    total = jax.jit(jax.grad(lambda *x: function(*x).sum(), (0, 1, 2)))
    gradients = total(source, source, source)
    assert all(np.isfinite(g).all() for g in gradients)
    assert (gradients[1] != 0).any()


@pytest.mark.parametrize(
    ("source", "target"), [((2, 5, 2), (2, 6, 2)), ((2, 5, 3), (2, 5, 3))]
)
def test_points_of_wrong_shapes_raise(source, target):
    with pytest.raises(TypeError):
        warp.fit_thin_plate(jnp.ones(source), jnp.ones(target))
    with pytest.raises(TypeError):
        warp.fit_similarity(jnp.ones(source), jnp.ones(target), jnp.ones(source[:2]))
