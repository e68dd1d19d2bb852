import os

import jax
import numpy as np
import pytest
from PIL import Image

from jaxanon import files, inputs, models, pipeline, weights
from jaxanon.detect.json_format import FileDetections
from jaxanon.errors import ConfigError, MediaError
from jaxanon.types import Detections

BLACK = pipeline.Options(mode="black")
BOX = (10.0, 6.0, 22.0, 20.0)


def faces(*boxes):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), 0.9, np.float32),
        np.full((len(boxes), 11, 2), np.nan, np.float32),
    )


def detector(frames):
    return [faces(BOX) for _ in frames]


def photo(path, seed=0, size=(40, 32)):
    """Smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize(size).save(path)
    return path


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    config = models.GeneratorConfig(
        resolution=16, widths=(8, 8), blocks=1, latent_dim=8, style_width=8
    )
    # Numbers by NumPy: nothing to compile.
    shapes = jax.eval_shape(
        lambda key: models.init_generator(key, config), jax.random.key(0)
    )
    draw = np.random.default_rng(0).standard_normal
    params = jax.tree.map(lambda leaf: 0.1 * draw(leaf.shape), shapes)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save(path, "unet", config, params, {})
    return weights.load(path)


def test_single_file_goes_to_a_file_or_into_a_folder(tmp_path):
    source = str(photo(tmp_path / "a.png"))
    (tmp_path / "out").mkdir()
    to_file = inputs.plan([source], str(tmp_path / "b.png")).jobs
    into = inputs.plan([source], str(tmp_path / "out")).jobs
    new = inputs.plan([source], str(tmp_path / "new") + "/").jobs
    assert [job.target for job in to_file] == [tmp_path / "b.png"]
    assert [job.target for job in into] == [tmp_path / "out" / "a.png"]
    assert [job.target for job in new] == [tmp_path / "new" / "a.png"]


def test_folder_is_mirrored_and_other_files_are_named(tmp_path):
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "deep" / "er" / "b.jpg")
    (tmp_path / "in" / "deep" / "notes.txt").write_text("hello")
    plan = inputs.plan([str(tmp_path / "in")], str(tmp_path / "out"))
    targets = [job.target for job in plan.jobs]
    assert targets == [tmp_path / "out/a.png", tmp_path / "out/deep/er/b.jpg"]
    assert [p.source.name for p in plan.skipped] == ["notes.txt"]
    assert plan.failed == []


def test_output_folder_inside_the_input_is_not_read(tmp_path):
    photo(tmp_path / "a.png")
    photo(tmp_path / "out" / "old.png")
    plan = inputs.plan([str(tmp_path)], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["a.png"]


def test_glob_keeps_the_tree_below_its_fixed_part(tmp_path):
    photo(tmp_path / "in" / "x" / "a.png")
    photo(tmp_path / "in" / "y" / "a.png")
    pattern = str(tmp_path / "in" / "**" / "*.png")
    plan = inputs.plan([pattern], str(tmp_path / "out"))
    targets = [job.target for job in plan.jobs]
    assert targets == [tmp_path / "out/x/a.png", tmp_path / "out/y/a.png"]


def test_glob_without_match_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match="no file matches"):
        inputs.plan([str(tmp_path / "*.png")], "out")


def test_file_as_output_of_several_is_a_usage_error(tmp_path):
    a, b = photo(tmp_path / "a.png"), photo(tmp_path / "b.png")
    with pytest.raises(ConfigError, match="folder"):
        inputs.plan([str(a), str(b)], str(a))


def test_link_loop_ends_and_is_named(tmp_path):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    plan = inputs.plan([str(tmp_path / "in")], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["a.png"]
    assert [p.source.name for p in plan.skipped] == ["loop"]


def test_linked_folder_is_followed(tmp_path):
    photo(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    plan = inputs.plan([str(tmp_path / "in")], str(tmp_path / "out"))
    assert [job.target for job in plan.jobs] == [tmp_path / "out/link/a.png"]


def failures(plan):
    return [(p.source.name, p.reason) for p in plan.failed]


def test_what_cannot_be_done_fails_by_name(tmp_path):
    folder = tmp_path / "in"
    photo(folder / "a.png")
    (folder / "broken.jpg").symlink_to(tmp_path / "nothing")
    (folder / "text.txt").write_text("hello")
    named = [str(folder / name) for name in ("a.png", "broken.jpg", "text.txt", "no")]
    plan = inputs.plan(named, str(tmp_path / "out"))
    assert {name for name, _ in failures(plan)} == {"broken.jpg", "text.txt", "no"}
    assert [job.source.name for job in plan.jobs] == ["a.png"]


def test_two_inputs_of_one_output_are_a_usage_error(tmp_path):
    a, b = photo(tmp_path / "x" / "a.png"), photo(tmp_path / "y" / "a.png")
    with pytest.raises(ConfigError, match="same output"):
        inputs.plan([str(a), str(b)], str(tmp_path / "out"), overwrite=True)


def test_the_same_file_twice_is_done_once(tmp_path):
    a = str(photo(tmp_path / "a.png"))
    plan = inputs.plan([a, a, str(tmp_path)], str(tmp_path / "out"))
    assert len(plan.jobs) == 1
    assert plan.failed == []


def test_an_existing_output_needs_overwrite(tmp_path):
    a, b = photo(tmp_path / "a.png"), photo(tmp_path / "b.png")
    plan = inputs.plan([str(a)], str(b))
    assert plan.jobs == []
    assert "exists" in failures(plan)[0][1]
    assert len(inputs.plan([str(a)], str(b), overwrite=True).jobs) == 1


def test_an_output_that_is_its_input_needs_overwrite(tmp_path):
    a, link = photo(tmp_path / "a.png"), tmp_path / "link.png"
    link.symlink_to(a)
    for out in (a, link):
        with pytest.raises(ConfigError, match="input"):
            inputs.plan([str(a)], str(out))
        assert len(inputs.plan([str(a)], str(out), overwrite=True).jobs) == 1


def test_output_that_is_another_input_is_a_usage_error(tmp_path):
    photo(tmp_path / "out" / "a.png", 1)
    a, b = photo(tmp_path / "a.png"), tmp_path / "out" / "a.png"
    with pytest.raises(ConfigError, match="input"):
        inputs.plan([str(a), str(b)], str(tmp_path / "out"), overwrite=True)


def anonymize(source, target, generator=None, seed=1, options=None, **kwargs):
    return files.anonymize_image_file(
        source,
        target,
        key=files.base_key(seed),
        weights=generator,
        detector=None if "given" in kwargs else detector,
        options=options or (pipeline.Options() if generator else BLACK),
        **kwargs,
    )


def read(path):
    with Image.open(path) as opened:
        return np.array(opened)


def test_report_tells_what_was_done(tmp_path):
    source = photo(tmp_path / "a.png")
    report = anonymize(source, tmp_path / "b.png")
    assert report["input_sha256"] == files.hash_file(source)
    assert report["output_sha256"] == files.hash_file(tmp_path / "b.png")
    assert (report["width"], report["height"]) == (40, 32)
    assert [face["box"] for face in report["faces"]] == [list(BOX)]
    assert report["faces"][0]["mode"] == "black"
    assert (read(tmp_path / "b.png")[8:18, 12:20] == 0).all()


def test_bytes_depend_on_seed_and_content_only(tmp_path, generator):
    source = photo(tmp_path / "a.png")
    copy = photo(tmp_path / "elsewhere" / "copy.png")
    outputs = [tmp_path / f"out{i}.png" for i in range(4)]
    anonymize(source, outputs[0], generator)
    anonymize(photo(tmp_path / "other.png", 5), outputs[1], generator)
    anonymize(copy, outputs[1], generator)
    anonymize(source, outputs[2], generator, seed=2)
    anonymize(source, outputs[3], generator, seed=None)
    first, again, other, secret = (path.read_bytes() for path in outputs)
    assert first == again
    assert len({first, other, secret}) == 3


def test_no_face_leaves_a_lossless_picture_as_it_was(tmp_path, generator):
    source = photo(tmp_path / "a.png")
    given = FileDetections(40, 32, faces=faces())
    report = anonymize(source, tmp_path / "b.png", generator, given=given)
    assert report["faces"] == []
    assert np.array_equal(read(source), read(tmp_path / "b.png"))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "CMYK"])
def test_pixels_in_given_boxes_change_no_byte(tmp_path, generator, mode):
    outputs = []
    for fill in (0, 255):
        source = tmp_path / f"{fill}.tif"
        picture = Image.open(photo(tmp_path / "a.png")).convert(mode)
        picture.paste(fill if mode in "L1" else (fill,) * len(mode), (10, 6, 22, 20))
        picture.save(source)
        picture.close()
        given = FileDetections(40, 32, faces=faces(BOX))
        anonymize(source, tmp_path / "out.tif", generator, given=given)
        outputs.append((tmp_path / "out.tif").read_bytes())
    assert outputs[0] == outputs[1]


def test_given_faces_of_another_size_or_a_video_are_refused(tmp_path):
    source = photo(tmp_path / "a.png")
    for given in (
        FileDetections(41, 32, faces=faces(BOX)),
        FileDetections(40, 32, frames=()),
    ):
        with pytest.raises(MediaError):
            anonymize(source, tmp_path / "b.png", given=given)
    assert sorted(os.listdir(tmp_path)) == ["a.png"]


@pytest.mark.parametrize("box", [(0.2, 0.1, 0.7, 0.9), (50, 40, 60, 50)])
def test_given_box_that_hides_nothing_leaves_no_output(tmp_path, box):
    source = photo(tmp_path / "a.png")
    with pytest.raises(MediaError, match=r"a\.png: box"):
        given = FileDetections(40, 32, faces=faces(BOX, box))
        anonymize(source, tmp_path / "b.png", given=given)
    assert sorted(os.listdir(tmp_path)) == ["a.png"]


def test_file_missing_in_the_detections_is_refused(tmp_path):
    given = {str(tmp_path / "a.png"): FileDetections(40, 32, faces=faces())}
    found = files.look_up(given, tmp_path / "x" / ".." / "a.png")
    assert found is given[str(tmp_path / "a.png")]
    with pytest.raises(MediaError, match="not in the file of detections"):
        files.look_up(given, tmp_path / "b.png")


def test_unwritable_output_raises_and_leaves_nothing(tmp_path):
    source = photo(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be written"):
        anonymize(source, tmp_path / "file" / "b.png")


def test_seed_out_of_range_raises():
    with pytest.raises(ConfigError, match="seed"):
        files.base_key(2**32)
    different = [files.base_key(seed) for seed in (0, 2**31, 2**32 - 1)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in different}) == 3


def test_16_bit_pictures_are_painted_in_16_bits(tmp_path, generator):
    samples = np.full((32, 40), 30_001, np.uint16)
    Image.fromarray(samples).save(tmp_path / "a.png")
    anonymize(tmp_path / "a.png", tmp_path / "b.png", generator)
    painted = read(tmp_path / "b.png")
    assert painted.dtype == np.uint16
    assert (painted[:2] == 30_001).all()
    assert len(np.unique(painted[8:18, 12:20])) > 50
