"""Two CPU devices, quick compilation, and what several tests draw."""

import os
from fractions import Fraction
from pathlib import Path

# Before JAX starts. Compiling dominates the tests: what is compiled is tiny.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true",
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import av
import jax
import numpy as np
import pytest

from jaxanon import models
from jaxanon.donors import bank as banks
from jaxanon.donors import choose
from jaxanon.types import Detections
from jaxanon.weights import Weights
from train import drawn


@pytest.fixture(scope="session")
def shared() -> Path:
    """Material beside the project; tests that need it skip where it is absent."""
    default = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("JAXANON_SHARED", default))
    if not path.is_dir():
        pytest.skip(f"needs the folder {path.name} beside the project")
    return path


@pytest.fixture(scope="session")
def tiny_weights() -> Weights:
    """A generator of a few numbers that paints something else for each z."""
    config = models.GeneratorConfig(
        resolution=16, widths=(8, 8), blocks=1, latent_dim=4, style_width=8
    )
    return Weights("unet", config, draw_params(config, 0.3), {}, "")


def draw_params(config, scale):
    """Draws parameters by NumPy: nothing to compile."""
    shapes = jax.eval_shape(
        lambda key: models.init_generator(key, config), jax.random.key(0)
    )
    draw = np.random.default_rng(0).standard_normal
    return jax.tree.map(
        lambda leaf: np.asarray(scale * draw(leaf.shape), np.float32), shapes
    )


@pytest.fixture(scope="session")
def drawn_bank() -> banks.Bank:
    """Donors drawn by code: 20 people, nobody twice."""
    pictures, keypoints, entries = [], [], []
    faces = drawn.draw_set(20, 64).faces
    for index, points in enumerate(faces.keypoints):
        picture, points = banks.cut(faces.images[index], np.float64(points) * 64)
        pictures.append(banks.encode_picture(picture))
        keypoints.append(np.float32(points))
        name = f"drawn/{index}"
        entry = {"id": name, "person": name, "source": "drawn", "licence": "none"}
        entries.append(entry)
    none, nobody = np.zeros((20, 0), np.float32), {"people": "nobody"}
    return banks.Bank(pictures, np.stack(keypoints), none, entries, nobody, "0" * 64)


@pytest.fixture(scope="session")
def tiny_painter(drawn_bank) -> Weights:
    """A painter of a few numbers that paints from drawn donors."""
    config = models.DonorConfig(resolution=16, widths=(8, 8), blocks=1, style_width=8)
    params, cast = draw_params(config, 0.1), choose.make_cast(drawn_bank)
    return Weights("donor", config, params, {}, "1" * 64, cast)


@pytest.fixture(scope="session")
def found():
    """Makes detections out of boxes, with or without keypoints."""

    def make(*boxes, keypoints=None) -> Detections:
        n = len(boxes)
        points = np.full((n, 11, 2), np.nan, np.float32)
        if keypoints is not None:
            points[:] = keypoints
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(n, 0.9, np.float32),
            points,
        )

    return make


@pytest.fixture(scope="session")
def encode_clip():
    """Makes an H.264 file of pictures: (path, pictures, ...) -> path."""

    def make(path, pictures, *, pixel_format="yuv420p", options=None, times=None):
        unit = Fraction(1, 25) if times is None else Fraction(1, 1000)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options=options or {})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt, stream.codec_context.time_base = pixel_format, unit
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = index if times is None else times[index]
                frame.time_base = unit
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
