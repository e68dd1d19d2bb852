import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import blend
from jaxanon.ops import affine, warp
from jaxanon.types import Crops

SIZE = 16


@pytest.fixture(autouse=True)
def strict_dtypes():
    with jax.numpy_dtype_promotion("strict"):
        yield


def crops(value=0.5, dtype=jnp.float32):
    mask = jnp.zeros((1, SIZE, SIZE, 1), dtype).at[:, 4:12, 5:11].set(1)
    return Crops(
        image=jnp.full((1, SIZE, SIZE, 3), value, dtype) * (1 - mask),
        mask=mask,
        keypoints=jnp.zeros((1, 11, 2), dtype),
        visible=jnp.zeros((1, 11), dtype),
        to_crop=jnp.eye(2, 3)[None],
    )


def regions(side=32):
    """Masks of a face and of its neighbour, and the face's box."""
    own, other = np.zeros((2, 1, side, side), bool)
    own[:, 8:20, 8:18] = True
    other[:, 8:20, 19:22] = True
    return jnp.asarray(own), jnp.asarray(other), jnp.float32([[8, 8, 18, 20]])


def square_map(*square, size=SIZE):
    return jnp.float32(affine.square_to_crop(np.array(square), size=size))[None]


def test_inpaint_takes_the_face_where_masked_and_the_crop_elsewhere():
    case = crops()
    painted = blend.inpaint(jnp.full(case.image.shape, -1.0), case)
    np.testing.assert_array_equal(painted, jnp.where(case.mask == 1, -1.0, case.image))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_match_border_removes_an_even_difference_of_colour(dtype):
    case = crops(0.5, dtype)
    faces = jnp.full(case.image.shape, 0.3, dtype)
    matched = blend.match_border(faces, case)
    assert matched.dtype == dtype
    inside = np.asarray(case.mask[..., 0] == 1)
    # bfloat16 has 8 bits of precision, and sums of many terms lose some of them.
    atol = 1e-4 if dtype == jnp.float32 else 0.03
    np.testing.assert_allclose(matched[inside].astype(jnp.float32), 0.5, atol=atol)


def test_match_border_leaves_a_face_that_fits_alone():
    case = crops(0.25)
    faces = jnp.full(case.image.shape, 0.25).at[:, 7:9, 7:9].set(-0.9)
    # The eye is 1.15 deep and two radii from the border: a little of it is seen there.
    np.testing.assert_allclose(blend.match_border(faces, case), faces, atol=0.05)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_match_border_without_a_border_changes_nothing(value):
    case = crops()
    case = case._replace(mask=jnp.full(case.mask.shape, value))
    faces = jnp.full(case.image.shape, 0.3)
    np.testing.assert_allclose(blend.match_border(faces, case), faces, atol=1e-5)


def test_alpha_is_one_on_the_region_zero_on_others_and_falls_off_outward():
    own, other, box = regions()
    alpha = blend.soften(own, other, box, feather=0.25)[..., 0]
    assert (alpha[own] == 1).all()
    assert (alpha[other] == 0).all()
    row = np.asarray(alpha[0, 14, :9])
    assert (np.diff(row) >= 0).all()
    # The feather is a quarter of 12 pixels: 5.5 to 7.5 lie in it, smoothly.
    assert (row[:5] == 0).all() and (row[5:8] > 0).all() and (row[5:8] < 1).all()


def test_feather_is_at_least_one_pixel():
    own, other, box = regions()
    alpha = blend.soften(own, other, box, feather=0.0)
    assert alpha[0, 14, 7, 0] == 0.5
    assert alpha[0, 14, 6, 0] == 0


def test_paste_outside_the_feather_is_identity_and_inside_is_the_crop():
    own, other, box = regions()
    alpha = blend.soften(own, other, box, feather=0.1)
    window = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3))
    faces = jnp.full((1, SIZE, SIZE, 3), -0.5)
    arrays = (window, alpha, faces, square_map(3, 4, 23, 24))
    for paste in (blend.paste, jax.jit(blend.paste)):
        pasted = paste(*arrays)
        outside = np.asarray(alpha[..., 0] == 0)
        np.testing.assert_array_equal(pasted[outside], window[outside])
        np.testing.assert_allclose(pasted[own], -0.5, atol=1e-6)


