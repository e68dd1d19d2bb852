import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import align, blend, models, pose
from jaxanon.models.generators import donor
from jaxanon.ops import sample, warp
from jaxanon.types import Condition, Crops, Donor
from train import drawn

CONFIG = models.DonorConfig(resolution=16, widths=(8, 8), blocks=1, style_width=8)
SIZE = CONFIG.resolution
INNER = donor.INNER


@pytest.fixture(scope="module")
def params(tiny_painter):
    return jax.tree.map(jnp.asarray, tiny_painter.params)


paint = jax.jit(donor.paint, static_argnums=0)
ask = jax.jit(donor.ask)
draw_inner = jax.jit(donor.draw_inner, static_argnums=1)


def crops(count=2, size=SIZE):
    """Drawn faces whose boxes are to be generated; all keypoints are seen."""
    faces = drawn.draw_set(count, size).faces
    grid = np.asarray(sample.grid(size)) / size
    boxes = faces.boxes[:, None, None]
    inside = (grid > boxes[..., :2]).all(-1) & (grid < boxes[..., 2:]).all(-1)
    return Crops(
        image=jnp.float32(faces.images) / 127.5 - 1,
        mask=jnp.float32(inside)[..., None],
        keypoints=jnp.asarray(faces.keypoints),
        visible=jnp.ones((count, 11)),
        to_crop=jnp.tile(jnp.eye(2, 3), (count, 1, 1)),
    )


def donors(count=2, size=32, seed=7):
    faces = drawn.draw_set(count, size, seed=seed).faces
    return Donor(jnp.float32(faces.images) / 127.5 - 1, jnp.asarray(faces.keypoints))


def usual_keypoints(count=1):
    points = jnp.zeros((count, 11, 2))
    return points.at[:, INNER].set(jnp.float32(pose.USUAL))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_painting_has_the_shapes_that_it_says(params, dtype):
    config = dataclasses.replace(CONFIG, dtype=dtype)
    case, lent = align.condition(crops(3)), donors(3, size=40)
    painting = paint(config, params, case, lent)
    shapes = [painting.face, painting.base, painting.share]
    assert {x.shape for x in shapes} == {(3, SIZE, SIZE, 3)}
    assert painting.alpha.shape == painting.inner.shape == (3, SIZE, SIZE, 1)
    assert {x.dtype for x in jax.tree.leaves(painting)} == {jnp.dtype("float32")}
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(painting))
    assert (painting.alpha <= painting.inner).all()


def test_eager_and_jit_and_vmap_agree(params):
    case, lent = align.condition(crops(2)), donors(2)

    def generate(condition, lent):
        return models.generate(CONFIG, params, condition, lent)

    eager = generate(case, lent)
    # Sums in another order, through a network of some layers.
    close = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(paint(CONFIG, params, case, lent).face, eager, **close)
    pairs = jax.tree.map(lambda x: x[:, None], (case, lent))
    mapped = jax.jit(jax.vmap(generate))(*pairs)
    np.testing.assert_allclose(mapped[:, 0], eager, **close)


def test_faces_of_a_batch_are_their_own(params):
    case, lent = align.condition(crops(2)), donors(2)
    face = paint(CONFIG, params, case, lent).face
    other = jax.tree.map(lambda x: x[::-1], (case, lent))
    swapped = paint(CONFIG, params, *other).face
    np.testing.assert_allclose(swapped[::-1], face, atol=1e-4)


def test_parameters_and_keypoints_and_donors_have_finite_gradients(params):
    case = align.condition(crops(2))._replace(visible=jnp.ones((2, 11)).at[1].set(0))

    def total(params, places, lent):
        changed = case._replace(keypoints=places)
        return jnp.square(donor.generate(CONFIG, params, changed, lent)).sum()

    gradients = jax.jit(jax.grad(total, (0, 1, 2)))(params, case.keypoints, donors(2))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    assert all((g != 0).any() for g in jax.tree.leaves(gradients))


def test_no_hidden_pixel_has_a_part_in_the_face(params):
    case, lent = crops(2), donors(2)

    def painted(image):
        seen = case._replace(image=image)
        painting = donor.paint(CONFIG, params, align.condition(seen), lent)
        face = blend.match_border(painting.face, seen)
        parts = (face * case.mask, painting.base, painting.share, painting.alpha)
        return sum(jnp.square(part).sum() for part in parts)

    gradient = jax.jit(jax.grad(painted))(case.image)
    hidden = np.broadcast_to(case.mask > 0, gradient.shape)
    assert hidden.mean() > 0.1
    assert (gradient[hidden] == 0).all()
    assert (gradient[~hidden] != 0).mean() > 0.5


