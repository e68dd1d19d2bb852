import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import align
from jaxanon.ops import affine

SIZE = 16


@pytest.fixture(autouse=True)
def strict_dtypes():
    with jax.numpy_dtype_promotion("strict"):
        yield


def inputs(*, side=32, square=(4, 4, 28, 28), degrees=0.0, dtype=jnp.float32):
    """A smooth window with a hole, three keypoints and the map to the crop."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    window = np.stack([x, y, x * y], -1)[None]
    keep = np.ones((1, side, side, 1))
    keep[:, 10:22, 12:20] = 0
    keypoints = np.full((1, 11, 2), np.nan)
    keypoints[0, :3] = [[16, 16], [10, 16], [500, 16]]
    to_crop = affine.square_to_crop(np.array(square), size=SIZE, degrees=degrees)
    return (
        jnp.asarray(window * keep, dtype),
        jnp.asarray(keep, dtype),
        jnp.asarray(keypoints, jnp.float32),
        jnp.asarray(to_crop, jnp.float32)[None],
    )


def run(*arrays):
    return align.align(*arrays, size=SIZE)


@pytest.mark.parametrize("degrees", [0.0, 35.0])
@pytest.mark.parametrize("side, square", [(32, (4, 4, 28, 28)), (64, (2, 0, 62, 60))])
def test_crop_is_the_window_at_the_mapped_places(side, square, degrees):
    arrays = inputs(side=side, square=square, degrees=degrees)
    crops = jax.jit(run)(*arrays)
    centres = np.stack(np.meshgrid(*[np.arange(SIZE) + 0.5] * 2), -1).reshape(-1, 2)
    back = affine.apply(affine.invert(arrays[3][0]), jnp.float32(centres))
    x, y = ((np.asarray(back) - 0.5) / side - 0.5).T
    expected = np.stack([x, y, x * y], -1).reshape(SIZE, SIZE, 3)
    kept = np.asarray(crops.mask[0, ..., 0] == 0)
    kept &= ((back > 1) & (back < side - 1)).all(-1).reshape(SIZE, SIZE)
    # Linear in x and in y: every average of neighbours is exact.
    np.testing.assert_allclose(crops.image[0][kept], expected[kept], atol=1e-2)


def test_mask_covers_every_pixel_that_the_hole_touches_and_image_is_zero_there():
    crops = run(*inputs())
    rows = np.flatnonzero(np.asarray(crops.mask[0, ..., 0]).any(1))
    columns = np.flatnonzero(np.asarray(crops.mask[0, ..., 0]).any(0))
    # The hole is 6 to 18 and 8 to 16 of the 24-pixel square, 2/3 of a pixel each.
    assert rows[0] <= 4 and rows[-1] >= 11 and len(rows) <= 10
    assert columns[0] <= 5 and columns[-1] >= 10 and len(columns) <= 8
    assert (np.asarray(crops.image)[np.asarray(crops.mask)[..., 0] == 1] == 0).all()


def test_content_of_the_hole_does_not_matter():
    window, keep, *rest = inputs(degrees=20.0)
    noise = jnp.where(keep == 0, 7.0, window)
    for one, other in zip(
        run(window, keep, *rest), run(noise, keep, *rest), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_keypoints_come_in_crop_sides_and_only_where_seen_inside():
    crops = run(*inputs())
    np.testing.assert_array_equal(crops.visible[0], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(crops.keypoints[0, :2], [[0.5, 0.5], [0.25, 0.5]])
    assert (crops.keypoints[0, 2:] == 0).all()


def test_gradient_by_unseen_keypoints_and_by_the_hole_is_zero():
    window, keep, keypoints, to_crop = inputs()

    def total(window, keypoints):
        crops = run(window, keep, keypoints, to_crop)
        return crops.image.sum() + crops.keypoints.sum()

    by_window, by_keypoints = jax.jit(jax.grad(total, (0, 1)))(window, keypoints)
    assert (by_window[keep[..., 0] == 0] == 0).all()
    assert (by_window != 0).any()
    np.testing.assert_allclose(by_keypoints[0, 0], 1 / 24, rtol=1e-5)
    assert (by_keypoints[0, 2:] == 0).all()


def test_half_precision_keeps_mask_and_comes_close():
    full, half = run(*inputs()), jax.jit(run)(*inputs(dtype=jnp.bfloat16))
    assert half.image.dtype == half.mask.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half.mask.astype(jnp.float32), full.mask)
    # bfloat16 has 8 bits of precision.
    np.testing.assert_allclose(half.image.astype(jnp.float32), full.image, atol=0.01)


def test_condition_holds_nothing_of_the_masked_part():
    crops = run(*inputs())
    dirty = crops._replace(image=crops.image + 5.0)
    condition = align.condition(dirty)
    assert (condition.image * condition.mask == 0).all()


def test_window_that_is_not_a_window_raises():
    window, keep, keypoints, to_crop = inputs()
    with pytest.raises(Exception, match="keep|window"):
        run(window[0], keep, keypoints, to_crop)
