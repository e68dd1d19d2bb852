"""What benchmarks share: how a measurement varied, and under what it was taken."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax


def spread(values: Sequence[float], *, digits: int = 3) -> list[float]:
    """Returns lowest, median and highest."""
    return [round(f(values), digits) for f in (min, statistics.median, max)]


def circumstances() -> dict[str, Any]:
    """Says on what a measurement was taken, of which commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return {
        "device": jax.devices()[0].device_kind,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "commit": commit.stdout.strip(),
    }