@pytest.mark.parametrize("side", [8, 16, 64])
def test_paste_draws_the_crop_in_its_place_at_every_size(side):
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    faces = jnp.float32(np.stack([x, y, x + y], -1) / SIZE - 0.5)[None]
    drawn = blend.paste(
        jnp.zeros((1, side, side, 3)),
        jnp.ones((1, side, side, 1)),
        faces,
        square_map(0, 0, side, side),
    )
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    expected = np.stack([x, y, x + y], -1) - 0.5
    inner = slice(side // 8, side - side // 8 or None)
    # A ramp is resampled exactly, except at the border, where it ends.
    np.testing.assert_allclose(
        drawn[0, inner, inner], expected[inner, inner], atol=2e-2
    )


def test_face_reduced_by_pasting_does_not_alias():
    stripes = jnp.float32(np.arange(64) % 2 * 2 - 1)
    faces = jnp.broadcast_to(stripes[None, None, :, None], (1, 64, 64, 3))
    ones = jnp.ones((1, 16, 16, 1))
    window, to_crop = jnp.zeros((1, 16, 16, 3)), square_map(0, 0, 16, 16, size=64)
    drawn = blend.paste(window, ones, faces, to_crop)
    np.testing.assert_allclose(drawn, 0, atol=1e-6)


def test_where_the_feather_leaves_the_crop_the_frame_stays():
    own, other, box = regions()
    alpha = blend.soften(own, other, box, feather=0.5)
    window = jnp.full((1, 32, 32, 3), 0.25)
    faces = jnp.full((1, SIZE, SIZE, 3), -1.0)
    pasted = blend.paste(window, alpha, faces, square_map(7, 8, 19, 20))
    assert (pasted[0, :, :7] == 0.25).all()
    np.testing.assert_allclose(pasted[own], -1, atol=1e-6)


def test_paste_runs_in_half_precision_and_has_finite_gradients():
    own, other, box = regions()
    window = jnp.zeros((1, 32, 32, 3), jnp.bfloat16)
    faces = jnp.ones((1, SIZE, SIZE, 3), jnp.bfloat16)
    to_crop = square_map(3, 4, 23, 24)

    def total(faces, box, to_crop):
        alpha = blend.soften(own, other, box, feather=0.2).astype(jnp.bfloat16)
        return blend.paste(window, alpha, faces, to_crop).astype(jnp.float32).sum()

    gradients = jax.jit(jax.grad(total, (0, 1, 2)))(faces, box, to_crop)
    assert all(jnp.isfinite(g.astype(jnp.float32)).all() for g in gradients)
    assert (gradients[0] != 0).any()


def layers(share, base=None):
    """Layers whose donor lies in the crop as it is."""
    corners = jnp.float32([[[0.1, 0.2], [0.9, 0.1], [0.2, 0.8], [0.7, 0.9]]])
    plate = warp.fit_thin_plate(corners, corners)
    if base is None:
        base = jax.random.uniform(jax.random.key(2), (1, SIZE, SIZE, 3))
    return blend.Layers(base, jnp.full((1, SIZE, SIZE, 3), share), plate)


def test_layers_without_a_share_of_the_donor_are_pasted_as_faces_are():
    own, other, box = regions()
    alpha = blend.soften(own, other, box, feather=0.2)
    window = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3))
    donors = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    to_crop, painted = square_map(3, 4, 27, 28), layers(0.0)
    pasted = blend.paste_layers(window, alpha, painted, donors, to_crop)
    expected = blend.paste(window, alpha, painted.base, to_crop)
    np.testing.assert_allclose(pasted, expected, atol=1e-6)


def test_layers_show_the_donor_where_it_lies_and_sharper_than_the_crop():
    stripes = jnp.float32(np.arange(32) % 2 - 0.5)
    donors = jnp.broadcast_to(stripes[None, None, :, None], (1, 32, 32, 3))
    painted = layers(1.0, jnp.zeros((1, SIZE, SIZE, 3)))
    ones, window = jnp.ones((1, 32, 32, 1)), jnp.zeros((1, 32, 32, 3))
    arrays = (window, ones, painted, donors, square_map(0, 0, 32, 32))
    for paste in (blend.paste_layers, jax.jit(blend.paste_layers)):
        # The spline is fitted to about 1e-4 of a side, 0.003 pixels of 32.
        np.testing.assert_allclose(paste(*arrays), donors, atol=0.05)


def test_layers_have_finite_gradients_and_keep_the_window_outside():
    own, other, box = regions()
    alpha = blend.soften(own, other, box, feather=0.2)
    window = jnp.full((1, 32, 32, 3), 0.25)
    donors = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    to_crop = square_map(3, 4, 27, 28)

    def paste(painted, donors):
        return blend.paste_layers(window, alpha, painted, donors, to_crop)

    outside = np.asarray(alpha[..., 0] == 0)
    assert (paste(layers(0.5), donors)[outside] == 0.25).all()
    total = jax.jit(jax.grad(lambda *x: jnp.square(paste(*x)).sum(), (0, 1)))
    gradients = jax.tree.leaves(total(layers(0.5), donors))
    assert all(jnp.isfinite(g).all() and (g != 0).any() for g in gradients)
