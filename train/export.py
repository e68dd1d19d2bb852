"""Turns a run into the weights file that ``jaxanon`` loads: ``python -m train.export``.

The file holds the EMA of the generator, its latent fitted to the training faces, its
config and, as provenance, the facts of a model card: data, licences, images seen,
config and metrics.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxanon import weights
from jaxanon.errors import ConfigError, JaxanonError
from train import config as config_
from train import data, latent
from train.config import TrainConfig
from train.data import Dataset
from train.latent import fold_latent as fold_latent
from train.log import read_metrics
from train.state import TrainState, init_state, with_dtype


def write(
    path: Path,
    config: TrainConfig,
    state: TrainState,
    dataset: Dataset,
    workdir: Path,
    *,
    dtype: str = "float16",
) -> str:
    """Writes the weights file of a state and returns its hash.

    Where all latents were posteriors, the file's generator draws from their sum; see
    ``train.latent``.
    """
    params = jax.device_get(state.generator_ema)
    provenance = facts(config, int(state.step), dataset, workdir)
    if config_.draws_posterior(config):  # Else the generator has seen N(0, I) itself.
        params, count = latent.fit_and_fold(config, state, params, dataset)
        spread = config.latent_spread
        provenance["latent"] = {"fitted_on_faces": count, "spread": spread}
    return weights.save(
        path,
        config.generator.kind,
        config.generator,
        params,
        provenance,
        dtype=dtype,
    )


def facts(
    config: TrainConfig, step: int, dataset: Dataset, workdir: Path
) -> dict[str, Any]:
    """Collects what a model card says."""
    metrics: dict[str, float] = {}
    for line in read_metrics(workdir):
        metrics |= line
    evaluation = workdir / "evaluation.json"
    return {
        "experiment": config.name,
        "config_hash": config_.digest(config),
        "images_seen": step * config.batch_size,
        "updates": step,
        "objective": json.loads(json.dumps(config.objective)),
        "data": {
            "name": Path(config.data.path).name,
            "faces": dataset.size,
            "licences": dataset.licences,
        },
        "metrics": {k: v for k, v in metrics.items() if k not in ("time", "images")},
        "evaluation": (
            json.loads(evaluation.read_text()) if evaluation.is_file() else None
        ),
    }


def read_config(workdir: Path) -> TrainConfig:
    """Reads the config that a run wrote into its workdir.

    Raises:
        ConfigError: there is none.
    """
    path = workdir / "config.json"
    if not path.is_file():
        raise ConfigError(f"{workdir} is not the workdir of a run: no config.json.")
    return config_.from_dict(TrainConfig(), json.loads(path.read_text()))


def read_state(workdir: Path, *, best: bool = False) -> tuple[TrainConfig, TrainState]:
    """Reads the newest or the best state of a run.

    Raises:
        ConfigError: there is none.
    """
    from train import checkpoint

    config = read_config(workdir)
    checkpoints = checkpoint.open_checkpoints(workdir, config)
    manager = checkpoints.best if best else checkpoints.newest
    step = manager.best_step() if best else manager.latest_step()
    if step is None:
        raise ConfigError(f"{workdir} has no checkpoint yet.")
    state = init_state(with_dtype(config, jax.default_backend()))
    return config, checkpoint.read(manager, step, state)


def take_parameters(source: str, state: TrainState) -> tuple[TrainState, str]:
    """Takes the parameters of equal name and shape from a weights file or a workdir.

    Returns:
        The state and how many parameters were taken, in words.

    Raises:
        ConfigError: nothing fits.
    """
    if Path(source).is_dir():
        _, old = read_state(Path(source))
        trees = {
            name: weights.flatten(getattr(old, name))
            for name in ("generator", "generator_ema", "discriminator")
        }
    else:
        params = weights.flatten(weights.load(source).params)
        trees = {
            "generator": {f"generator/{name}": leaf for name, leaf in params.items()},
            "generator_ema": params,
        }
    taken = total = 0
    new = {}
    for name, old_leaves in trees.items():
        leaves = weights.flatten(getattr(state, name))
        total += len(leaves)
        for path, leaf in leaves.items():
            found = old_leaves.get(path)
            if found is not None and found.shape == leaf.shape:
                leaves[path], taken = np.asarray(found, np.float32), taken + 1
        new[name] = weights.unflatten(leaves)
    if not taken:
        raise ConfigError(f"No parameter of {source} (init_from) fits this config.")
    return state._replace(**new), f"{taken} of {total} parameters"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.export", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--best", action="store_true", help="the best checkpoint")
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    arguments = parser.parse_args(argv)
    try:
        config, state = read_state(arguments.workdir, best=arguments.best)
        dataset = data.open_dataset(config.data, "train", config.generator.resolution)
        sha256 = write(
            arguments.output,
            config,
            state,
            dataset,
            arguments.workdir,
            dtype=arguments.dtype,
        )
    except JaxanonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    size = arguments.output.stat().st_size / 1e6
    sys.stderr.write(f"{arguments.output}: {size:.1f} MB, sha256 {sha256}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
