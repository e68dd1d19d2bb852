"""Runs the real command in a process of its own, as a user would; few times, as each
start costs seconds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DETECTIONS = """{"version": 1, "files": {"a.png": {"width": 48, "height": 32,
"faces": [{"box": [10, 6, 22, 20]}]}}}"""


def jaxanon(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "jaxanon", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.mark.parametrize(
    "module", ["jaxanon", "jaxanon.cli", "jaxanon.commands", "jaxanon.arguments"]
)
def test_import_loads_nothing_heavy(module, tmp_path):
    heavy = {"jax", "flax", "PIL", "numpy", "onnxruntime", "av", "tqdm"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_photo_and_bad_file_from_the_shell(tmp_path):
    pixels = np.random.default_rng(0).integers(50, 256, (32, 48, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xffnonsense")
    (tmp_path / "faces.json").write_text(DETECTIONS)
    words = ["anonymize", "a.png", "bad.jpg", "-o", "out", "--mode", "black"]
    done = jaxanon(
        *words,
        *["--detections", "faces.json"],
        cwd=tmp_path,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        JAXANON_CACHE="",
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "jaxanon: bad.jpg: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    with Image.open(tmp_path / "out" / "a.png") as opened:
        assert (np.array(opened)[6:20, 10:22] == 0).all()
    assert (tmp_path / "cache" / "jaxanon").is_dir()


def test_info_names_version_device_and_detectors(tmp_path):
    done = jaxanon("info", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("jaxanon: 0.", "device: ", "centerface", "weights:", "cache: "):
        assert word in done.stdout
