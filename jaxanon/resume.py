"""Work on a long video in parts, so that an interrupted run can go on where it was.

A hidden folder beside the output, for its owner's eyes only, holds each finished part:
its pictures, anonymised and encoded, and what was found in them (boxes and keypoints of
the faces, no pixel of one). Beside them lies the secret key that the new faces are
drawn from: it tells nothing of the people, but draws the same faces again. When the
output is whole, the folder goes. Going on means to read the video again from its
beginning and to follow the faces anew from what was found, so that everybody keeps
their face, but to look for none and to paint none in the finished parts.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxanon.detect.base import complete, make_detections
from jaxanon.errors import MediaError
from jaxanon.media import atomic, decode, packets
from jaxanon.types import Detections

PART_FRAMES = 100
"""Frames in a part: what an interruption costs at most, and how often a key frame."""


class Work:
    """The finished parts of one video; see ``open_work``.

    It remembers what was found in each frame, for ``frames.see``.
    """

    def __init__(self, folder: Path, key: jax.Array):
        self.folder, self.key = folder, key
        counted = itertools.takewhile(lambda i: self._part(i).exists(), range(10**9))
        self.parts = sum(1 for _ in counted)
        self._found: dict[int, Detections | None] = {}
        self._recalled: dict[int, list[Detections | None]] = {}

    @property
    def frames(self) -> int:
        """How many frames are finished."""
        return self.parts * PART_FRAMES

    def look(self, index: int, find) -> Detections | None:
        """Recalls what was found in a frame, or finds and remembers it."""
        number = index // PART_FRAMES
        if number < self.parts and index not in self._found:
            if number not in self._recalled:
                self._recalled = {number: _unpack_faces(self._load(number))}
            return self._recalled[number][index % PART_FRAMES]
        self._found[index] = found = find()
        return found

    def notes(self) -> dict[str, Any]:
        """Gives what was noted with the last finished part."""
        if not self.parts:
            return {}
        return json.loads(str(self._load(self.parts - 1)["notes"]))

    def add(
        self,
        frames: Iterable[Any],
        encode: Callable[[Iterable[Any]], list[packets.Packet]],
        notes: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Encodes the frames that follow the finished ones, part by part.

        Args:
            frames: Anonymised.
            encode: Encodes a part, a packet a frame.
            notes: Is asked at the end of each part for what is to be known about all
                frames up to there; for JSON.
        """
        coming = iter(frames)
        for first in coming:
            others = itertools.islice(coming, PART_FRAMES - 1)
            encoded = encode(itertools.chain([first], others))
            self._save(encoded, notes())

    def _save(self, encoded: list[packets.Packet], notes: Mapping[str, Any]) -> None:
        found = [self._found.pop(self.frames + i) for i in range(len(encoded))]
        arrays = packets.pack(encoded) | _pack_faces(found)
        arrays["notes"] = np.array(json.dumps(notes))
        with atomic.replacing(self._part(self.parts)) as part:
            os.chmod(part, 0o600)
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        self.parts += 1

    def packets(self) -> Iterator[packets.Packet]:
        """Yields the encoded pictures of all parts."""
        for number in range(self.parts):
            yield from packets.unpack(self._load(number))

    def clear(self) -> None:
        """Removes everything, of an interrupted run too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"

    def _load(self, number: int) -> dict[str, np.ndarray]:
        path = self._part(number)
        try:
            with path.open("rb") as file:
                return dict(np.load(file, allow_pickle=False))
        # A damaged archive raises whatever the zip and array readers come upon.
        except Exception as error:
            raise MediaError(f"{path}: is damaged; remove {self.folder}.") from error


def open_work(target: Path, settings: Mapping[str, Any], key: jax.Array) -> Work:
    """Opens the work that an interrupted run left beside its output, or begins it.

    Args:
        target: The output.
        settings: What the result depends on: options, arrays, functions by name.
        key: Of the video; a run that goes on keeps the one it began with.

    Raises:
        MediaError: The work there is of something else.
    """
    text = json.dumps(settings, sort_keys=True, default=_describe)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    folder = target.with_name(f".{target.name}.unfinished")
    state = folder / "state.json"
    with decode.blaming(folder, "used"):
        if state.exists():
            return Work(folder, _read_state(state, fingerprint))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = np.asarray(jax.random.key_data(key)).tolist()
        with atomic.replacing(state) as part:
            os.chmod(part, 0o600)
            part.write_text(json.dumps({"fingerprint": fingerprint, "key": words}))
    return Work(folder, key)


def _describe(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return f"{value.__module__}.{value.__qualname__}"


def _read_state(state: Path, fingerprint: str) -> jax.Array:
    try:
        known = json.loads(state.read_text())
        words = np.array(known["key"], np.uint32)
        is_same = known["fingerprint"] == fingerprint
    except (ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{state}: is damaged; remove {state.parent}.") from error
    if not is_same:
        raise MediaError(
            f"{state.parent}: holds an unfinished run of another input, options or "
            "version; finish it with the same command, or remove it."
        )
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")


def _pack_faces(found: list[Detections | None]) -> dict[str, np.ndarray]:
    known = [complete(each) for each in found if each is not None]
    empty = make_detections([], [], [])
    joined = [np.concatenate(field) for field in zip(empty, *known, strict=True)]
    counts = [-1 if each is None else len(each.scores) for each in found]
    fields = dict(zip(Detections._fields, joined, strict=True))
    return {"counts": np.array(counts, np.int64), **fields}


def _unpack_faces(arrays: Mapping[str, np.ndarray]) -> list[Detections | None]:
    found, end = [], 0
    for count in arrays["counts"].tolist():
        start, end = end, end + max(count, 0)
        faces = Detections(*(arrays[name][start:end] for name in Detections._fields))
        found.append(None if count < 0 else faces)
    return found
