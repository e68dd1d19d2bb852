"""Donors in training: the face itself, another photo of the person, or somebody else.

A painter learns from the face itself, changed in light, sharpness and place, as in
SelfSwapper; other people's faces have only the discriminator to please.

References:
    Lee et al. 2024, SelfSwapper, https://arxiv.org/abs/2402.07370
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxanon.pose import shape_of_face
from jaxanon.types import Donor
from train import augment
from train.config import AugmentConfig, DonorsConfig
from train.faces import Faces

CHUNK = 2048


class Partners:
    """Who may be a donor of whom in a set of faces.

    Args:
        faces: Training faces.
        people: Who each is, empty where unknown; or none.
        config: Of the donors.
    """

    def __init__(self, faces: Faces, people: Sequence[str], config: DonorsConfig):
        self.config = config
        names = np.array(people or [""] * len(faces.boxes))
        self.near = find_nearest(
            np.asarray(faces.keypoints),
            config.nearest,
            tones=config.tone * skin_tones(faces),
        )
        self.others = _find_others(names)

    def draw(
        self, generator: np.random.Generator, faces: Int[np.ndarray, "n"], every: int
    ) -> Int[np.ndarray, "n"]:
        """Draws a donor for each face of a batch.

        Args:
            generator: Of the run's step.
            faces: Indices.
            every: The first of so many faces gets its own; the others somebody else's.
        """
        ranks = generator.integers(self.near.shape[1], size=len(faces))
        donors = self.near[faces, ranks]
        paired = generator.random(len(faces)) < self.config.pairs
        for place in range(0, len(faces), every):
            own = int(faces[place])
            others = self.others.get(own)
            if paired[place] and others is not None:
                donors[place] = generator.choice(others)
            else:
                donors[place] = own
        return donors.astype(np.int32)


def skin_tones(faces: Faces) -> Float[np.ndarray, "n 3"]:
    """Returns the mean colour of the middle of each face, in [0, 1]."""
    size = faces.images.shape[1]
    tones = np.empty((len(faces.boxes), 3))
    for index, box in enumerate(np.asarray(faces.boxes)):
        start, end = box[:2], box[2:]
        inner = [start + 0.25 * (end - start), end - 0.25 * (end - start)]
        x0, y0, x1, y1 = (size * np.concatenate(inner)).astype(int).tolist()
        middle = faces.images[index][max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]
        tones[index] = np.asarray(middle).mean((0, 1)) / 255
    return tones


def find_nearest(
    keypoints: Float[np.ndarray, "n k 2"],
    count: int,
    *,
    tones: Float[np.ndarray, "n c"] | None = None,
) -> Int[np.ndarray, "n c"]:
    """Finds the faces whose heads are held most alike, without the face itself.

    Args:
        keypoints: x y in crop sides.
        count: How many for each.
        tones: More to be alike in.
    """
    shapes = np.stack([shape_of_face(points) for points in keypoints])
    if tones is not None:
        shapes = np.concatenate([shapes, tones], 1)
    count = min(count, len(shapes) - 1)
    squares = np.square(shapes).sum(1)
    near = np.empty((len(shapes), count), np.int32)
    for start in range(0, len(shapes), CHUNK):
        few = shapes[start : start + CHUNK]
        distance = squares[None] - 2 * few @ shapes.T
        distance[np.arange(len(few)), start + np.arange(len(few))] = np.inf
        near[start : start + CHUNK] = np.argpartition(distance, count - 1, 1)[:, :count]
    return near


def _find_others(people: np.ndarray) -> dict[int, np.ndarray]:
    """Finds the other photos of each photo's person."""
    others: dict[int, np.ndarray] = {}
    known = np.flatnonzero(people != "")
    order = known[np.argsort(people[known], kind="stable")]
    ends = np.flatnonzero(people[order][1:] != people[order][:-1]) + 1
    for photos in np.split(order, ends):
        for photo in photos.tolist():
            if len(photos) > 1:
                others[photo] = photos[photos != photo]
    return others


def draw_donors(
    keys: PRNGKeyArray,
    donors: Faces,
    config: AugmentConfig,
    settings: DonorsConfig,
    every: int,
) -> Donor:
    """Turns stored faces into donors on the device, differently every time.

    Args:
        keys: One per example; those that ``augment`` gets.
        donors: One for each face of the batch, see ``Partners``.
        config: Of the faces that they are for.
        settings: Of the donors.
        every: As ``Partners.draw`` has it.
    """
    own = jnp.arange(len(donors.boxes)) % every == 0
    one = functools.partial(_draw_donor, config=config, settings=settings)
    return jax.vmap(one)(keys, donors, own)


def _draw_donor(key, face: Faces, own, *, config, settings) -> Donor:
    key_flip, key_place, key_light, key_blur = jax.random.split(
        jax.random.fold_in(key, 11), 4
    )
    image = jnp.asarray(face.images, jnp.float32) / 127.5 - 1
    # Mirrored as the face is, but now and then against itself.
    flip = augment.draw_flip(key, config)
    against = own & jax.random.bernoulli(key_flip, settings.mirror)
    image, keypoints = jax.tree.map(
        lambda mirrored, plain: jnp.where(flip ^ against, mirrored, plain),
        augment.mirror(image, *map(jnp.asarray, face[1:]))[::2],
        (image, jnp.asarray(face.keypoints)),
    )
    noise = settings.jitter * jax.random.normal(key_place, keypoints.shape)
    image = jnp.where(own, relight(key_light, image, settings.light), image)
    image = jnp.where(own, augment.soften(key_blur, image, probability=0.15), image)
    return Donor(image, keypoints + own * noise)


def relight(
    key: PRNGKeyArray, image: Float[Array, "h w 3"], amount: float
) -> Float[Array, "h w 3"]:
    """Changes exposure, contrast, saturation, tint and the side that light comes from.

    Args:
        key: A typed random key.
        image: In [-1, 1].
        amount: 1 = as much as two photos of different places differ.
    """
    gamma, depth, exposure, *rest = amount * jax.random.normal(key, (8,))
    tint, aside, above = jnp.stack(rest[:3]), rest[3], rest[4]
    x = jnp.clip((image + 1) / 2, 0, 1) ** jnp.exp(0.25 * gamma)
    grey = x.mean(-1, keepdims=True)
    x = grey + (x - grey) * jnp.exp(0.3 * depth)
    x = x * jnp.exp(0.3 * exposure + 0.12 * tint)
    height, width = x.shape[:2]
    across = (jnp.arange(width) + 0.5) / width - 0.5
    down = (jnp.arange(height) + 0.5) / height - 0.5
    light = 0.7 * aside * across[None, :] + 0.4 * above * down[:, None]
    return jnp.clip(x * (1 + light[..., None]) * 2 - 1, -1.2, 1.2)
