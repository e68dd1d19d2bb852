import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanon import weights
from jaxanon.models import matcher
from jaxanon.models.matcher import MatcherConfig
from jaxanon.types import KEYPOINTS, MIRROR, Condition, Donor

CONFIG = MatcherConfig(resolution=32, width=4, dimensions=8)

FACE = np.zeros((len(KEYPOINTS), 2), np.float32)
FACE[[0, 1, 2, 7, 8, 9, 10]] = [
    (0.5, 0.6),
    (0.6, 0.45),
    (0.4, 0.45),
    (0.58, 0.65),
    (0.42, 0.65),
    (0.5, 0.65),
    (0.5, 0.66),
]


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: matcher.init(key, CONFIG))(jax.random.key(0))


def condition(key, size=32, batch=2):
    image = jax.random.uniform(key, (batch, size, size, 3), minval=-1)
    mask = jnp.zeros((batch, size, size, 1)).at[:, 8:24, 8:24].set(1)
    shape = (batch, len(KEYPOINTS))
    return Condition(image * (1 - mask), mask, jnp.zeros((*shape, 2)), jnp.ones(shape))


def donor(*, side=96, scale=1.0, shift=(0.0, 0.0)):
    """Draws smooth stripes that lie on the face wherever it is."""
    points = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid((points - shift[0]) / scale, (points - shift[1]) / scale)
    image = np.stack([np.sin(9 * x), np.cos(11 * y), np.sin(6 * (x + y))], -1)
    keypoints = FACE * scale + np.array(shift, np.float32)
    return Donor(
        jnp.asarray(image[None], jnp.float32),
        jnp.asarray(keypoints[None], jnp.float32),
    )


def test_vectors_are_of_unit_length_and_each_its_own(params):
    given = condition(jax.random.key(1))
    around = matcher.embed_surroundings(CONFIG, params, given)
    inner = matcher.embed_donors(CONFIG, params, donor())
    assert around.shape == (2, 8) and inner.shape == (1, 8)
    for vectors in (around, inner):
        np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=-1), 1, atol=1e-5)
    swapped = jax.tree.map(lambda leaf: leaf[::-1], given)
    again = jax.jit(lambda given: matcher.embed_surroundings(CONFIG, params, given))(
        swapped
    )
    np.testing.assert_allclose(again[::-1], around, atol=1e-5)


def test_conditions_wider_than_the_towers_are_averaged(params):
    given = condition(jax.random.key(2))
    image, mask = (
        jnp.repeat(jnp.repeat(leaf, 4, 1), 4, 2) for leaf in (given.image, given.mask)
    )
    np.testing.assert_allclose(
        matcher.embed_surroundings(
            CONFIG, params, given._replace(image=image, mask=mask)
        ),
        matcher.embed_surroundings(CONFIG, params, given),
        atol=1e-5,
    )


def test_neither_hidden_pixels_nor_keypoints_change_the_surroundings(params):
    mask = condition(jax.random.key(3)).mask

    def first(image, keypoints, visible):
        erased = Condition(image * (1 - mask), mask, keypoints, visible)
        return matcher.embed_surroundings(CONFIG, params, erased)[:, 0].sum()

    given = condition(jax.random.key(4))
    image = jax.random.uniform(jax.random.key(5), mask.shape[:3] + (3,))
    slopes = jax.grad(first, (0, 1, 2))(image, given.keypoints, given.visible)
    assert not bool((slopes[0] * mask).any())
    assert bool((slopes[0] * (1 - mask)).any())
    assert not bool(slopes[1].any()) and not bool(slopes[2].any())


@pytest.mark.parametrize(
    "place",
    [
        {"side": 192},
        {"side": 101},
        {"scale": 0.7},
        {"shift": (0.1, -0.05)},
        {"side": 256, "scale": 0.6, "shift": (0.3, 0.2)},
    ],
)
def test_size_scale_and_place_of_a_donor_do_not_matter(params, place):
    cut = matcher.cut_inner(donor(), 32)
    # Bilinear reads of stripes: a hundredth of their height, at most three.
    np.testing.assert_allclose(matcher.cut_inner(donor(**place), 32), cut, atol=0.03)
    score = (
        matcher.embed_donors(CONFIG, params, donor(**place))
        * matcher.embed_donors(CONFIG, params, donor())
    ).sum()
    assert float(score) > 0.999


def test_only_the_inner_face_of_a_donor_counts():
    def total(image):
        return matcher.cut_inner(Donor(image, donor().keypoints), 32).sum()

    slope = np.abs(jax.grad(total)(donor().image))[0].sum(-1)
    assert slope[48, 48] > 0
    assert not slope[:16].any() and not slope[:, :20].any() and not slope[90:].any()


def test_a_mirrored_donor_is_cut_out_mirrored():
    given = donor()
    keypoints = given.keypoints * jnp.array([-1, 1]) + jnp.array([1, 0])
    mirrored = Donor(given.image[:, :, ::-1], keypoints[:, jnp.array(MIRROR)])
    # The ellipse was fitted to faces, which are not quite symmetric.
    np.testing.assert_allclose(
        matcher.cut_inner(mirrored, 32)[:, :, ::-1],
        matcher.cut_inner(given, 32),
        atol=0.05,
    )


@pytest.mark.parametrize("size", [24, 48, 16])
def test_a_wrong_size_raises(params, size):
    with pytest.raises(ValueError, match=f"{size} pixels wide.*32"):
        matcher.embed_surroundings(CONFIG, params, condition(jax.random.key(0), size))


def test_a_donor_that_is_not_square_raises(params):
    with pytest.raises(ValueError, match="square"):
        matcher.embed_donors(
            CONFIG, params, Donor(jnp.zeros((1, 32, 48, 3)), donor().keypoints)
        )


@pytest.mark.skipif("matcher" not in weights.names(), reason="no shipped weights")
def test_shipped_weights_prefer_pale_faces_beside_pale_skin():
    loaded = weights.load("matcher")
    size = 2 * loaded.config.resolution
    mask = jnp.zeros((2, size, size, 1)).at[:, size // 4 : -size // 4].set(1)
    tones = jnp.array([[0.7, 0.4, 0.25], [-0.45, -0.65, -0.75]])
    image = jnp.broadcast_to(tones[:, None, None], (2, size, size, 3))
    shape = (2, len(KEYPOINTS))
    given = Condition(image * (1 - mask), mask, jnp.zeros((*shape, 2)), jnp.ones(shape))
    faces = Donor(image, jnp.repeat(jnp.asarray(FACE)[None], 2, 0))
    around = matcher.embed_surroundings(loaded.config, loaded.params, given)
    inner = matcher.embed_donors(loaded.config, loaded.params, faces)
    scores = np.asarray(around @ inner.T)
    assert scores[0, 0] > scores[0, 1] and scores[1, 1] > scores[1, 0]
