"""Turns stored faces into training crops on the device, differently every time.

Every function is for one example; ``augment`` maps them over the batch with one key
per example, so that a batch is the same on any number of devices.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxanon import pipeline
from jaxanon.detect import passes
from jaxanon.ops import filters
from jaxanon.types import KEYPOINTS, MIRROR, Crops
from train.config import AugmentConfig
from train.faces import Faces

MASK_SCALE = pipeline.DEFAULTS.mask_scale * (1 + 2 * passes.BESIDE)
"""Of the masks that validation faces get: as in use, where the detector's boxes reach
farther than those of the packs."""

NOTHING = AugmentConfig(
    mirror=0.0,
    jitter=0.0,
    enlarge=(MASK_SCALE, MASK_SCALE),
    occlude=0.0,
    drop_all=0.0,
    drop_mouth=0.0,
    drop_some=0.0,
    keypoint_noise=0.0,
)
"""What validation faces get."""

MOUTH = np.array([name.endswith(("mouth", "lip")) for name in KEYPOINTS])


def augment(
    keys: PRNGKeyArray, faces: Faces, config: AugmentConfig, *, keypoint_score: float
) -> Crops:
    """Makes training crops.

    Args:
        keys: One key per example.
        faces: uint8 crops with boxes and keypoints in crop sides.
        config: What to do, how often.
        keypoint_score: Keypoints scored lower are not visible.
    """

    def one(key: jax.Array, face: Faces) -> Crops:
        return _augment_one(key, face, config, keypoint_score)

    return jax.vmap(one)(keys, faces)


def _augment_one(
    key: jax.Array, face: Faces, config: AugmentConfig, keypoint_score: float
) -> Crops:
    _, key_mask, key_occlude, key_drop, key_noise = jax.random.split(key, 5)
    image = jnp.asarray(face.images, jnp.float32) / 127.5 - 1
    if config.darken:
        image = darken(jax.random.fold_in(key, 5), image, probability=config.darken)
    if config.blur:
        image = soften(jax.random.fold_in(key, 8), image, probability=config.blur)
    keypoints, scores = jnp.asarray(face.keypoints), jnp.asarray(face.scores)
    seen = (scores > 0) & (scores >= keypoint_score)
    flip = draw_flip(key, config)
    image, box, keypoints, seen = jax.tree.map(
        lambda mirrored, plain: jnp.where(flip, mirrored, plain),
        mirror(image, jnp.asarray(face.boxes), keypoints, seen),
        (image, jnp.asarray(face.boxes), keypoints, seen),
    )
    height, width = image.shape[:2]
    mask = draw_mask(jitter(key_mask, box, config), height, width)
    mask = jnp.maximum(mask, draw_patch(key_occlude, box, height, width, config))
    for edge in (6, 7) if config.cut else ():
        drawn = draw_cut(jax.random.fold_in(key, edge), box, height, width, config.cut)
        mask = jnp.maximum(mask, drawn)
    noise = jax.random.normal(key_noise, keypoints.shape)
    keypoints = keypoints + config.keypoint_noise * noise
    inside = jnp.all((keypoints >= 0) & (keypoints < 1), -1)
    visible = (seen & inside & keep_keypoints(key_drop, config)).astype(jnp.float32)
    return Crops(
        image=image,
        mask=mask[..., None],
        keypoints=keypoints * visible[:, None],
        visible=visible,
        to_crop=jnp.eye(2, 3),
    )


def draw_flip(key: jax.Array, config: AugmentConfig) -> Array:
    """Says whether the face of an example's key is mirrored."""
    return jax.random.bernoulli(jax.random.split(key, 5)[0], config.mirror)


def soften(
    key: PRNGKeyArray, image: Float[Array, "h w 3"], *, probability: float
) -> Float[Array, "h w 3"]:
    """Puts an image out of focus now and then, by up to 1.4 pixels of 128."""
    key_use, key_mix = jax.random.split(key)
    # Between a sharp picture and a soft one lie all the others, nearly.
    soft = filters.blur(image, sigma=1.4 * image.shape[1] / 128)
    share = jax.random.uniform(key_mix, minval=0.2, maxval=1.0)
    share = share * jax.random.bernoulli(key_use, probability)
    return image + share * (soft - image)


def mirror(
    image: Float[Array, "h w 3"],
    box: Float[Array, "4"],
    keypoints: Float[Array, "k 2"],
    seen: Array,
) -> tuple[Array, Array, Array, Array]:
    """Mirrors a face; its left eye becomes its right one."""
    order = jnp.array(MIRROR)
    x0, y0, x1, y1 = box
    keypoints = jnp.stack([1 - keypoints[:, 0], keypoints[:, 1]], -1)
    box = jnp.stack([1 - x1, y0, 1 - x0, y1])
    return image[:, ::-1], box, keypoints[order], seen[order]


