"""``python -m train --config configs/smoke.py --workdir runs/smoke``."""

import argparse
import os
import sys
from pathlib import Path

import jax

from jaxanon.errors import JaxanonError


def main(argv: list[str] | None = None) -> int:
    """Parses the flags and trains."""
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description="Trains a generator. The same command resumes a stopped run.",
    )
    parser.add_argument("--config", required=True, help="a file of configs/")
    parser.add_argument("--workdir", required=True, help="for everything it writes")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="A.B=C",
        action="extend",
        help="overrides fields of the config",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="ends the run after this time with a checkpoint and an export",
    )
    parser.add_argument("--coordinator", default="", help="HOST:PORT of process 0")
    parser.add_argument("--num-processes", type=int, default=1)
    parser.add_argument("--process-id", type=int, default=0)
    arguments = parser.parse_args(argv)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    if not jax.config.values.get("jax_compilation_cache_dir"):
        jax.config.update("jax_compilation_cache_dir", str(cache / "jaxanon" / "xla"))
    from train import config, loop, parallel

    try:
        run = config.load(arguments.config, arguments.set)
        parallel.start(
            arguments.coordinator, arguments.num_processes, arguments.process_id
        )
        loop.train(run, arguments.workdir, minutes=arguments.minutes)
    except JaxanonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
