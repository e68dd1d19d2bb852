"""The training loop: one function, to be read from top to bottom."""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxanon.errors import ConfigError, JaxanonError
from train import checkpoint, data, donors, export, parallel, validate
from train import config as config_
from train.config import TrainConfig
from train.data import Dataset
from train.log import Log
from train.state import init_state, with_dtype


class DivergedError(JaxanonError):
    """Says that a number is no longer finite."""


def train(config: TrainConfig, workdir: str | Path, *, minutes: float = 0.0) -> Path:
    """Trains until the config's number of images, SIGTERM, or the time is up.

    A workdir that holds checkpoints is resumed, bit for bit.

    Args:
        config: The run.
        workdir: For config, log, checkpoints and the exported weights.
        minutes: Ends the run early with checkpoint and export; 0 = no limit.

    Returns:
        The exported weights file.

    Raises:
        ConfigError: the config fits neither the devices nor the workdir.
        DivergedError: a loss or gradient is not finite.
    """
    # Devices and config.
    began = time.monotonic()
    workdir = Path(workdir)
    platform = jax.default_backend()
    config_.check(config, jax.device_count())
    run = with_dtype(config, platform)
    steps = config.steps_per_dispatch or (1 if platform == "cpu" else 16)
    total = -(-config.images // (steps * config.batch_size)) * steps
    if parallel.is_main():
        write_config(config, workdir)

    # Data and state.
    resolution = config.generator.resolution
    dataset = data.open_dataset(config.data, "train", resolution)
    held_out = data.open_dataset(config.data, "validation", resolution)
    validation = validate.make_validation(run, held_out)
    state = init_state(run)
    checkpoints = checkpoint.open_checkpoints(workdir, config)
    notes: list[str] = []
    restored = checkpoint.restore(checkpoints, state, notes.append)
    if restored is None and config.init_from:
        restored, taken = export.take_parameters(config.init_from, state)
        notes.append(f"Took {taken} from {config.init_from}.")
    state = parallel.replicate(state if restored is None else restored)
    step = int(state.step)
    images = step * config.batch_size
    log = Log(workdir, total * config.batch_size, images, main=parallel.is_main())
    for note in notes:
        log.say(note)
    log.say(
        f"{config.name}: {dataset.size} faces, {jax.device_count()} x {platform}, "
        f"{run.generator.dtype}; "
        + (f"resumed at {images} images." if step else "new.")
    )

    # The step.
    update = parallel.parallelize(run)
    resident = parallel.replicate(dataset.resident) if dataset.resident else None
    batches = feed(config, dataset, step, steps)
    due = Due(config.batch_size * step, time.monotonic())
    metrics: dict[str, list[Any]] = {}
    window = step

    # Between processes pmap itself sends the state through the host.
    guard = "disallow" if jax.process_count() == 1 else "allow"
    stopped = False
    with stop_on_signals() as stop_asked:
        while step < total and not stopped:
            with jax.transfer_guard(guard):
                items = jax.device_put(next(batches), parallel.by_device())
                state, new = update(state, resident, items)
            step += steps
            images = step * config.batch_size
            for name, value in new.items():
                metrics.setdefault(name, []).append(value)
            ended = step >= total
            late = bool(minutes) and time.monotonic() - began > 60 * minutes
            stopped = parallel.agree(stop_asked() or late)
            last = ended or stopped

            if due("log", images, config.log_images) or last:
                values = read_metrics(metrics, window, step)
                metrics, window = {}, step
                log.advance(images)
                log.scalars(images, values)
            checking = due("checkpoint", images, config.checkpoint_images)
            sampling = due("sample", images, config.sample_images)
            evaluating = due("evaluate", images, config.evaluate_images)
            if not (checking or sampling or evaluating or last):
                continue
            if metrics:  # Nothing that is not finite may be saved.
                read_metrics(metrics, window, step)
            if checking or last:
                checkpoint.save(checkpoints, state)
            if (sampling or last) and parallel.is_main():
                log.grid(images, validate.draw_grid(validation, state))
            if evaluating or last:
                scores = validate.evaluate(validation, state)
                log.scalars(images, scores)
                checkpoint.save(checkpoints, state, scores)

    if stopped:
        log.say(f"Stopped at {images} images; the same command goes on from here.")
    checkpoint.finish(checkpoints)
    path = workdir / "weights.safetensors"
    if parallel.is_main():
        export.write(path, config, state, dataset, workdir)
        log.say(f"Weights: {path}. Report: {workdir / 'report.html'}.")
    log.close()
    return path


class Due:
    """Says when it is time for something that happens every so many images."""

    def __init__(self, images: int, now: float):
        self.start, self.now = images, now
        self.last: dict[str, int] = {}

    def __call__(self, name: str, images: int, every: int) -> bool:
        """Returns True once for every multiple of ``every`` that was passed."""
        count = images // every if every else 0
        before = self.last.get(name, self.start // every if every else 0)
        self.last[name] = count
        return count > before


def feed(config: TrainConfig, dataset: Dataset, step: int, steps: int) -> Iterator[Any]:
    """Yields what ``parallelize`` takes as items, from a step on, for ever."""
    share = parallel.share(config.batch_size)
    if dataset.resident is not None:
        batches: Iterator[Any] = data.index_batches(
            config.seed, dataset.size, config.batch_size, share, step, steps
        )
    else:
        batches = data.stream_batches(
            dataset,
            seed=config.seed,
            batch_size=config.batch_size,
            share=share,
            first_step=step,
            steps=steps,
            threads=config.data.threads,
        )
    if config_.paints_donors(config):
        batches = with_donors(config, dataset, batches, step, steps)
    return map(parallel.shard, batches)


def with_donors(
    config: TrainConfig,
    dataset: Dataset,
    batches: Iterator[np.ndarray],
    step: int,
    steps: int,
) -> Iterator[np.ndarray]:
    """Adds each face's donor to batches of indices: ``[t b]`` -> ``[t b 2]``."""
    assert dataset.resident is not None  # See config.check.
    partners = donors.Partners(dataset.resident, dataset.people, config.donors)
    every = config_.stride(config)
    for index in batches:
        drawn = []
        for number, faces in enumerate(index, start=step):
            generator = np.random.default_rng([config.seed, 1, number])
            drawn.append(partners.draw(generator, faces, every))
        yield np.stack([index, np.stack(drawn)], -1)
        step += steps


def read_metrics(
    metrics: dict[str, list[Any]], first: int, last: int
) -> dict[str, float]:
    """Fetches the means of a window of steps.

    Raises:
        DivergedError: one is not finite; the message names the window.
    """
    values = {
        name: float(np.mean(jax.device_get(found))) for name, found in metrics.items()
    }
    wrong = [name for name, value in values.items() if not np.isfinite(value)]
    if wrong:
        raise DivergedError(
            f"{', '.join(wrong)} not finite between steps {first} and {last}. Resume "
            "from the last checkpoint with a smaller learning rate or "
            "generator_optimizer.clip_norm set."
        )
    return values


def write_config(config: TrainConfig, workdir: Path) -> None:
    """Writes the config, or checks that the networks are those of the workdir.

    Raises:
        ConfigError: the workdir belongs to other networks.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    new = config_.as_dict(config)
    if path.is_file() and (workdir / "checkpoints").is_dir():
        old = json.loads(path.read_text())
        fixed = ("generator", "discriminator", "encoder", "posterior")
        differing = [name for name in fixed if old.get(name) != new[name]]
        if differing:
            raise ConfigError(
                f"{workdir} holds a run with another {', '.join(differing)}: take "
                "another workdir, or this one with init_from."
            )
    path.write_text(json.dumps(new, indent=1) + "\n")


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Turns SIGTERM and Ctrl-C into a question that the loop asks."""
    asked: list[int] = []
    old = {}
    with contextlib.suppress(ValueError):  # Not in the main thread: no signals.
        for number in (signal.SIGTERM, signal.SIGINT):
            old[number] = signal.signal(number, lambda n, _: asked.append(n))
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
