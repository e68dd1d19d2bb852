"""Which files are meant, and where each one's result goes."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxanon.errors import ConfigError
from jaxanon.media import kind


class Job(NamedTuple):
    """One file to be done."""

    source: Path
    target: Path | None
    """Where the result goes; None where nothing is written beside it."""
    kind: str
    """ "picture" or "video"."""
    note: str = ""
    """What is otherwise than asked for."""


class Problem(NamedTuple):
    """A file that is not done, and why."""

    source: Path
    reason: str


class Plan(NamedTuple):
    """What is to be done with everything that was named."""

    jobs: list[Job]
    skipped: list[Problem]
    """Not media, found in a folder: left alone without harm."""
    failed: list[Problem]
    """Cannot be done: makes the exit status 1."""


class _Found(NamedTuple):
    source: Path
    relative: Path
    """Below the folder or glob it was found by; the bare name of a named file."""
    is_named: bool
    problem: str = ""
    is_failure: bool = False


def plan(
    inputs: Sequence[str], out: str | None = None, *, overwrite: bool = False
) -> Plan:
    """Lists the files behind files, folders and globs, with their targets.

    A single file goes to the file or into the folder `out`; everything else goes into
    the folder `out`, folders with their tree. `out` itself is never read as input.

    Raises:
        ConfigError: An input names nothing, `out` is a file where a folder is due, or
            an output is an input or that of two inputs.
    """
    out_path = None if out is None else Path(out)
    found = _once(each for text in inputs for each in _find(text, out_path))
    if out_path is None:
        return _sort([(each, None) for each in found])
    is_single = len(found) == 1 and found[0].is_named
    if is_single and not (out_path.is_dir() or str(out).endswith(("/", os.sep))):
        return _checked(_sort([(found[0], out_path)]), overwrite)
    if out_path.exists() and not out_path.is_dir():
        raise ConfigError(f"-o {out} is a file; several inputs need a folder.")
    pairs = [(each, out_path / each.relative) for each in found]
    return _checked(_sort(pairs), overwrite)


def _once(found: Iterable[_Found]) -> list[_Found]:
    """Leaves out what was found before with the same place below `out`."""
    seen: dict[tuple[str, Path], _Found] = {}
    for each in found:
        seen.setdefault((os.path.abspath(each.source), each.relative), each)
    return list(seen.values())


def _find(text: str, out: Path | None) -> Iterator[_Found]:
    path = Path(text)
    if path.is_dir():
        yield from _walk(path, path, out, ())
    elif os.path.lexists(path):
        yield _Found(path, Path(path.name), True)
    elif glob.has_magic(text):
        matches = sorted(glob.glob(text, recursive=True))
        if not matches:
            raise ConfigError(f"{text}: no file matches.")
        fixed = _fixed_part(text)
        for match in map(Path, matches):
            if not match.is_dir():
                yield _Found(match, match.relative_to(fixed), False)
    else:
        yield _Found(path, Path(path.name), True, "does not exist.", True)


def _fixed_part(pattern: str) -> Path:
    """Gives the folders of a glob before its first wildcard."""
    parts = Path(pattern).parts[:-1]
    count = next((i for i, p in enumerate(parts) if glob.has_magic(p)), len(parts))
    return Path(*parts[:count])


def _walk(
    folder: Path, root: Path, out: Path | None, above: tuple[tuple[int, int], ...]
) -> Iterator[_Found]:
    """Lists a folder's files in the order of their names, following links once."""
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir())
    except OSError as error:
        reason = f"cannot be listed ({error.strerror})."
        yield _Found(folder, folder.relative_to(root), False, reason, True)
        return
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        reason = "links back to a folder above it."
        yield _Found(folder, folder.relative_to(root), False, reason)
        return
    for entry in entries:
        if entry.is_dir():
            if out is None or not _is_same(entry, out):
                yield from _walk(entry, root, out, (*above, identity))
        else:
            yield _Found(entry, entry.relative_to(root), False)


