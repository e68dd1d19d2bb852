"""Faults, injected into the real command: what is damaged, killed, full or failing.

Whatever happens, there is no traceback, the exit status is not 0 where an output is
missing, no file under an output's name is anything but whole, the inputs stay what they
were, and the same command completes afterwards. Every test prints how many faults it
tried and survived; the long form is ``pytest tests/faults -m slow -s``.
"""

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits")

PROGRAM = """
import os, resource, sys
from jaxanon import cli
if limit := int(os.environ.get("FAULT_MEMORY", 0)):
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
if limit := int(os.environ.get("FAULT_FILE_SIZE", 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if ready := os.environ.get("FAULT_READY"):
    os.close(int(ready))
cli.script()
"""
"""The command, which says when its imports are done: before that it is Python alone."""

DETECTOR = """
import numpy as np
from jaxanon.types import KEYPOINTS, Detections

def make():
    return lambda frames: [one(frame) for frame in frames]

def one(frame):
    height, width = frame.shape[:2]
    box = [width / 4, height / 4, width / 2, height / 2]
    points = np.full((1, len(KEYPOINTS), 2), np.nan, np.float32)
    return Detections(np.array([box], np.float32), np.array([0.9], np.float32), points)
"""

_BLACK = ["--mode", "black"]
JOBS = {
    "photo": ["photos/b.png", "-o", "{out}/b.png", *_BLACK],
    "folder": ["photos", "-o", "{out}", *_BLACK],
    "video": ["short.mp4", "-o", "{out}/short.mp4", *_BLACK],
    "resume": ["long.mp4", "-o", "{out}/long.mp4", "--resume", *_BLACK],
    "painted": ["photos/b.png", "-o", "{out}/b.png", "--seed", "1"],
}
HANDLED = (0, 1, 130)
CRASHED = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)


def sizes(short, long):
    """Makes a test of two sizes, the longer one marked slow."""
    return pytest.mark.parametrize(
        "count", [short, pytest.param(long, marks=pytest.mark.slow)]
    )


class Result(NamedTuple):
    status: int
    said: str


class Job(NamedTuple):
    """A command with what it writes when nothing goes wrong."""

    words: list[str]
    whole: dict[str, bytes]
    seconds: float


class Workshop:
    """Inputs, the command, and the five things that hold after every fault."""

    def __init__(self, folder: Path):
        self.inputs, self.outs = folder / "in", folder / "outs"
        modules = folder / "modules" / "outside"
        modules.mkdir(parents=True)
        (modules / "__init__.py").touch()
        (modules / "quarter.py").write_text(DETECTOR)
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{modules.parent}",
            "JAXANON_CACHE": "off",
        }
        self._jobs: dict[str, Job] = {}
        self._number = 0

    def prepare(self) -> None:
        """Makes the inputs."""
        photos = self.inputs / "photos"
        photos.mkdir(parents=True)
        for index, name in enumerate(("a.jpg", "b.png", "c.webp", "d.tif")):
            Image.fromarray(noise(index)).save(photos / name)
        encode(self.inputs / "short.mp4", frames=60)
        encode(self.inputs / "long.mp4", frames=250)
        self.before = read_folder(self.inputs)

    def job(self, name: str) -> Job:
        """Gives a job, which is done once without a fault."""
        if name not in self._jobs:
            words = ["anonymize", *JOBS[name], "--detector", "outside.quarter"]
            words += ["--overwrite"]
            out, begun = self.new_folder(), time.perf_counter()
            result = self.run(words, out)
            assert result.status == 0, result.said
            seconds = time.perf_counter() - begun
            self._jobs[name] = Job(words, read_folder(out), seconds)
        return self._jobs[name]

    def new_folder(self) -> Path:
        self._number += 1
        out = self.outs / str(self._number)
        out.mkdir(parents=True)
        return out

    def start(self, words, out: Path, **environment) -> subprocess.Popen:
        """Starts the command and returns when its own code runs."""
        ended, ready = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *(w.format(out=out) for w in words)],
            cwd=self.inputs,
            env={**self.environment, "FAULT_READY": str(ready), **environment},
            pass_fds=[ready],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.close(ready)
        with open(ended, "rb") as waiting:
            waiting.read()
        return process

    def finish(self, process: subprocess.Popen) -> Result:
        said, _ = process.communicate(timeout=600)
        return Result(process.returncode, said)

    def run(self, words, out: Path, **environment) -> Result:
        return self.finish(self.start(words, out, **environment))

    def faults(
        self, job: Job, out: Path, result: Result, *, expected, mend=lambda: None
    ) -> list[str]:
        """Lists what does not hold after a fault and, mended, after another run."""
        found = self._wrong(job, out, result, expected)
        mend()
        again = self.run(job.words, out)
        there = read_folder(out)
        if again.status or there != job.whole:
            told = again.said[-2000:]
            found.append(f"the rerun: {again.status}, {sorted(there)}: {told}")
        return found

    def _wrong(self, job: Job, out: Path, result: Result, expected) -> list[str]:
        there, found = read_folder(out), []
        if "Traceback" in result.said:
            found.append(excerpt(result.said))
        if result.status not in expected:
            found.append(f"status {result.status}: {result.said[-500:]}")
        for name, content in there.items():
            if content != job.whole.get(name):
                found.append(f"{name} is not what it should be.")
        if result.status == 0 and there.keys() != job.whole.keys():
            found.append(f"status 0, but {sorted(there)}.")
        if result.status in HANDLED:
            parts = [path.name for path in out.rglob(".*.part*") if path.is_file()]
            if parts:
                found.append(f"left behind: {parts}")
        if read_folder(self.inputs) != self.before:
            found.append("an input has changed.")
        return found