def test_an_untrained_painter_shows_the_donor():
    # Asked for its own keypoints, a donor of the crop's resolution is not bent.
    lent = donors(2, size=SIZE)
    case = align.condition(crops(2))._replace(keypoints=lent.keypoints)
    params = jax.jit(lambda key: donor.init(key, CONFIG))(jax.random.key(0))
    painting = paint(CONFIG, params, case, lent)
    core = np.asarray(painting.inner[..., 0] > 0.9)
    assert core.mean() > 0.05
    assert np.mean(painting.alpha[core]) > 0.75
    shown = np.asarray(painting.face[core]), np.asarray(lent.image[core])
    assert np.corrcoef(shown[0].ravel(), shown[1].ravel())[0, 1] > 0.9
    # Nothing of it is far from the face.
    far = np.asarray(painting.inner[..., 0] < 0.01)
    assert far.mean() > 0.2 and np.abs(painting.share[far]).max() < 0.02


def test_layers_add_up_to_the_face(params):
    case, lent = align.condition(crops(2)), donors(2, size=SIZE)
    painting = paint(CONFIG, params, case, lent)
    points = sample.grid(SIZE).reshape(1, -1, 2) / SIZE
    places = warp.apply_thin_plate(painting.plate, points) * SIZE
    read = jax.vmap(sample.bilinear)(lent.image, places)
    read = read.reshape(2, SIZE, SIZE, 3)
    np.testing.assert_allclose(
        painting.base + painting.share * read, painting.face, atol=1e-4
    )


def empty(mask, keypoints=None, visible=None):
    case = models.empty_condition(1, mask.shape[1])
    return Condition(
        case.image,
        mask,
        case.keypoints if keypoints is None else keypoints,
        case.visible if visible is None else visible,
    )


def test_keypoints_that_are_seen_are_asked_for_as_they_are():
    case = align.condition(crops(2))
    asked = ask(case, donors(2))
    np.testing.assert_array_equal(asked, case.keypoints[:, INNER])


def test_with_no_keypoint_a_face_goes_to_its_usual_place():
    mask = jnp.zeros((1, 64, 64, 1)).at[:, 16:42, 20:46].set(1)
    lent = Donor(jnp.zeros((1, 16, 16, 3)), usual_keypoints())
    asked = ask(empty(mask), lent)
    # The mask is 26 wide; it is 1.3 times the box, which is 20 wide around (33, 29).
    expected = (np.array([33, 29]) + 20 * (pose.USUAL - 0.5)) / 64
    np.testing.assert_allclose(asked[0], expected, atol=1e-3)


def test_keypoints_that_are_missing_follow_the_seen_ones():
    mask = jnp.zeros((1, 64, 64, 1)).at[:, 16:42, 20:46].set(1)
    lent = Donor(jnp.zeros((1, 16, 16, 3)), usual_keypoints())
    usual = ask(empty(mask), lent)
    shift = jnp.float32([0.1, -0.05])
    eyes = [pose.LEFT_EYE, pose.RIGHT_EYE]
    keypoints = jnp.zeros((1, 11, 2)).at[:, INNER].set(usual + shift)
    visible = jnp.zeros((1, 11)).at[:, jnp.array(eyes)].set(1)
    keypoints = keypoints * visible[..., None]
    asked = ask(empty(mask, keypoints, visible), lent)
    np.testing.assert_allclose(asked[0, 1:3], (usual + shift)[0, 1:3], atol=1e-6)
    # Their usual places hold them back by some hundredths.
    moved = asked - usual
    np.testing.assert_allclose(moved[0], np.tile(shift, (7, 1)), atol=0.02)


def test_the_inner_face_covers_its_keypoints_and_turns_with_them():
    asked = ask(align.condition(crops(1)), donors(1))
    size = 32
    inner = draw_inner(asked, size)
    x, y = np.int32(asked[0] * size).T
    assert (inner[0, y, x, 0] > 0.5).all()
    border = np.ones((size, size), bool)
    border[2:-2, 2:-2] = False
    assert float(inner[0, border].max()) < 0.01
    # A quarter turn: x y becomes 1 - y, x.
    turned = jnp.stack([1 - asked[..., 1], asked[..., 0]], -1)
    np.testing.assert_allclose(
        draw_inner(turned, size)[0], np.rot90(inner[0], -1), atol=1e-4
    )


def test_parameters_prepared_for_a_cpu_paint_the_same(params, monkeypatch):
    monkeypatch.setattr(donor.unet, "MANY_CHANNELS", 8)
    case, lent = align.condition(crops(2)), donors(2)
    prepared = models.prepare("donor", params)
    assert jax.tree.structure(prepared) != jax.tree.structure(params)
    faces = [paint(CONFIG, given, case, lent).face for given in (prepared, params)]
    np.testing.assert_allclose(*faces, atol=1e-3)


def test_a_condition_of_another_size_raises(params):
    with pytest.raises((TypeError, ValueError)):
        donor.generate(CONFIG, params, models.empty_condition(1, 8), donors(1))
