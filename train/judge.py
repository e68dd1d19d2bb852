"""What ``train.evaluate`` sees in painted pictures: realism, skin, sharpness, groups.

Pictures are uint8 crops ``[n h w 3]``, points x y in crop sides ``[n k 2]``.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxanon import pose
from jaxanon.metrics import probe, sharpness, tone
from jaxanon.models import matcher
from jaxanon.models.generators import donor
from jaxanon.types import Crops, Donor
from train import validate

INNER_SIZE = 96
"""Side of the inner faces that the probe sees, in pixels; a multiple of 32."""

TURNED = 0.2
"""How far the nose is aside, in distances from the eyes to the mouth: a tenth of our
held-out heads are turned so far."""

OPEN = 0.15
"""Gap between the lips of an open mouth, in the same."""

DARK = 25.0
"""Median lightness, of 100, of what is visible of a dark scene."""

Look = Callable[[jax.Array], Sequence[jax.Array]]


def known_points(crops: Crops) -> Float[np.ndarray, "n k 2"]:
    """Returns the asked keypoints; those of the inner face are guessed if unseen."""
    seen = np.asarray(crops.visible)[..., None] > 0
    points = np.where(seen, np.asarray(crops.keypoints, np.float64), np.nan)
    usual = np.stack([_usual(mask[..., 0]) for mask in np.asarray(crops.mask)])
    few = np.isfinite(points[:, pose.INNER]).all(-1).sum(1) < 2
    points[np.ix_(few, pose.INNER)] = usual[few]
    return np.stack([pose.complete(row) for row in points])


def _usual(mask: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "7 2"]:
    """Places the inner face in a mask, whose box is about 1.3 times the face's."""
    down, across = (np.flatnonzero((mask > 0.5).any(axis)) for axis in (1, 0))
    low = np.array([across[0], down[0]]) / len(mask)
    high = np.array([across[-1] + 1, down[-1] + 1]) / len(mask)
    return (low + high) / 2 + (pose.USUAL - 0.5) * (high - low) / 1.3


def draw_inner(crops: Crops, points: np.ndarray) -> Bool[np.ndarray, "n h w"]:
    """Draws the inner faces, as far as they are painted."""
    size = crops.mask.shape[1]
    asked = points[:, pose.INNER].astype(np.float32)
    drawn = jax.jit(functools.partial(donor.draw_inner, size=size))(asked)
    return np.asarray((drawn > 0.5) & (crops.mask > 0.5))[..., 0]


