"""Saves and restores states with Orbax: atomic, in the background, checked.

``workdir/checkpoints`` holds the newest states, ``workdir/best`` the one of the best
evaluation. A checkpoint is plain host arrays, so it fits any number of devices. Each
carries a hash of its numbers; one that cannot be read or whose hash differs is moved
to ``workdir/damaged`` and the one before is taken.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxanon.errors import JaxanonError
from train import parallel
from train.config import TrainConfig
from train.state import TrainState


class CheckpointError(JaxanonError):
    """Says that no checkpoint of a workdir can be used."""


class Checkpoints(NamedTuple):
    """The two managers of a workdir."""

    folder: Path
    newest: ocp.CheckpointManager
    best: ocp.CheckpointManager


def open_checkpoints(workdir: str | Path, config: TrainConfig) -> Checkpoints:
    """Opens the checkpoints of a workdir, or starts them."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    folder = Path(workdir).absolute()

    def manager(name: str, **options: Any) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            folder / name,
            options=ocp.CheckpointManagerOptions(
                create=True, enable_async_checkpointing=True, **options
            ),
        )

    return Checkpoints(
        folder,
        manager("checkpoints", max_to_keep=config.keep_checkpoints),
        manager(
            "best",
            max_to_keep=1,
            best_fn=lambda metrics: metrics[config.best_metric],
            best_mode="min",
        ),
    )


def save(
    checkpoints: Checkpoints, state: TrainState, metrics: dict[str, float] | None = None
) -> None:
    """Starts to save a state; with metrics, as a candidate for the best one."""
    tree = to_host(state)
    step = int(tree["step"])
    manager = checkpoints.newest if metrics is None else checkpoints.best
    if step in manager.all_steps():
        return
    arguments = ocp.args.Composite(
        state=ocp.args.StandardSave(tree),
        facts=ocp.args.JsonSave({"sha256": digest(tree)}),
    )
    manager.save(step, args=arguments, metrics=metrics)


def finish(checkpoints: Checkpoints) -> None:
    """Waits until everything is on disk."""
    for manager in (checkpoints.newest, checkpoints.best):
        manager.wait_until_finished()
        manager.close()


def restore(
    checkpoints: Checkpoints, state: TrainState, say: Callable[[str], None]
) -> TrainState | None:
    """Returns the newest state that is whole, or None where there is none at all.

    Args:
        checkpoints: Of the workdir.
        state: Of the same shapes.
        say: Is told of each checkpoint that cannot be used.

    Raises:
        CheckpointError: there are checkpoints, but none can be used.
    """
    steps = sorted(checkpoints.newest.all_steps(), reverse=True)
    for step in steps:
        try:
            return read(checkpoints.newest, step, state)
        except Exception as error:  # noqa: BLE001 Orbax raises many kinds.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            say(
                f"Checkpoint {step} is damaged ({reason[:200]}): trying the one before."
            )
            _set_aside(checkpoints, step)
    if steps:
        raise CheckpointError(
            f"None of the checkpoints {steps} in {checkpoints.folder} can be used; "
            "they are in its folder damaged. Start again in another workdir."
        )
    return None


def read(manager: ocp.CheckpointManager, step: int, state: TrainState) -> TrainState:
    """Reads one checkpoint and compares its hash."""
    shapes = jax.eval_shape(lambda: _plain(state))
    abstract = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), shapes)
    arguments = ocp.args.Composite(
        state=ocp.args.StandardRestore(abstract), facts=ocp.args.JsonRestore()
    )
    found = manager.restore(step, args=arguments)
    tree = jax.tree.map(np.asarray, found["state"])
    if digest(tree) != found["facts"]["sha256"]:
        raise CheckpointError("its numbers are not those that were saved")
    key = jax.random.wrap_key_data(tree.pop("key"))
    return TrainState(**tree, key=key)


def to_host(state: TrainState) -> dict[str, Any]:
    """Copies a state to plain NumPy arrays."""
    return jax.tree.map(np.asarray, jax.device_get(_plain(state)))


def digest(tree: Any) -> str:
    """Hashes the numbers of a tree."""
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()


def _plain(state: TrainState) -> dict[str, Any]:
    return state._asdict() | {"key": jax.random.key_data(state.key)}


def _set_aside(checkpoints: Checkpoints, step: int) -> None:
    if parallel.is_main():
        damaged = checkpoints.folder / "damaged"
        damaged.mkdir(exist_ok=True)
        target = damaged / str(step)
        while target.exists():
            target = target.with_name(f"{target.name}_again")
        (checkpoints.folder / "checkpoints" / str(step)).rename(target)
    parallel.agree(False)  # Nobody reads on before it is moved.
    checkpoints.newest.reload()
