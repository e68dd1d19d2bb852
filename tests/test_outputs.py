"""No command replaces a file that it was not told to replace."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxanon import cli

NAMES = ["a.png", "b.png", "out", "out/a.png", "out/b.png", "out/a.png/m", "link.png"]


def lay_out(folder):
    """Two pictures, a link to one and a text; returns what each file holds."""
    folder.mkdir(exist_ok=True)
    for name, colour in (("a.png", "teal"), ("b.png", "navy")):
        Image.new("RGB", (8, 8), colour).save(folder / name)
    if not (folder / "link.png").is_symlink():
        (folder / "link.png").symlink_to(folder / "a.png")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifest=st.sampled_from(NAMES), overwrite=st.booleans())
def test_manifest_that_is_an_input_or_an_output_is_a_usage_error(
    tmp_path, capsys, manifest, overwrite
):
    before = lay_out(tmp_path / "in")
    folder = tmp_path / "in"
    words = ["anonymize", str(folder / "a.png"), str(folder / "b.png")]
    words += ["-o", str(folder / "out"), "--manifest", str(folder / manifest)]
    assert cli.main([*words, *["--overwrite"] * overwrite]) == 2
    assert not (folder / "out").exists()
    assert lay_out(folder) == before


@pytest.mark.parametrize("command", ["detect", "live", "convert"])
@pytest.mark.parametrize("out", ["a.png", "link.png"])
def test_output_that_is_the_input_is_a_usage_error(tmp_path, capsys, command, out):
    before = lay_out(tmp_path)
    words = [command, str(tmp_path / "a.png"), "-o", str(tmp_path / out), "--overwrite"]
    assert cli.main(words) == 2
    assert lay_out(tmp_path) == before


@pytest.mark.parametrize("command", ["detect", "live", "convert"])
def test_output_that_exists_is_a_usage_error(tmp_path, capsys, command):
    lay_out(tmp_path)
    words = [command, str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")]
    assert cli.main(words) == 2


def test_two_outputs_of_one_name_are_a_usage_error(tmp_path, capsys):
    (tmp_path / "a.avi").write_bytes(b"RIFF....AVI ")
    (tmp_path / "a.mp4").write_bytes(b"....ftypisom")
    words = ["anonymize", str(tmp_path), "-o", str(tmp_path / "out"), "--overwrite"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "a.avi") in said
    assert str(tmp_path / "a.mp4") in said
    assert not (tmp_path / "out").exists()