def excerpt(said: str) -> str:
    """Cuts out what is to be read of a traceback, or of a sudden end."""
    start = said.find("Traceback")
    return said[start : start + 4000] if start >= 0 else said[-1000:]


def read_folder(folder: Path) -> dict[str, bytes]:
    """Gives all files below a folder but the hidden ones, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def noise(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Draws blocks of colour: large enough to survive any codec."""
    draw = np.random.default_rng(seed).integers(40, 220, (height // 8, width // 8, 3))
    return np.kron(draw, np.ones((8, 8, 1), int)).astype(np.uint8)


def encode(path: Path, *, frames: int, codec="libx264", pixel_format="yuv420p"):
    """Writes a video of drawn pictures that change."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixel_format
        for index in range(frames):
            pixels = np.roll(noise(3), index, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    made = Workshop(tmp_path_factory.mktemp("faults"))
    made.prepare()
    return made


def tell(capsys, fault: str, tried: int, failed: list[tuple]) -> None:
    """Prints the figures, and fails with all that was found."""
    survived = tried - len(failed)
    with capsys.disabled():
        figures = {"fault": fault, "tried": tried, "survived": survived}
        print("\n" + json.dumps(figures), flush=True)
    assert not failed, "\n".join(str(each) for each in failed[:20])


def share(workshop: Workshop, count: int):
    """Deals numbered trials to the jobs; the slow job, painting, gets a few."""
    names = ["photo", "folder", "resume", "video"]
    for index in range(count):
        name = "painted" if index % 20 == 19 else names[index % len(names)]
        yield index, name, workshop.job(name), np.random.default_rng(index)


def strike(workshop, job, draw, act) -> tuple[Path, Result]:
    """Starts a job and does something to its process at a random moment."""
    out = workshop.new_folder()
    process = workshop.start(job.words, out)
    time.sleep(draw.uniform(0, job.seconds))
    with contextlib.suppress(ProcessLookupError):
        act(process.pid)
    return out, workshop.finish(process)


@sizes(3, 100)
def test_killed_at_any_moment(workshop, count, capsys):
    failed = []
    for index, name, job, draw in share(workshop, count):
        out, result = strike(
            workshop, job, draw, lambda pid: os.kill(pid, signal.SIGKILL)
        )
        expected = (0, -signal.SIGKILL)
        if found := workshop.faults(job, out, result, expected=expected):
            failed.append((index, name, found))
    tell(capsys, "SIGKILL", count, failed)


@sizes(1, 50)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment(workshop, count, number, capsys):
    failed = []
    for index, name, job, draw in share(workshop, count):
        out, result = strike(workshop, job, draw, lambda pid: os.kill(pid, number))
        # Before and after the work, the signal does what it does to any program.
        if found := workshop.faults(job, out, result, expected=(0, 130, -number)):
            failed.append((index, name, found))
    tell(capsys, number.name, count, failed)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to limit a process")
@sizes(2, 60)
def test_out_of_memory(workshop, count, capsys):
    failed = []
    for index, name, job, draw in share(workshop, count):
        if index % 2:
            # From the start: too little for the libraries, or hardly enough.
            out, limit = workshop.new_folder(), int(draw.uniform(2e8, 3e9))
            result = workshop.run(job.words, out, FAULT_MEMORY=str(limit))
        else:

            def act(pid, draw=draw):
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
                limit = pages * resource.getpagesize() + int(draw.uniform(0, 3e7))
                resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))

            out, result = strike(workshop, job, draw, act)
        # Native libraries end the process when they get no memory.
        expected = (*HANDLED, *CRASHED)
        if found := workshop.faults(job, out, result, expected=expected):
            failed.append((index, name, found))
    tell(capsys, "RLIMIT_AS", count, failed)


@sizes(2, 40)
def test_files_that_may_not_grow(workshop, count, capsys):
    failed = []
    for index, name, job, draw in share(workshop, count):
        largest = max(map(len, job.whole.values()))
        out, limit = workshop.new_folder(), max(1, int(draw.uniform(0, 1.2 * largest)))
        result = workshop.run(job.words, out, FAULT_FILE_SIZE=str(limit))
        if found := workshop.faults(job, out, result, expected=(0, 1)):
            failed.append((index, name, found))
    tell(capsys, "RLIMIT_FSIZE", count, failed)


@contextlib.contextmanager
def small_disk(folder: Path, size: int):
    """Mounts a file system in memory, or skips where that needs more rights."""
    if not shutil.which("mount"):
        pytest.skip("needs the command mount")
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@sizes(2, 60)
def test_full_disk(workshop, count, capsys):
    failed = []
    for index, name, job, draw in share(workshop, count):
        out = workshop.new_folder()
        room = sum(map(len, job.whole.values())) * (3 if name == "resume" else 1)
        pages = int(draw.uniform(1, 1.2 * room / 4096 + 4))
        with small_disk(out, 4096 * pages):
            result = workshop.run(job.words, out)
            room = ["mount", "-o", "remount,size=64m", str(out)]
            found = workshop.faults(
                job,
                out,
                result,
                expected=(0, 1),
                mend=lambda words=room: subprocess.run(words, check=True),
            )
        if found:
            failed.append((index, name, found))
    tell(capsys, "full disk", count, failed)


@pytest.fixture(scope="module")
def failing_calls(tmp_path_factory):
    """Builds the library that makes a read or write fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    library = tmp_path_factory.mktemp("library") / "failing_calls.so"
    source = Path(__file__).with_name("failing_calls.c")
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
    subprocess.run([str(word) for word in words], check=True)
    return library


@sizes(1, 100)
@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_call_fails(workshop, failing_calls, count, kind, capsys, tmp_path):
    failed, numbers = [], {}
    for index, name, job, draw in share(workshop, count):
        out = workshop.new_folder()
        watched = {
            "LD_PRELOAD": str(failing_calls),
            "FAULT_FOLDER": str(workshop.inputs if kind == "read" else workshop.outs),
            "FAULT_KIND": kind,
        }
        if kind == "read" and name == "resume":
            watched["FAULT_FOLDER"] = str(workshop.outs.parent)
        if name not in numbers:
            log, there = tmp_path / name, workshop.new_folder()
            counted = {"FAULT_AT": "0", "FAULT_LOG": str(log)}
            assert workshop.run(job.words, there, **watched, **counted).status == 0
            numbers[name] = log.stat().st_size
        at = str(draw.integers(1, numbers[name], endpoint=True))
        stays = {"FAULT_STAYS": "1"} if index % 3 == 0 else {}
        result = workshop.run(job.words, out, **watched, FAULT_AT=at, **stays)
        if found := workshop.faults(job, out, result, expected=(0, 1)):
            failed.append((index, name, at, stays, found))
    tell(capsys, f"failing {kind}", count, failed)


PICTURES = {
    "baseline.jpg": {"quality": 90},
    "progressive.jpg": {"quality": 90, "progressive": True},
    "plain.png": {},
    "deep.png": {},
    "palette.png": {},
    "lossy.webp": {"quality": 80},
    "lossless.webp": {"lossless": True},
    "raw.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "plain.bmp": {},
    "one.gif": {},
    "plain.avif": {},
    "plain.heic": {},
}
VIDEOS = {
    "a.mp4": ("libx264", "yuv420p"),
    "b.mov": ("libx264", "yuv420p"),
    "c.mkv": ("libx264", "yuv420p"),
    "d.webm": ("libvpx-vp9", "yuv420p"),
    "e.avi": ("mpeg4", "yuv420p"),
    "f.ts": ("libx264", "yuv420p"),
    "g.mpg": ("mpeg2video", "yuv420p"),
    "h.flv": ("flv", "yuv420p"),
    "i.gif": ("gif", "rgb8"),
    "j.mkv": ("libx265", "yuv420p"),
    "k.wmv": ("wmv2", "yuv420p"),
}


def make_originals(folder: Path) -> list[Path]:
    """Writes one small file of each format."""
    folder.mkdir()
    pixels = noise(5)
    for name, settings in PICTURES.items():
        picture = Image.fromarray(pixels)
        if name == "deep.png":
            picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        if name == "palette.png":
            picture = picture.quantize(32)
        if name == "plain.heic":
            try:
                import pillow_heif
            except ImportError:
                continue
            pillow_heif.register_heif_opener()
        picture.save(folder / name, **settings)
    for name, (codec, pixel_format) in VIDEOS.items():
        if codec in av.codecs_available:
            encode(folder / name, frames=12, codec=codec, pixel_format=pixel_format)
    return sorted(folder.iterdir())


def damage(content: bytes, draw: np.random.Generator) -> tuple[str, bytes]:
    """Damages a file in one of six ways; returns how, and what is left."""
    at, size = int(draw.integers(len(content))), int(draw.integers(1, 200))
    changed = bytearray(content)
    how = str(draw.choice(["cut", "bits", "zeros", "hole", "filler", "head"]))
    if how == "cut":
        changed = changed[:at]
    elif how == "bits":
        for place in draw.integers(len(content), size=int(draw.integers(1, 20))):
            changed[place] ^= 1 << int(draw.integers(8))
    elif how == "zeros":
        changed[at : at + size] = bytes(len(changed[at : at + size]))
    elif how == "hole":
        del changed[at : at + size]
    elif how == "filler":
        changed[at:at] = draw.bytes(size)
    else:
        end = min(64, len(content))
        changed[:end] = draw.bytes(end)
    return how, bytes(changed)


def decode(path: Path) -> list[np.ndarray]:
    """Decodes all of a picture or video, by the libraries alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg"):
            with av.open(str(path), options={"err_detect": "explode"}) as container:
                return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        if path.suffix in (".flv", ".wmv"):
            with av.open(str(path)) as container:
                return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        with Image.open(io.BytesIO(path.read_bytes())) as opened:
            pictures = []
            for index in range(getattr(opened, "n_frames", 1)):
                opened.seek(index)
                pictures.append(np.array(opened.convert("RGB")))
            return pictures


@sizes(48, 1000)
def test_damaged_files(workshop, count, capsys, tmp_path):
    originals = make_originals(tmp_path / "originals")
    failed, batch = [], 48
    hows: dict[str, int] = {}
    for first in range(0, count, batch):
        folder, out = tmp_path / f"in{first}", tmp_path / f"out{first}"
        folder.mkdir()
        made = {}
        for index in range(first, min(first + batch, count)):
            original = originals[index % len(originals)]
            how, content = damage(original.read_bytes(), np.random.default_rng(index))
            name = f"{index:04}{original.suffix}"
            (folder / name).write_bytes(content)
            made[name] = (original, how, content)
        words = ["anonymize", str(folder), "-o", "{out}", "--mode", "black"]
        words += ["--detector", "outside.quarter", "--json-lines"]
        result = workshop.run(words, out)
        failed += judge(result, folder, out, made, hows)
    with capsys.disabled():
        print("\n" + json.dumps(hows))
    tell(capsys, "damaged file", count, failed)


def judge(result: Result, folder, out, made, hows) -> list[tuple]:
    """Compares what a run says of damaged files with what it has written."""
    failed = []
    if result.status not in (0, 1) or "Traceback" in result.said:
        failed.append((folder.name, result.status, excerpt(result.said)))
    told = {}
    for line in result.said.splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if "input" in record:
                told[Path(record["input"]).name] = record
    there = {path.name for path in out.rglob("*") if path.is_file()}
    written = {Path(r["output"]).name for r in told.values() if "output" in r}
    if there != written:
        failed.append((folder.name, "written, not told, or not whole", there ^ written))
    for name, (original, how, content) in made.items():
        status = told.get(name, {}).get("status", "missing")
        hows[f"{how}: {status}"] = hows.get(f"{how}: {status}", 0) + 1
        if (folder / name).read_bytes() != content:
            failed.append((name, "the input has changed"))
        if status not in ("done", "failed"):
            failed.append((name, original.name, how, f"is {status}"))
        if status == "failed" and result.status == 0:
            failed.append((name, original.name, how, "failed with status 0"))
        if status == "done":
            target = out / Path(told[name]["output"]).name
            if wrong := is_lacking(original, target, how, len(content)):
                failed.append((name, original.name, how, wrong))
    return failed


def is_lacking(original: Path, target: Path, how: str, size: int) -> str:
    """Says what is wrong with an output of a damaged file; "" if nothing is."""
    try:
        pictures = decode(target)
    except Exception as error:
        return f"the output cannot be decoded: {error}"
    whole = decode(original)
    # A transport stream has no end that could lack: whole packets are a whole one.
    is_endless = original.suffix == ".ts" and (size % 188 == 0)
    if how != "cut" or is_endless:
        return "" if pictures else "the output is empty"
    # Nothing may lack of a file that was cut and passed for whole.
    if len(pictures) != len(whole):
        return f"{len(pictures)} pictures of {len(whole)}"
    distance = max(
        np.abs(a.astype(int) - b)[26:].mean()
        for a, b in zip(pictures, whole, strict=True)
    )
    return f"differs by {distance:.1f} levels" if distance > 12 else ""
