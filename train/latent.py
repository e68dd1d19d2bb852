"""Lets N(0, I) at inference draw what the encoder's posteriors add up to in training.

The divergence term pulls each posterior towards N(0, I), but their aggregate is another
distribution, and a z between the two is one that the generator never saw. After
training, a Gaussian is fitted to the aggregate, and the affine map from N(0, I) to it
becomes a part of the generator's first layer that reads z.

References:
    Ghosh et al. 2020, From variational to deterministic autoencoders, section 4
    (ex-post density estimation), https://arxiv.org/abs/1903.12436
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxanon.errors import ConfigError
from train import augment, faces, validate
from train.config import TrainConfig
from train.data import Dataset
from train.state import TrainState

FACES = 4096


def fit_latent(
    means: Float[np.ndarray, "n z"], variances: Float[np.ndarray, "n z"]
) -> tuple[Float[np.ndarray, "z"], Float[np.ndarray, "z z"]]:
    """Returns mean and covariance of an equal mixture of diagonal Gaussians."""
    means = np.asarray(means, np.float64)
    mean = means.mean(0)
    centred = means - mean
    covariance = centred.T @ centred / len(means)
    return mean, covariance + np.diag(np.asarray(variances, np.float64).mean(0))


def fold_latent(
    params: Mapping[str, Any],
    mean: Float[np.ndarray, "z"],
    covariance: Float[np.ndarray, "z z"],
    latent_dim: int,
) -> dict[str, Any]:
    """Returns parameters that make of z what the old ones made of A z + mean.

    A is the symmetric root of the covariance, so z = 0 stays the middle and truncation
    means what it meant.

    Args:
        params: Of a ``unet`` generator; not changed.
        mean: Of the latents to draw.
        covariance: Of the same.
        latent_dim: How many of the first style layer's inputs, the first ones, are z.

    Raises:
        ConfigError: the sizes do not fit, or the covariance is none.
    """
    try:
        dense = params["style_0"]["Dense_0"]
    except KeyError as error:
        raise ConfigError(
            "Only a generator with a style layer has a latent to fold."
        ) from error
    kernel = np.asarray(dense["kernel"], np.float64)
    mean = np.asarray(mean, np.float64)
    covariance = np.asarray(covariance, np.float64)
    shapes = (latent_dim,), (latent_dim, latent_dim)
    if (mean.shape, covariance.shape) != shapes or len(kernel) < latent_dim:
        raise ConfigError(
            f"Mean {mean.shape} and covariance {covariance.shape} do not fit a latent "
            f"of {latent_dim} and a kernel of {kernel.shape}."
        )
    root = _root(covariance)
    of_z = kernel[:latent_dim]
    new = {
        "kernel": np.concatenate([root.T @ of_z, kernel[latent_dim:]]),
        "bias": np.asarray(dense["bias"], np.float64) + mean @ of_z,
    }
    new = {name: leaf.astype(np.float32) for name, leaf in new.items()}
    return {**params, "style_0": {**params["style_0"], "Dense_0": new}}


def fit_and_fold(
    config: TrainConfig, state: TrainState, params: Any, dataset: Dataset
) -> tuple[Any, int]:
    """Folds the fitted Gaussian of a run's posteriors, widened, into a generator.

    Returns:
        The parameters, and on how many faces it was fitted.
    """
    encoder = jax.device_get(state.generator["encoder"])
    means, variances = encode_faces(config, encoder, dataset)
    mean, covariance = fit_latent(means, variances)
    covariance = covariance * config.latent_spread**2
    dim = config.generator.latent_dim
    return fold_latent(params, mean, covariance, dim), len(means)


def encode_faces(
    config: TrainConfig, encoder: Any, dataset: Dataset, *, count: int = FACES
) -> tuple[Float[np.ndarray, "n z"], Float[np.ndarray, "n z"]]:
    """Returns means and variances of the posteriors of evenly spaced faces."""
    score = config.data.keypoint_score
    size = min(validate.BATCH, dataset.size)
    count = max(size, min(count, dataset.size) // size * size)
    chosen = validate.spread(dataset.size, count).reshape(-1, size)
    keys = jax.random.split(jax.random.key(0), size)
    augment_ = jax.jit(
        functools.partial(augment.augment, config=augment.NOTHING, keypoint_score=score)
    )
    parts = []
    for indices in chosen:
        batch = faces.stack([dataset.read(int(index)) for index in indices])
        crops = augment_(keys, batch)
        parts.append(np.asarray(validate.encode(config.encoder, encoder, crops)))
    mean, log_variance = np.concatenate(parts).swapaxes(0, 1)
    return mean, np.exp(log_variance)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Returns the symmetric, positive root of a covariance.

    Raises:
        ConfigError: it is not symmetric, not finite or not positive.
    """
    if not np.isfinite(covariance).all():
        raise ConfigError("The covariance of the latents is not finite.")
    values, vectors = np.linalg.eigh(covariance)
    tolerance = 1e-6 * max(np.abs(covariance).max(), 1e-12)
    if np.abs(covariance - covariance.T).max() > tolerance or values[0] < -tolerance:
        raise ConfigError("The covariance of the latents is none.")
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
