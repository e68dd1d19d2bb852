"""The command `jaxanon live`, from files and pipes to files and pipes."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from jaxanon import cli, live
from jaxanon.media import video

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, encode_clip):
    """A clip of 8 frames that can be piped."""
    pictures = [np.full((64, 96, 3), 20 * index, np.uint8) for index in range(8)]
    return encode_clip(tmp_path_factory.mktemp("clips") / "in.mkv", pictures)


def levels(path):
    return [round(float(frame.pixels.mean())) for frame in video.read(path)]


def test_a_file_goes_to_a_file(tmp_path, clip):
    target = tmp_path / "out.mp4"
    assert cli.main(["live", str(clip), "-o", str(target), "--mode", "black"]) == 0
    assert levels(target) == pytest.approx(levels(clip), abs=2)


def test_a_pipe_goes_to_a_pipe(tmp_path, clip):
    command = [sys.executable, "-m", "jaxanon", "live", "-", "-o", "-"]
    with clip.open("rb") as source:
        cat = subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE)
    done = subprocess.run(
        [*command, "--mode", "black"], stdin=cat.stdout, capture_output=True, cwd=ROOT
    )
    assert cat.stdout is not None
    cat.stdout.close()
    assert (cat.wait(), done.returncode) == (0, 0), done.stderr
    (tmp_path / "out.mkv").write_bytes(done.stdout)
    assert levels(tmp_path / "out.mkv") == pytest.approx(levels(clip), abs=2)


def test_no_camera_is_an_error_and_leaves_nothing(tmp_path, capsys):
    target = tmp_path / "out.mp4"
    command = ["live", "987654", "-o", str(target), "--mode", "black"]
    assert cli.main(command) == 1
    assert "987654" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--resume"], ["--audio", "keep"], ["--end", "3"]])
def test_what_only_files_have_is_refused(tmp_path, clip, capsys, option):
    target = str(tmp_path / "out.mp4")
    command = ["live", str(clip), "-o", target, "--mode", "black", *option]
    assert cli.main(command) == 2
    assert option[0] in capsys.readouterr().err


def test_a_camera_goes_to_a_file_at_its_own_pace(tmp_path, monkeypatch):
    # FFmpeg draws the pictures; it is opened as a camera would be.
    cameras = {sys.platform: ("lavfi", "testsrc2=size=64x48:rate=10:duration=1.{}")}
    monkeypatch.setattr(live, "_CAMERAS", cameras)
    target = tmp_path / "out.mp4"
    assert cli.main(["live", "5", "-o", str(target), "--mode", "black"]) == 0
    times = [frame.pts * video.probe(target).time_base for frame in video.read(target)]
    # What came too fast is left out; what is kept keeps its time and its order.
    assert 1 <= len(times) <= 15
    assert times == sorted(times) and times[-1] <= 1.5


class Screen(types.ModuleType):
    """Stands in for tkinter where there is no screen; closes after two pictures."""

    def __init__(self):
        super().__init__("tkinter")
        self.shown, self.gone = [], False

    def Tk(self):  # noqa: N802
        return self

    def Label(self, window):  # noqa: N802
        return self

    def title(self, text): ...

    def pack(self): ...

    def protocol(self, name, action):
        assert name == "WM_DELETE_WINDOW"
        self.close = action

    def PhotoImage(self, *, data, format):  # noqa: N802
        return format, data

    def configure(self, *, image):
        self.shown.append(image)

    def update(self):
        assert not self.gone
        if len(self.shown) == 2:
            self.close()

    def destroy(self):
        self.gone = True


def test_closing_the_window_ends_the_run(clip, monkeypatch):
    screen = Screen()
    monkeypatch.setitem(sys.modules, "tkinter", screen)
    assert cli.main(["live", str(clip), "--mode", "black"]) == 0
    assert screen.gone and len(screen.shown) == 2
    kind, data = screen.shown[0]
    assert kind == "PPM" and data.startswith(b"P6 96 64 255\n")
    assert len(data) == len(b"P6 96 64 255\n") + 96 * 64 * 3