def look(
    network: Look, images: UInt8[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, "n d"]:
    """Returns the means and deviations of a fixed network's maps over whole crops."""

    @jax.jit
    def see(few):
        return _pool(network(few.astype(jnp.float32) / 127.5 - 1))

    return validate.in_batches(see, images)


def look_inside(
    network: Look, images: UInt8[np.ndarray, "n h w 3"], points: np.ndarray
) -> Float[np.ndarray, "n d"]:
    """Does the same with the inner faces alone, upright on grey."""

    @jax.jit
    def see(few, keypoints):
        pictures = Donor(few.astype(jnp.float32) / 127.5 - 1, keypoints)
        return _pool(network(matcher.cut_inner(pictures, INNER_SIZE)[..., :3]))

    return validate.in_batches(see, images, np.nan_to_num(points).astype(np.float32))


def _pool(maps: Sequence[jax.Array]) -> jax.Array:
    means = [m.mean((1, 2)) for m in maps]
    return jnp.concatenate(means + [m.std((1, 2)) for m in maps], 1)


def measure_realism(
    network: Look,
    real: np.ndarray,
    made: Sequence[np.ndarray],
    points: np.ndarray,
    groups: dict[str, np.ndarray],
) -> dict[str, dict[str, float]]:
    """Asks a fresh probe which crops are painted, see ``metrics.probe``.

    Args:
        network: Whose features it sees. One that the painter was not trained through
            is the better judge.
        real: The originals.
        made: For each latent, the painted faces.
        points: Keypoints that were asked for.
        groups: Of faces that are looked at by themselves.

    Returns:
        For "" (all) and each group, means over the latents.
    """
    views = {
        "realism": functools.partial(look, network),
        "realism_inner": lambda images: look_inside(network, images, points),
    }
    values: dict[str, dict[str, float]] = {name: {} for name in ("", *groups)}
    for view, see in views.items():
        originals = see(real)
        found = [
            probe.compare(
                np.random.default_rng(0),
                real=originals,
                painted=see(images),
                groups=groups,
            )
            for images in made
        ]
        for name, its in values.items():
            for kind in ("auc", "auc_floor"):
                value = float(np.mean([one[name][kind] for one in found]))
                if np.isfinite(value):
                    its[f"{view}_{kind}"] = value
    return values


def measure_skin(
    real: np.ndarray,
    made: Sequence[np.ndarray],
    inner: Bool[np.ndarray, "n h w"],
    strangers: np.ndarray,
) -> dict[str, list[np.ndarray]]:
    """Compares skin tones, in degrees; lighter than the real one is positive.

    Returns:
        One number per latent and face: ``tone_shift`` and its absolute
        ``tone_error``. The floor is the difference of the real face's halves; strangers
        are what a face gets that knows nothing of the person.
    """
    truth = tone.angles(real / 255, inner)
    shifts = [tone.angles(images / 255, inner) - truth for images in made]
    shifts_strangers = np.where(strangers >= 0, truth[strangers] - truth, np.nan)
    middle = inner.any(1).argmax(1) + inner.any(1).sum(1) // 2
    left = inner & (np.arange(inner.shape[2]) < middle[:, None])[:, None]
    halves = tone.angles(real / 255, left) - tone.angles(real / 255, inner & ~left)
    return {
        "tone_shift": shifts,
        "tone_shift_strangers": [shifts_strangers],
        "tone_error": [np.abs(shift) for shift in shifts],
        "tone_error_floor": [np.abs(halves)],
        "tone_error_strangers": [np.abs(shifts_strangers)],
    }


def measure_sharpness(
    real: np.ndarray,
    made: Sequence[np.ndarray],
    inner: Bool[np.ndarray, "n h w"],
    around: Bool[np.ndarray, "n h w"],
) -> dict[str, list[np.ndarray]]:
    """Compares the Laplacian energy of inner faces with that of what is around them.

    Returns:
        One number per latent and face: ``sharpness_around``, beside the real face's as
        its floor, and ``sharpness``, the one over the other; 1 = as sharp.
    """
    truth = sharpness.against_surroundings(real / 255, inner, around)
    ratios = [
        sharpness.against_surroundings(images / 255, inner, around) for images in made
    ]
    return {
        "sharpness_around": ratios,
        "sharpness_around_floor": [truth],
        "sharpness": [ratio / truth for ratio in ratios],
    }


def find_strangers(people: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Finds for each face another person's of the same source; -1 = there is none."""
    strangers = np.full(len(people), -1)
    for index in range(len(people)):
        others = (sources == sources[index]) & (people != people[index])
        candidates = np.flatnonzero(others)
        if len(candidates):  # The next one, so that each face serves about once.
            strangers[index] = candidates[
                np.searchsorted(candidates, index) % len(candidates)
            ]
    return strangers


def group_faces(
    real: np.ndarray,
    points: np.ndarray,
    inner: Bool[np.ndarray, "n h w"],
    around: Bool[np.ndarray, "n h w"],
) -> dict[str, Bool[np.ndarray, "n"]]:
    """Says which faces are of the groups that pictures themselves tell of."""
    shapes = np.stack([pose.shape_of_face(row) for row in points])
    lightness = [
        np.median(tone.to_lab(image[seen] / 255)[:, 0]) if seen.any() else np.nan
        for image, seen in zip(real, around, strict=True)
    ]
    return {
        "turned heads": np.abs(shapes[:, 0]) > TURNED,
        "dark scenes": np.array(lightness) < DARK,
        "darker skin": tone.angles(real / 255, inner) < tone.DARKER,
        "open mouths": shapes[:, 9] / 1.5 > OPEN,
    }
