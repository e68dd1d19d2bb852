import importlib
import json
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import jaxanon
from jaxanon import arguments, cli, commands, files, weights

DETECTOR = """
import numpy as np
from jaxanon.types import Detections

def make():
    def detect(frames):
        return [one(frame) for frame in frames]
    return detect

def one(frame):
    if (frame[0, 0] == 7).all():
        raise RuntimeError("a bug")
    height, width = frame.shape[:2]
    box = [width / 4 + 1 / 3, height / 4, width / 2, height / 2]
    points = np.full((1, 11, 2), np.nan, np.float32)
    points[0, 0] = width / 3, height / 3
    score = np.array([0.7], np.float32)
    return Detections(np.array([box], np.float32), score, points)
"""


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """A drawn detector from outside the tree, and no cache in the user's home."""
    (tmp_path / "modules" / "outside").mkdir(parents=True)
    (tmp_path / "modules" / "outside" / "__init__.py").touch()
    (tmp_path / "modules" / "outside" / "quarter.py").write_text(DETECTOR)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    for name in ("outside", "outside.quarter"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("JAXANON_CACHE", "off")
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(50, 256, (32, 48, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*words, mode="black"):
    words = [str(word) for word in words]
    if words[0] in ("anonymize", "detect"):
        words += ["--detector", "outside.quarter"]
    if words[0] == "anonymize":
        words += ["--mode", mode]
    return cli.main(words)


def read(path):
    with Image.open(path) as opened:
        return np.array(opened)


def test_photo_is_anonymised(tmp_path, capsys):
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"
    assert run("anonymize", source, "-o", target) == 0
    assert (read(target)[8:16, 13:24] == 0).all()
    assert np.array_equal(read(target)[20:], read(source)[20:])
    output = capsys.readouterr()
    assert output.out == ""
    assert "1 file(s) done, 1 face(s), 0 failed" in output.err


def test_quiet_says_nothing(tmp_path, capsys):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    assert run("anonymize", tmp_path / "in", "-o", tmp_path / "out", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_one_bad_file_fails_by_name_and_the_others_are_done(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    photo(folder / "a.png")
    photo(folder / "deep" / "z.png")
    whole = photo(folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("hello")
    bug = np.full((16, 16, 3), 7, np.uint8)
    Image.fromarray(bug).save(folder / "bug.png")
    manifest = tmp_path / "manifest.json"
    status = run("anonymize", folder, "-o", out, "--manifest", manifest, "--json-lines")
    assert status == 1
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert found == ["a.png", "deep/z.png"]
    output = capsys.readouterr()
    for name in ("cut.png", "empty.jpg", "bug.png"):
        assert f"{folder / name}: " in output.err
    assert "Traceback" in output.err  # Of the bug, and of nothing else.
    assert output.err.count("Traceback") == 1
    lines = [json.loads(line) for line in output.out.splitlines()]
    states = [line["status"] for line in lines]
    assert sorted(states) == ["done"] * 2 + ["failed"] * 3 + ["skipped", "summary"]
    assert lines[-1] | {"seconds": 0} == {
        **{"status": "summary", "files": 2, "faces": 2, "failed": 3, "skipped": 1},
        "seconds": 0,
    }
    recorded = json.loads(manifest.read_text())
    assert recorded["complete"] is True
    assert len(recorded["failed"]) == 3
    assert len(recorded["skipped"]) == 1


def test_manifest_tells_everything_but_a_secret_seed(tmp_path):
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"
    manifest = tmp_path / "m.json"
    words = ("anonymize", source, "-o", target, "--manifest", manifest, "--overwrite")
    assert run(*words) == 0
    content = json.loads(manifest.read_text())
    assert "seed" not in content
    assert content["versions"]["jaxanon"] == jaxanon.__version__
    assert content["options"]["mode"] == "black"
    (entry,) = content["files"]
    assert entry["input_sha256"] == files.hash_file(source)
    assert entry["output_sha256"] == files.hash_file(target)
    (face,) = entry["faces"]
    assert face["keypoints_seen"] == ["nose"]
    assert (face["mode"], face["fallback"]) == ("black", None)
    assert run(*words, "--seed", 5) == 0
    assert json.loads(manifest.read_text())["seed"] == 5


@pytest.mark.skipif(
    "keypointer" not in weights.names(), reason="no keypointer.safetensors in assets"
)
def test_detections_read_back_give_the_identical_picture(tmp_path):
    source, found = photo(tmp_path / "a.png"), tmp_path / "faces.json"
    assert run("detect", source, "-o", found) == 0
    assert run("anonymize", source, "-o", tmp_path / "b.png", "--seed", 1) == 0
    words = ("anonymize", source, "-o", tmp_path / "c.png", "--seed", 1)
    assert run(*words, "--detections", found) == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_edited_detections_decide_alone(tmp_path, capsys):
    source, found = photo(tmp_path / "a.png"), tmp_path / "faces.json"
    entry = {"width": 48, "height": 32, "faces": [{"box": [30, 20, 40, 28]}]}
    found.write_text(json.dumps({"version": 1, "files": {str(source): entry}}))
    words = ("anonymize", "-o", tmp_path / "out/", "--detections", found)
    assert run(*words, source, photo(tmp_path / "other.png")) == 1
    assert "other.png: is not in the file of detections" in capsys.readouterr().err
    result = read(tmp_path / "out" / "a.png")
    assert (result[20:28, 30:40] == 0).all()
    assert (result[:16] == read(source)[:16]).all()


def test_existing_output_is_left_alone_unless_asked(tmp_path, capsys):
    source, target = photo(tmp_path / "a.png"), photo(tmp_path / "b.png", 1)
    before = target.read_bytes()
    assert run("anonymize", source, "-o", target) == 1
    assert target.read_bytes() == before
    assert run("anonymize", source, "-o", source) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run("anonymize", source, "-o", source, "--overwrite") == 0
    assert (read(source)[8:16, 13:24] == 0).all()


def test_nothing_to_do_is_a_failure(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert run("anonymize", tmp_path / "in", "-o", tmp_path / "out") == 1
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("anonymize", "a.png"),
        ("anonymize", "a.png", "-o", "b.png", "--seed", "-1"),
        ("anonymize", "a.png", "-o", "b.png", "--score", "nan"),
        ("anonymize", "a.png", "-o", "b.png", "--mode", "smile"),
        ("anonymize", "a.png", "-o", "b.png", "--start", "1:2:3:4"),
        ("anonymize", "a.png", "-o", "b.png", "--quiet", "--json-lines"),
        ("anonymise",),
    ],
)
def test_wrong_usage_exits_with_2(words, capsys):
    assert cli.main(list(words)) == 2
    assert "usage: jaxanon" in capsys.readouterr().err


def test_errors_of_the_user_print_one_line(tmp_path, capsys):
    source = photo(tmp_path / "a.png")
    out = tmp_path / "b.png"
    assert cli.main(["anonymize", str(source), "-o", str(out), "--detector", "no"]) in (
        1,
        2,
    )
    status = cli.main(
        ["anonymize", str(source), "-o", str(out), "--weights", "none.safetensors"]
    )
    assert status == 1
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("jaxanon: ") for line in lines)
    assert not out.exists()


def test_interrupt_leaves_finished_files_and_exits_with_130(
    tmp_path, capsys, monkeypatch
):
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "in" / name)
    write = Path.write_bytes

    def interrupted(self, content):
        if (tmp_path / "out" / "a.png").exists():
            write(self, content[:100])
            signal.raise_signal(signal.SIGTERM)
        write(self, content)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    manifest = tmp_path / "m.json"
    words = ("anonymize", tmp_path / "in", "-o", tmp_path / "out")
    assert run(*words, "--manifest", manifest) == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert "interrupted" in capsys.readouterr().err
    assert json.loads(manifest.read_text())["complete"] is False


def test_no_mark_and_c2pa_reach_the_file(tmp_path, capsys, monkeypatch, tiny_weights):
    monkeypatch.setattr(weights, "load", lambda name: tiny_weights)
    source, found = photo(tmp_path / "a.png"), tmp_path / "faces.json"
    entry = {"width": 48, "height": 32, "faces": [{"box": [10, 8, 30, 28]}]}
    found.write_text(json.dumps({"version": 1, "files": {str(source): entry}}))

    def paint(name, *more):
        target = tmp_path / name
        words = ("anonymize", source, "-o", target, "--detections", found, *more)
        return run(*words, mode="generate"), target

    status, marked = paint("b.png")
    assert (status, b"DigitalSourceType" in marked.read_bytes()) == (0, True)
    status, unmarked = paint("c.png", "--no-mark")
    assert (status, b"DigitalSourceType" in unmarked.read_bytes()) == (0, False)
    status, signed = paint("d.png", "--c2pa", "no.pem", "no.pem")
    assert (status, signed.exists()) == (2, False)
    assert "--c2pa" in capsys.readouterr().err


def test_an_interrupt_that_a_callback_loses_is_heeded():
    lost = SimpleNamespace(exc_type=KeyboardInterrupt)
    signal.signal(signal.SIGTERM, cli._interrupt)
    with pytest.raises(KeyboardInterrupt):
        cli._heed_interrupt(lost)
        for _ in range(1000):
            time.sleep(0.01)


def test_an_interrupt_waits_for_an_import_to_end(tmp_path, monkeypatch):
    code = "import signal; signal.raise_signal(signal.SIGTERM); is_whole = True"
    (tmp_path / "slowly.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slowly", raising=False)
    signal.signal(signal.SIGTERM, cli._interrupt)
    with pytest.raises(KeyboardInterrupt):
        assert importlib.import_module("slowly").is_whole
        for _ in range(1000):
            time.sleep(0.01)
    assert "slowly" in sys.modules
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_too_little_memory_is_one_line(tmp_path, capsys, monkeypatch):
    def hungry(*_, **__):
        try:
            raise ImportError("libav.so: failed to map segment from shared object")
        except ImportError as error:
            raise ImportError("cannot be imported") from error

    source = photo(tmp_path / "a.png")
    monkeypatch.setattr(files, "anonymize_image_file", hungry)
    assert run("anonymize", source, "-o", tmp_path / "b.png") == 1
    told = "does not fit into memory (ImportError('cannot be imported'))."
    said = capsys.readouterr().err
    assert f"a.png: {told}" in said and "Traceback" not in said
    monkeypatch.setattr(commands, "_console", hungry)
    assert run("anonymize", source, "-o", tmp_path / "b.png") == 1
    told = "jaxanon: there is not enough memory (ImportError('cannot be imported')).\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("command", sorted(commands.BY_NAME))
def test_every_command_has_help(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert "usage: jaxanon " + command in capsys.readouterr().out


def test_help_shows_examples(capsys):
    assert cli.main(["anonymize", "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "--seed:" in text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("1:30", 90.0), ("0:01:30.5", 90.5)]
)
def test_times_are_read_in_hours_minutes_and_seconds(text, seconds):
    words = ["anonymize", "a.mp4", "-o", "b.mp4", "--start", text]
    assert arguments.parser(commands.BY_NAME).parse_args(words).start == seconds


def test_missing_device_lists_what_there_is(tmp_path, capsys, monkeypatch):
    import jax

    def devices():
        if jax.config.jax_platforms == "tpu":
            raise RuntimeError("no tpu")
        return [type("Device", (), {"platform": "cpu", "device_kind": "cpu"})()]

    monkeypatch.setattr(jax, "devices", devices)
    before = jax.config.jax_platforms
    source = photo(tmp_path / "a.png")
    status = run("anonymize", source, "-o", tmp_path / "b.png", "--device", "tpu")
    jax.config.update("jax_platforms", before)
    assert status == 2
    assert "--device tpu: not there; this machine has cpu" in capsys.readouterr().err
