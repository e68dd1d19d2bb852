import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxanon.weights
from train import checkpoint, loop
from train.checkpoint import CheckpointError
from train.state import TrainState

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore")  # Orbax and its like warn.


def run_script(name, *arguments, devices=1, wait=True):
    flags = f"--xla_force_host_platform_device_count={devices}"
    flags += " --xla_backend_optimization_level=0"
    flags += " --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, *map(str, name), *map(str, arguments)]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if not wait:
        return process
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def test_checkpoint_round_trip_falls_back_when_damaged(tiny, tmp_path):
    params = {"kernel": jnp.arange(300.0)}
    first = TrainState(jnp.int32(0), *[params] * 5, jax.random.key(0))
    second = first._replace(step=first.step + 1)
    files = checkpoint.open_checkpoints(tmp_path, tiny)
    checkpoint.save(files, first)
    checkpoint.save(files, second)
    checkpoint.finish(files)
    files = checkpoint.open_checkpoints(tmp_path, tiny)
    back = checkpoint.restore(files, first, pytest.fail)
    assert checkpoint.digest(checkpoint.to_host(back)) == checkpoint.digest(
        checkpoint.to_host(second)
    )

    for file in (tmp_path / "checkpoints" / "1").rglob("*"):
        if file.is_file() and "/d/" in str(file):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    said = []
    files = checkpoint.open_checkpoints(tmp_path, tiny)
    back = checkpoint.restore(files, first, said.append)
    assert int(back.step) == 0 and "Checkpoint 1 is damaged" in said[0]
    assert (tmp_path / "damaged" / "1").is_dir()

    for file in (tmp_path / "checkpoints" / "0").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    files = checkpoint.open_checkpoints(tmp_path, tiny)
    with pytest.raises(CheckpointError, match="None of the checkpoints"):
        checkpoint.restore(files, first, said.append)


def test_metrics_that_are_not_finite_name_the_window():
    bad = {"generator_loss": [1.0, float("nan")]}
    with pytest.raises(loop.DivergedError, match="generator_loss.*32 and 48"):
        loop.read_metrics(bad, 32, 48)


@pytest.mark.slow
def test_eight_devices_and_parts_make_the_gradients_of_one(tmp_path):
    for devices, parts in ((1, 1), (1, 2), (8, 1)):
        run_script(
            [HERE / "gradients.py"],
            tmp_path / f"{devices}-{parts}.npy",
            parts,
            devices=devices,
        )
    one, split, eight = (np.load(tmp_path / f"{n}.npy") for n in ("1-1", "1-2", "8-1"))
    assert np.abs(one).max() > 1e-3
    # Sums in another order.
    np.testing.assert_allclose(eight, one, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(split, one, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_killed_run_resumes_bit_for_bit_and_exports(tmp_path):
    train = [HERE / "run_tiny.py"]
    run_script(train, tmp_path / "whole", 16)
    process = run_script(train, tmp_path / "cut", 4000000, wait=False)
    newest = tmp_path / "cut" / "checkpoints"
    for _ in range(600):
        if newest.is_dir() and any(p.name.isdigit() for p in newest.iterdir()):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "Stopped at" in output, output
    stopped = max(int(p.name) for p in newest.iterdir() if p.name.isdigit())
    run_script(train, tmp_path / "cut", 4 * (stopped + 3))
    run_script(train, tmp_path / "straight", 4 * (stopped + 3))
    ours = jaxanon.weights.load(tmp_path / "cut" / "weights.safetensors")
    theirs = jaxanon.weights.load(tmp_path / "straight" / "weights.safetensors")
    jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)
    assert ours.provenance["images_seen"] == 4 * (stopped + 3)
    assert ours.provenance["data"]["licences"] == {"drawn": 16}
    assert (tmp_path / "cut" / "report.html").is_file()


@pytest.mark.slow
def test_a_run_of_limited_time_ends_in_a_checkpoint_and_an_export(tmp_path):
    output = run_script([HERE / "run_tiny.py"], tmp_path, 4000000, "--minutes", 0.02)
    assert "Stopped at" in output and "Weights: " in output
    steps = [int(p.name) for p in (tmp_path / "checkpoints").iterdir()]
    seen = jaxanon.weights.load(tmp_path / "weights.safetensors").provenance
    assert seen["updates"] == max(steps) > 0


@pytest.mark.slow
def test_two_processes_train_save_and_restore_together(tmp_path):
    import socket

    for images in (8, 16):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        pair = [
            run_script(
                [HERE / "run_tiny.py"], tmp_path / "two", images, address, i, wait=False
            )
            for i in (0, 1)
        ]
        outputs = [process.communicate(timeout=300)[0] for process in pair]
        assert [p.returncode for p in pair] == [0, 0], outputs
    assert "resumed at 8 images" in outputs[0]
    run_script([HERE / "run_tiny.py"], tmp_path / "one", 16)
    two = jaxanon.weights.load(tmp_path / "two" / "weights.safetensors")
    one = jaxanon.weights.load(tmp_path / "one" / "weights.safetensors")
    assert two.provenance["images_seen"] == 16
    for ours, theirs in zip(
        *map(jax.tree.leaves, (two.params, one.params)), strict=True
    ):
        # Four Adam steps at 2e-4, and Adam turns rounding into steps of any size.
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
