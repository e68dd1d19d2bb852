import numpy as np
import pytest
from PIL import Image

from jaxanon.media import kind


def save(path, count):
    noise = np.random.default_rng(0).integers(0, 256, (count, 20, 30, 3), np.uint8)
    first, *others = map(Image.fromarray, noise)
    if others:
        first.save(path, save_all=True, append_images=others, duration=50)
    else:
        first.save(path)
    return path


@pytest.mark.parametrize("count, expected", [(1, "picture"), (2, "video")])
def test_a_gif_of_several_pictures_is_a_video(tmp_path, count, expected):
    assert kind.of(save(tmp_path / "a.gif", count)) == expected


def test_a_gif_is_told_by_its_content_alone(tmp_path):
    path = save(tmp_path / "a.gif", 2).rename(tmp_path / "a.jpg")
    assert kind.of(path) == "video"


def test_a_gif_that_ends_early_is_still_one(tmp_path):
    data = save(tmp_path / "a.gif", 2).read_bytes()
    for end in range(6, len(data), 97):
        (tmp_path / "b.gif").write_bytes(data[:end])
        assert kind.of(tmp_path / "b.gif") in ("picture", "video")


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_other_animated_pictures_are_pictures(tmp_path, suffix):
    assert kind.of(save(tmp_path / f"a.{suffix}", 3)) == "picture"


@pytest.mark.parametrize("name, expected", [("a.webp", "picture"), ("a.wav", "other")])
def test_a_riff_of_unknown_content_is_told_by_its_name(tmp_path, name, expected):
    (tmp_path / name).write_bytes(b"RIFF\0\1\0\0" + bytes(200))
    assert kind.of(tmp_path / name) == expected
