"""Faces drawn by code, so that a trial run needs no data and shows no person."""

import numpy as np

from train.faces import Faces, FaceSet, stack


def draw_set(count: int, resolution: int, *, seed: int = 0) -> FaceSet:
    """Draws faces that differ in place, size, tilt and colours."""
    generator = np.random.default_rng(seed)
    faces = stack([draw_face(generator, resolution) for _ in range(count)])
    return FaceSet(faces, ["drawn"] * count)


def draw_face(generator: np.random.Generator, resolution: int) -> Faces:
    """Draws one face, without a leading axis."""
    centre = generator.uniform(0.45, 0.55, 2)
    radius = generator.uniform([0.2, 0.26], [0.24, 0.3])
    tilt = generator.uniform(-0.3, 0.3)
    turn = generator.uniform(-0.35, 0.35)
    smile = generator.uniform(-0.06, 0.1)
    skin = np.array([225, 175, 140]) * generator.uniform(0.35, 1.1)
    hair, shirt, wall, lips, iris = generator.uniform(20, 235, (5, 3))

    # Places in face radii, x to the right, y down; the subject's left is larger x.
    places = {
        "nose": (turn, 0.15),
        "left_eye": (0.4 + turn, -0.15),
        "right_eye": (-0.4 + turn, -0.15),
        "left_ear": (1.0, 0.0),
        "right_ear": (-1.0, 0.0),
        "left_shoulder": (1.5, 1.55),
        "right_shoulder": (-1.5, 1.55),
        "left_mouth": (0.33 + turn, 0.55 - smile),
        "right_mouth": (-0.33 + turn, 0.55 - smile),
        "upper_lip": (turn, 0.55),
        "lower_lip": (turn, 0.55),
    }
    rotate = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    keypoints = np.array(list(places.values())) * radius @ rotate.T + centre

    steps = (np.arange(resolution) + 0.5) / resolution
    grid = np.stack(np.meshgrid(steps, steps), -1) - centre
    u, v = np.moveaxis(grid @ rotate / radius, -1, 0)
    soft = 2.0 / (resolution * radius.min())  # Edges about a pixel wide.

    def inside(x, y, width, height):
        distance = np.hypot((u - x) / width, (v - y) / height)
        return np.clip((1 - distance) * min(width, height) / soft + 0.5, 0, 1)

    image = wall * (0.8 + 0.4 * steps[:, None, None])
    shapes = [
        ((0, 2.3, 1.8, 1.1), shirt),
        ((0, -0.25, 1.1, 1.05), hair),
        ((0, 0.9, 0.4, 0.7), skin * 0.85),
        ((1.0, 0, 0.15, 0.25), skin * 0.9),
        ((-1.0, 0, 0.15, 0.25), skin * 0.9),
        ((0, 0, 0.95, 1.0), skin),
        ((turn, 0.05, 0.12, 0.22), skin * 0.85),
        ((turn, 0.55, 0.36, 0.06 + abs(smile)), lips),
    ]
    for x in (0.4, -0.4):
        shapes += [((x + turn, -0.15, 0.2, 0.11), np.full(3, 245.0))]
        shapes += [((x + turn, -0.15, 0.09, 0.1), iris * 0.6)]
    for shape, colour in shapes:
        alpha = inside(*shape)[..., None]
        image = alpha * colour + (1 - alpha) * image
    image = image + generator.normal(0, 3, image.shape)

    half = np.hypot(radius * np.cos(tilt), radius[::-1] * np.sin(tilt))
    box = np.clip(np.concatenate([centre - half, centre + half]), 0, 1)
    return Faces(
        np.clip(image, 0, 255).astype(np.uint8),
        box.astype(np.float32),
        keypoints.astype(np.float32),
        np.ones(11, np.float32),
    )
