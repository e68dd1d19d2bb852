"""What a command tells: errors, progress, a line or JSON object per file, a summary."""

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxanon.errors import JaxanonError, is_lack_of_memory
from jaxanon.inputs import Job, Plan

Advance = Callable[..., None]
"""Called as advance(count=1, total=None) while a long file is done."""


def complain(message: str) -> None:
    """Writes an error or warning on standard error."""
    _write(f"jaxanon: {message}")


class Console:
    """Collects what became of each file and tells it as asked for."""

    def __init__(self, *, quiet: bool = False, json_lines: bool = False):
        self.is_json = json_lines
        self.is_chatty = not (quiet or json_lines)
        self.done: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []
        self.skipped: list[dict[str, str]] = []
        self.start = time.perf_counter()

    def tell(self, message: str) -> None:
        """Writes what one may like to know."""
        if self.is_chatty:
            _write(message)

    def emit(self, record: dict[str, Any]) -> None:
        """Prints a JSON line where those are asked for."""
        if self.is_json:
            print(json.dumps(record), flush=True)

    def each(self, planned: Plan, do: Callable[[Job, Advance], dict[str, Any]]) -> None:
        """Does every file of a plan; one that fails is told and stops no other."""
        for problem in planned.failed:
            self._fail(problem.source, problem.reason)
        for problem in planned.skipped:
            self._skip(problem.source, problem.reason)
        with self._progress(len(planned.jobs) > 1, "file", len(planned.jobs)) as files:
            for job in planned.jobs:
                self._do(job, do)
                files()

    def _do(self, job: Job, do: Callable[[Job, Advance], dict[str, Any]]) -> None:
        try:
            with self._progress(job.kind == "video", "frame", None) as advance:
                report = do(job, advance)
        except JaxanonError as error:
            self._fail(job.source, str(error))
        except Exception as error:
            if is_lack_of_memory(error):
                self._fail(job.source, f"does not fit into memory ({error!r}).")
                return
            traceback.print_exc()  # A bug: shown whole, but no end to the others.
            self._fail(job.source, f"{type(error).__name__}: {error}")
        else:
            self.finish_file(report)

    def finish_file(self, report: dict[str, Any]) -> None:
        """Tells of a finished file, and above all of what went otherwise than asked."""
        self.done.append(report)
        self.emit({"status": "done", **report})
        name = report["input"]
        for note in report.get("notes", []):
            self.tell(f"{name}: {note}")
        if not report.get("faces", report.get("faces_in_frames", True)):
            self.tell(f"{name}: no face found.")
        for face in report.get("faces", []):
            if isinstance(face, dict) and face.get("fallback"):
                box = [round(edge) for edge in face["box"]]
                complain(f"{name}: face at {box} is {face['mode']}: {face['why']}")

    def finish(self) -> int:
        """Tells the summary and gives the exit status."""
        summary = {
            "files": len(self.done),
            "faces": sum(map(count_faces, self.done)),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
            "seconds": round(time.perf_counter() - self.start, 2),
        }
        self.emit({"status": "summary", **summary})
        self.tell(
            f"{summary['files']} file(s) done, {summary['faces']} face(s), "
            f"{summary['failed']} failed, {summary['skipped']} skipped, "
            f"{summary['seconds']:.1f} s"
        )
        if not self.done and not self.failed:
            complain("nothing to do: no picture or video among the inputs.")
            return 1
        return 1 if self.failed else 0

    def _fail(self, source: Path, reason: str) -> None:
        reason = reason.removeprefix(f"{source}: ")
        complain(f"{source}: {reason}")
        self.failed.append({"input": str(source), "error": reason})
        self.emit({"status": "failed", **self.failed[-1]})

    def _skip(self, source: Path, reason: str) -> None:
        self.skipped.append({"input": str(source), "reason": reason})
        self.tell(f"{source}: skipped, {reason}")
        self.emit({"status": "skipped", **self.skipped[-1]})

    @contextlib.contextmanager
    def _progress(
        self, is_long: bool, unit: str, total: int | None
    ) -> Iterator[Advance]:
        """Shows a bar where somebody watches something long; yields `advance`."""
        if not (is_long and self.is_chatty and sys.stderr.isatty()):
            yield lambda count=1, total=None: None
            return
        from tqdm import tqdm

        with tqdm(total=total, unit=unit, leave=False, dynamic_ncols=True) as bar:

            def advance(count: int = 1, total: int | None = None) -> None:
                if total is not None:
                    bar.total = total
                bar.update(count)

            yield advance


def count_faces(report: dict[str, Any]) -> int:
    """Counts the faces of a picture or of all frames, or the tracks of a video."""
    if "faces_in_frames" in report:
        return report["faces_in_frames"]
    return len(report.get("faces", report.get("tracks", [])))


def _write(message: str) -> None:
    if "tqdm" in sys.modules:  # Above the bar, not through it.
        sys.modules["tqdm"].tqdm.write(message, file=sys.stderr)
    else:
        print(message, file=sys.stderr, flush=True)
