"""Imports run down the layers only, and the heavy packages stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"errors"},
    {"types", "runtime", "torch_pickle", "seeds", "fields"},
    {"ops", "pose", "given"},
    {"align", "blend", "redact", "models", "objectives", "detect", "regions"},
    {"weights", "media", "association", "metrics"},
    {"convert", "track"},
    {"paint"},
    {"canvas", "seek"},
    {"donors"},
    {"pipeline"},
    {"stages", "frames", "inputs", "manifest", "live", "resume", "epilogs"},
    {"hide"},
    {"files", "clips"},
    {"info", "demo", "console", "arguments", "loading"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
HOMES = {
    "flax": {"models"},
    "optax": set(),
    "orbax": set(),
    "grain": set(),
    "tensorflow_datasets": set(),
    "tqdm": {"console"},
    "PIL": {"media", "demo", "info"},
    "av": {"media"},
    "c2pa": {"media"},
    "cryptography": {"media"},
    "onnxruntime": {"detect", "metrics"},
    "safetensors": {"weights"},
}
"""Where in the library each package may be imported."""

FILES = sorted((ROOT / "jaxanon").rglob("*.py"))


def imports(path):
    """Yields the dotted names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    part = path.relative_to(ROOT / "jaxanon").parts[0]
    return part.removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_down(path):
    room = room_of(path)
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in ("train", "configs"), name
        if parts[0] in HOMES:
            assert room in HOMES[parts[0]], f"{path.name} imports {name}"
        if parts[0] == "jaxanon" and room != "__init__" and len(parts) > 1:
            other = parts[1]
            if other in LEVEL and other != room:
                assert LEVEL[other] < LEVEL[room], f"{path.name} imports {name}"


def test_every_room_has_a_layer():
    assert {room_of(path) for path in FILES} - {"__init__"} <= LEVEL.keys()


def test_importing_the_library_starts_nothing_heavy():
    code = "import sys, jaxanon; print([m for m in ('jax','av','PIL','onnxruntime') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stderr
