"""The only file that says pmap: one step on all devices of all processes.

The state is not stacked: every device gets the same one and gives the same one back,
so checkpoints, export and evaluation see plain trees.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxanon.errors import ConfigError
from train.config import TrainConfig
from train.step import make_many, make_step

AXIS = "devices"


def start(coordinator: str, processes: int, process: int) -> None:
    """Joins the processes of a run; does nothing where there is one.

    Raises:
        ConfigError: some of the three are missing.
    """
    if processes <= 1 and not coordinator:
        return
    if not coordinator or not 0 <= process < processes:
        raise ConfigError(
            f"Several processes need --coordinator HOST:PORT and --process-id from 0 "
            f"to {processes - 1}; got {coordinator!r} and {process}."
        )
    jax.distributed.initialize(coordinator, processes, process)


def parallelize(config: TrainConfig) -> Callable:
    """Makes ``many(state, resident, items)`` of ``step.make_many`` for all devices.

    ``items`` have the local devices as first axis; see ``shard``. The state is donated.
    """
    many = make_many(make_step(config, axis=AXIS))
    return jax.pmap(
        many,
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=None,  # type: ignore[arg-type]
        donate_argnums=0,
    )


def replicate(tree: Any) -> Any:
    """Puts one copy of a tree on every device, as ``parallelize`` gives it back."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, everywhere)

    def spread(leaf: Any) -> jax.Array:  # device_put only knows this process's.
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(spread(jax.random.key_data(leaf)))
        value = np.asarray(leaf)
        return jax.make_array_from_callback(
            value.shape, everywhere, lambda index: value[index]
        )

    return jax.tree.map(spread, tree)


def shard(items: Any) -> Any:
    """Splits ``[t b ...]`` into ``[devices t b/devices ...]`` for the local devices."""
    devices = jax.local_device_count()

    def split(x: np.ndarray) -> np.ndarray:
        x = x.reshape(x.shape[0], devices, -1, *x.shape[2:])
        return np.ascontiguousarray(np.moveaxis(x, 1, 0))

    return jax.tree.map(split, items)


def by_device() -> jax.sharding.Sharding:
    """Returns where ``shard``'s items lie: the first axis over the local devices."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))


def share(batch_size: int) -> slice:
    """Returns which part of every batch this process feeds."""
    local = batch_size // jax.process_count()
    return slice(jax.process_index() * local, (jax.process_index() + 1) * local)


def agree(flag: bool) -> bool:
    """Says whether the flag is up in any process; all must ask."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def is_main() -> bool:
    """Says whether this process writes what all share."""
    return jax.process_index() == 0
