"""The command `jaxanon`: arguments in, an exit status out.

Nothing heavy is imported before it is needed: help, usage errors and `info` are quick.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from jaxanon import arguments, commands, console
from jaxanon.errors import ConfigError, JaxanonError, is_lack_of_memory

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, 1, 2 or 130."""
    args = None
    try:
        with contextlib.suppress(ValueError):  # Not in the main thread: not ours.
            signal.signal(signal.SIGTERM, _interrupt)
        args = arguments.parser(commands.BY_NAME).parse_args(argv)
        return args.run(args)
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a usage error.
        return int(stop.code or 0)
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
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        console.complain(f"there is not enough memory ({error!r}).")
        return FAILED


def script() -> NoReturn:
    """Runs the command line as a process of its own.

    Nothing is open any more when `main` returns; taking JAX down in order would cost
    a third of a second, so the process ends at once.
    """
    sys.unraisablehook, threading.excepthook = _heed_interrupt, _tell_of_thread
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        status = main()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt:  # While nothing is open: there is nothing to be told.
        status = INTERRUPTED
    except OSError:  # Whoever read our output has gone.
        status = FAILED
    os._exit(status)


def _interrupt(number: int, frame) -> None:
    """Raises KeyboardInterrupt, but never into an import: native code loses it there.

    A signal handler; what is imported is finished first.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _interrupt_later(number)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _heed_interrupt(lost) -> None:
    """Interrupts again where a library's callback or clean-up lost an interrupt."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        _interrupt_later(signal.SIGTERM)
    else:
        sys.__unraisablehook__(lost)


def _tell_of_thread(failed) -> None:
    """Leaves lack of memory to the main thread, which comes upon it too."""
    if not is_lack_of_memory(failed.exc_value):
        threading.__excepthook__(failed)


def _interrupt_later(number: int) -> None:
    def again() -> None:
        time.sleep(0.02)
        _thread.interrupt_main(signal.Signals(number))

    _thread.start_new_thread(again, ())