def _sort(pairs: Sequence[tuple[_Found, Path | None]]) -> Plan:
    """Tells media from the rest."""
    result = Plan([], [], [])
    for found, target in pairs:
        if found.problem:
            into = result.failed if found.is_failure else result.skipped
            into.append(Problem(found.source, found.problem))
            continue
        try:
            if not found.source.is_file():
                raise OSError(0, "not a regular file, or a link to nothing")
            what = kind.of(found.source)
        except OSError as error:
            reason = f"cannot be read ({error.strerror})."
            result.failed.append(Problem(found.source, reason))
            continue
        if what != "other":
            result.jobs.append(Job(found.source, target, what))
        elif found.is_named:
            reason = "is neither a picture nor a video."
            if found.source.stat().st_size == 0:
                reason = "is empty."
            result.failed.append(Problem(found.source, reason))
        else:
            reason = "is neither a picture nor a video."
            result.skipped.append(Problem(found.source, reason))
    return result


def check_output(
    path: str | os.PathLike[str] | None,
    option: str,
    *,
    overwrite: bool,
    inputs: Iterable[str | os.PathLike[str]] = (),
    outputs: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Checks that one may write a file, before any work is done.

    Args:
        path: The file; None = none is written.
        option: What named it, for messages.
        overwrite: Whether a file that exists may be replaced, unless it is an input.
        inputs: What is read.
        outputs: What else is written.

    Raises:
        ConfigError: The file exists or is one of the others.
    """
    if path is None:
        return
    for other in inputs:
        if _are_same(path, other):
            raise ConfigError(f"{option} {path} is an input; it stays as it is.")
    place = Path(os.path.realpath(path))
    for other in outputs:
        there = Path(os.path.realpath(other))
        if place == there or place in there.parents or there in place.parents:
            raise ConfigError(f"{option} {path} is in the way of the output {other}.")
    if reason := reason_not_to_write(path, overwrite=overwrite):
        raise ConfigError(f"{option} {reason}")


def reason_not_to_write(path: str | os.PathLike[str], *, overwrite: bool) -> str:
    """Says why a file must not be written; "" where it may."""
    if os.path.isdir(path):
        return f"{path} is a folder."
    if os.path.exists(path) and not os.path.isfile(path):
        return f"{path} is no regular file."
    if os.path.lexists(path) and not overwrite:
        return f"{path} exists; --overwrite replaces it."
    return ""


def _are_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:  # One of them is not there.
        return False


def _with_writable_name(job: Job) -> Job:
    """Gives a video of a kind that is read and not written the suffix .mp4."""
    from jaxanon.media import codecs, video

    assert job.target is not None
    suffix = job.target.suffix.lower()
    if job.kind != "video" or suffix in codecs.CONTAINERS:
        return job
    if suffix not in video.SUFFIXES:
        return job  # Refused by the encoder, which says what there is.
    other = job.target.with_suffix(".mp4")
    note = f"{suffix} cannot be written; the result is {other.name}."
    return job._replace(target=other, note=note)


def _checked(planned: Plan, overwrite: bool) -> Plan:
    """Refuses what would overwrite an input, another result or, unasked, any file.

    Raises:
        ConfigError: An output is an input, or that of two inputs.
    """
    planned = planned._replace(jobs=[_with_writable_name(job) for job in planned.jobs])
    firsts: dict[str, Path] = {}
    seen = (*planned.jobs, *planned.skipped, *planned.failed)
    sources = {os.path.realpath(each.source) for each in seen}
    jobs, failed = [], list(planned.failed)
    for job in planned.jobs:
        assert job.target is not None
        place = os.path.realpath(job.target)
        is_itself = place == os.path.realpath(job.source) or (
            job.target.exists() and job.target.samefile(job.source)
        )
        first = firsts.setdefault(place, job.source)
        if first is not job.source:
            raise ConfigError(
                f"{first} and {job.source} have the same output {job.target}."
            )
        if is_itself and not overwrite:
            raise ConfigError(
                f"{job.source}: output would overwrite the input; --overwrite allows "
                "it."
            )
        if place in sources and not is_itself:
            raise ConfigError(f"{job.source}: output {job.target} is another input.")
        if why := reason_not_to_write(job.target, overwrite=overwrite):
            failed.append(Problem(job.source, f"output {why}"))
        else:
            jobs.append(job)
    return Plan(jobs, planned.skipped, failed)


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)
