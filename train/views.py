"""What the losses see of training crops: transformed, relit, or a part enlarged.

Every function is for one example and differentiable in its images.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxanon.ops import sample
from jaxanon.types import Condition
from train.config import AugmentConfig


def transform(
    key: jax.Array,
    images: Float[Array, "n h w 3"],
    condition: Condition,
    config: AugmentConfig,
) -> tuple[Float[Array, "n h w 3"], Condition]:
    """Transforms what the discriminator sees; differentiable in the images.

    Args:
        key: Of this example.
        images: Pictures of one example, all transformed alike.
        condition: Of the same example, without a batch axis; goes along.
        config: ``critic`` is the probability of each transform.

    References:
        Zhao et al. 2020, Differentiable augmentation for data-efficient GAN training;
        Karras et al. 2020, Training GANs with limited data (the probability p).
    """
    pictures = jnp.concatenate([images, condition.image[None]])
    mask, keypoints, visible = condition.mask, condition.keypoints, condition.visible
    for index, name in enumerate(config.transforms):
        key_use, key_do = jax.random.split(jax.random.fold_in(key, index))
        use = jax.random.bernoulli(key_use, config.critic)
        if name == "colour":
            pictures = jnp.where(use, _colour(key_do, pictures), pictures)
        elif name == "translate":
            span = images.shape[1] // 8
            shift = use * jax.random.randint(key_do, (2,), -span, span + 1)
            pictures, mask = _shift(pictures, shift), _shift(mask[None], shift)[0]
            keypoints = keypoints + shift[::-1] / images.shape[1]
            visible = visible * jnp.all((keypoints >= 0) & (keypoints < 1), -1)
        elif name == "cutout":
            kept = jnp.where(use, _cutout(key_do, images.shape[1]), 1.0)
            pictures = pictures * kept[..., None]
        else:
            raise ValueError(f"Transform {name!r} is not colour, translate or cutout.")
    return pictures[:-1], Condition(
        image=pictures[-1] * (1 - mask),
        mask=mask,
        keypoints=keypoints * visible[:, None],
        visible=visible,
    )


def draw_window(
    key: PRNGKeyArray, mask: Float[Array, "h w 1"], *, probability: float
) -> Float[Array, "3"]:
    """Draws a square part of a picture to look at, somewhere on the mask.

    Args:
        key: A typed random key.
        mask: 1 = painted.
        probability: Else it is the whole picture.

    Returns:
        x and y of its corner and its side, in sides of the picture.
    """
    key_use, key_side, key_place = jax.random.split(key, 3)
    side = jnp.exp(-jax.random.uniform(key_side, (), minval=0.18, maxval=0.92))
    side = jnp.where(jax.random.bernoulli(key_use, probability), side, 1.0)
    points = sample.grid(mask.shape[0]).reshape(*mask.shape[:2], 2) / mask.shape[0]
    centre = (points * mask).sum((0, 1)) / jnp.maximum(mask.sum(), 1)
    centre = centre + 0.13 * jax.random.normal(key_place, (2,))
    corner = jnp.clip(centre - side / 2, 0, 1 - side)
    return jnp.append(corner, side)


def enlarge(
    images: Float[Array, "h w c"], window: Float[Array, "3"]
) -> Float[Array, "h w c"]:
    """Enlarges the part in a window of ``draw_window`` to the whole picture."""
    scale = 1 / window[2]
    return jax.image.scale_and_translate(
        images,
        images.shape,
        (0, 1),
        jnp.stack([scale, scale]),
        -window[1::-1] * scale * images.shape[0],
        "linear",
        antialias=False,
    )


def enlarge_condition(condition: Condition, window: Float[Array, "3"]) -> Condition:
    """Does the same to what the generator knew of one example."""
    keypoints = (condition.keypoints - window[:2]) / window[2]
    inside = jnp.all((keypoints >= 0) & (keypoints <= 1), -1)
    visible = condition.visible * inside
    return Condition(
        image=enlarge(condition.image, window),
        mask=enlarge(condition.mask, window),
        keypoints=keypoints * visible[:, None],
        visible=visible,
    )


def relight(
    key: PRNGKeyArray, image: Float[Array, "h w 3"], *, amount: float
) -> Float[Array, "h w 3"]:
    """Changes exposure, black level and tint of an image in [-1, 1] at random.

    Args:
        key: A typed random key.
        image: To change.
        amount: Standard deviation of the logarithm of the exposure.
    """
    exposure, level, *tint = amount * jax.random.normal(key, (5,))
    gain = jnp.exp(exposure + jnp.stack(tint) / 3)
    return jnp.clip((image + 1) * gain + level / 2 - 1, -1, 1)


def _colour(key: jax.Array, x: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Changes brightness, saturation and contrast, the same for all pictures."""
    light, depth, contrast = jax.random.uniform(key, (3,))
    x = x + (light - 0.5)
    grey = x.mean(-1, keepdims=True)
    x = grey + 2 * depth * (x - grey)
    return (0.5 + contrast) * x


def _shift(x: Float[Array, "n h w c"], shift: Array) -> Float[Array, "n h w c"]:
    """Moves pictures by whole pixels (y, x) and fills with zeros."""
    size = x.shape[1]
    pad = size // 8
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    start = (0, pad - shift[0], pad - shift[1], 0)
    return jax.lax.dynamic_slice(x, start, (x.shape[0], size, size, x.shape[3]))


def _cutout(key: jax.Array, size: int) -> Float[Array, "h w"]:
    """Draws a hole of half the picture's side, anywhere; 0 in the hole."""
    centre = jax.random.randint(key, (2,), 0, size)
    far = jnp.abs(jnp.arange(size)[:, None] - centre) >= size // 4
    return (far[:, 0][:, None] | far[:, 1][None, :]).astype(jnp.float32)
