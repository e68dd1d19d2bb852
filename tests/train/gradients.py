"""Writes the first gradients of the tiny config: gradients.py FILE PARTS."""

import dataclasses
import sys

import jax
import numpy as np
import optax
from tiny_config import TINY

from train import data, parallel, step
from train import state as state_

config = dataclasses.replace(TINY, batch_size=16, accumulate=int(sys.argv[2]))
# Plain descent with rate 1: the change of the parameters is the gradient.
step.make_optimizers = lambda config: (optax.sgd(1.0), optax.sgd(1.0))
state_.make_optimizers = step.make_optimizers
state = parallel.replicate(state_.init_state(config))
before = jax.device_get((state.generator, state.discriminator))
dataset = data.open_dataset(config.data, "train", 8)
batches = data.index_batches(0, dataset.size, 16, parallel.share(16), 0, 1)
resident = parallel.replicate(dataset.resident)
update = parallel.parallelize(config)
state, _ = update(state, resident, parallel.shard(next(batches)))
after = jax.device_get((state.generator, state.discriminator))
change = jax.tree.map(lambda a, b: (a - b).ravel(), before, after)
np.save(sys.argv[1], np.concatenate(jax.tree.leaves(change)))
