"""The command `jaxanon`: arguments in, an exit status out.

Nothing heavy is imported before it is needed: help, usage errors and `info` are quick.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from jaxanon import arguments, commands, console
from jaxanon.errors import ConfigError, JaxanonError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, 1, 2 or 130."""
    try:
        args = arguments.parser(commands.BY_NAME).parse_args(argv)
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a usage error.
        return int(stop.code or 0)
    with contextlib.suppress(ValueError):  # Not in the main thread: not ours to set.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        console.complain("interrupted; finished files stay, nothing is half-written.")
        if getattr(args, "resume", False):
            console.complain("the same command goes on where it was.")
        return INTERRUPTED
    except ConfigError as error:
        console.complain(str(error))
        return USAGE
    except JaxanonError as error:
        console.complain(str(error))
        return FAILED
    except BrokenPipeError:  # Whoever read our output has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def script() -> NoReturn:
    """Runs the command line as a process of its own.

    Nothing is open any more when `main` returns; taking JAX down in order would cost
    a third of a second, so the process ends at once.
    """
    status = main()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Whoever read our output has gone.
        status = FAILED
    os._exit(status)
