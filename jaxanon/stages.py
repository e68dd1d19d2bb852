"""Stages that run beside each other, each a few items ahead of the next."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

AHEAD = 4
"""Items that wait between two stages."""

_END = object()


class Line:
    """Runs iterators in threads of their own; leaving the block stops them all.

    What one raises, its reader raises. The items are the same and in the same order.
    """

    def __init__(self):
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def ahead(self, items: Iterable[Any], size: int = AHEAD) -> Iterator[Any]:
        """Computes items in a thread, at most ``size`` ahead of the reader."""
        waiting: queue.Queue[Any] = queue.Queue(size)
        self._start(items, lambda item: self._put(waiting, item))
        return self._take(waiting)

    def latest(self, items: Iterable[Any]) -> Iterator[Any]:
        """Hands out the newest item and leaves out those that came too fast."""
        waiting: queue.Queue[Any] = queue.Queue(1)

        def replace(item: Any) -> bool:
            with contextlib.suppress(queue.Empty):
                if item is not _END and not isinstance(item, _Failure):
                    waiting.get_nowait()
            return self._put(waiting, item)

        self._start(items, replace)
        return self._take(waiting)

    def _start(self, items: Iterable[Any], put) -> None:
        def work() -> None:
            try:
                for item in items:
                    if not put(item):
                        return
                put(_END)
            except BaseException as error:
                put(_Failure(error))
            finally:
                # Frees what the stage holds, in the thread that has used it.
                close = getattr(items, "close", None)
                if close is not None:
                    close()

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _put(self, waiting: queue.Queue[Any], item: Any) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return True
        return False

    def _take(self, waiting: queue.Queue[Any]) -> Iterator[Any]:
        while not self._stopped.is_set():
            try:
                item = waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is _END:
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item


class _Failure:
    def __init__(self, error: BaseException):
        self.error = error