def jitter(
    key: jax.Array, box: Float[Array, "4"], config: AugmentConfig
) -> Float[Array, "4"]:
    """Enlarges the box and moves each of its sides, as detectors would."""
    key_side, key_scale = jax.random.split(key)
    start, end = box[:2], box[2:]
    low, high = config.enlarge
    scale = jax.random.uniform(key_scale, (), minval=low, maxval=high)
    half = scale * (end - start) / 2
    moved = jax.random.uniform(key_side, (4,), minval=-1, maxval=1) * config.jitter
    sides = jnp.concatenate([(start + end) / 2 - half, (start + end) / 2 + half])
    return sides + moved * jnp.tile(end - start, 2)


def darken(
    key: PRNGKeyArray, image: Float[Array, "h w 3"], *, probability: float
) -> Float[Array, "h w 3"]:
    """Makes an image in [-1, 1] darker now and then, as on a stage or at night.

    Args:
        key: A typed random key.
        image: To change.
        probability: Of doing so; the gain is then from 0.1 to 1, even in logarithm.
    """
    key_use, key_gain = jax.random.split(key)
    gain = jnp.exp(jax.random.uniform(key_gain, minval=jnp.log(0.1), maxval=0.0))
    gain = jnp.where(jax.random.bernoulli(key_use, probability), gain, 1.0)
    return (image + 1) * gain - 1


def draw_mask(box: Float[Array, "4"], height: int, width: int) -> Float[Array, "h w"]:
    """Draws a box, rounded outward to whole pixels."""
    x, y = jnp.arange(width), jnp.arange(height)
    x0, y0, x1, y1 = box * jnp.array([width, height, width, height])
    inside_x = (x + 1 > x0) & (x < x1)
    inside_y = (y + 1 > y0) & (y < y1)
    return (inside_y[:, None] & inside_x[None, :]).astype(jnp.float32)


def draw_patch(
    key: jax.Array,
    box: Float[Array, "4"],
    height: int,
    width: int,
    config: AugmentConfig,
) -> Float[Array, "h w"]:
    """Draws an ellipse over the rim of the box, now and then; else zeros.

    Masks at inference are not always one box: where two faces are close, the region of
    the other one is erased too.
    """
    key_draw, key_side, key_place, key_size = jax.random.split(key, 4)
    start, size = box[:2], box[2:] - box[:2]
    place = jax.random.uniform(key_place, (2,))
    axis, end = jax.random.bernoulli(key_side, shape=(2,))
    place = place.at[axis.astype(int)].set(end.astype(jnp.float32))
    centre = start + place * size
    radius = jax.random.uniform(key_size, (2,), minval=0.1, maxval=0.4) * size
    x = ((jnp.arange(width) + 0.5) / width - centre[0]) / radius[0]
    y = ((jnp.arange(height) + 0.5) / height - centre[1]) / radius[1]
    ellipse = (x[None, :] ** 2 + y[:, None] ** 2 < 1).astype(jnp.float32)
    return ellipse * jax.random.bernoulli(key_draw, config.occlude)


def draw_cut(
    key: PRNGKeyArray, box: Float[Array, "4"], height: int, width: int, cut: float
) -> Float[Array, "h w"]:
    """Draws what would lie beyond an edge of the photo, now and then; else zeros.

    Args:
        key: A typed random key.
        box: Of the face, in crop sides.
        height: Of the crop.
        width: Of the crop.
        cut: Probability of an edge: upright or level, on any side, anywhere from the
            crop's border to three quarters of the way through the face.
    """
    key_draw, key_side, key_place = jax.random.split(key, 3)
    level, far = jax.random.bernoulli(key_side, shape=(2,))
    x, y = (jnp.arange(width) + 0.5) / width, (jnp.arange(height) + 0.5) / height
    along = jnp.where(level, y[:, None], x[None, :])
    start, end = jnp.where(level, box[1::2], box[::2])
    along = jnp.where(far, 1 - along, along)
    start, end = jnp.where(far, 1 - end, start), jnp.where(far, 1 - start, end)
    place = jax.random.uniform(key_place) * (start + 0.75 * (end - start))
    return (along < place) * jax.random.bernoulli(key_draw, cut).astype(jnp.float32)


def keep_keypoints(key: jax.Array, config: AugmentConfig) -> Array:
    """Says which keypoints are given: all, none, all but the mouth, or any subset."""
    key_case, key_each = jax.random.split(key)
    case = jax.random.uniform(key_case)
    each = jax.random.bernoulli(key_each, 0.5, (len(KEYPOINTS),))
    limits = jnp.cumsum(
        jnp.array([config.drop_all, config.drop_mouth, config.drop_some])
    )
    return jnp.select(
        [case < limits[0], case < limits[1], case < limits[2]],
        [jnp.zeros_like(each), ~MOUTH, each],
        jnp.ones_like(each),
    )
