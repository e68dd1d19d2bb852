"""Weights files: what goes in comes out, and nothing else is accepted."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxanon import weights
from jaxanon.errors import WeightsError
from jaxanon.models.generators import deepprivacy_v1 as deepprivacy
from jaxanon.models.generators.deepprivacy_v1 import DeepPrivacyConfig

CONFIG = DeepPrivacyConfig(resolution=8, width=8, latent_channels=2)
KIND = "deepprivacy_v1"
PROVENANCE = {"data": ["a", "b"], "images": 12}


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: deepprivacy.init(jax.random.key(0), CONFIG))
    return jax.tree.map(lambda a: rng.standard_normal(a.shape).astype("f4"), shapes)


@pytest.fixture
def path(tmp_path, params):
    weights.save(tmp_path / "w.safetensors", KIND, CONFIG, params, PROVENANCE)
    return tmp_path / "w.safetensors"


def rewrite(path, change):
    """Rewrites the header of a weights file after a change of its metadata."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header["__metadata__"])
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data[8 + length :])


def test_round_trip_float32(tmp_path, params):
    path = tmp_path / "w.safetensors"
    sha256 = weights.save(path, KIND, CONFIG, params, PROVENANCE, dtype="float32")
    loaded = weights.load(path)
    assert loaded._replace(params={})[:5] == (KIND, CONFIG, {}, PROVENANCE, sha256)
    assert loaded.cast is None
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def test_float16_on_disk_is_float32_in_memory(path, params):
    loaded = weights.load(path)
    assert safetensors.numpy.load_file(path)["to_rgb/kernel"].dtype == np.float16
    wanted = jax.tree.map(lambda a: a.astype("f2").astype("f4"), params)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, wanted)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(loaded.params)} == {"float32"}


def test_equal_contents_make_equal_bytes(path, tmp_path, params):
    again = tmp_path / "again.safetensors"
    weights.save(again, KIND, CONFIG, params, dict(reversed(PROVENANCE.items())))
    assert path.read_bytes() == again.read_bytes()


def test_save_leaves_no_temporary_file(path):
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_failed_save_keeps_the_old_file(path, params):
    before = path.read_bytes()
    huge = jax.tree.map(lambda a: a + 1e6, params)
    with pytest.raises(WeightsError, match="not finite in float16"):
        weights.save(path, KIND, CONFIG, huge, {})
    assert path.read_bytes() == before


def test_save_into_a_missing_folder_names_it(tmp_path, params):
    with pytest.raises(WeightsError, match="nowhere"):
        weights.save(tmp_path / "nowhere" / "w", KIND, CONFIG, params, {})


@pytest.mark.parametrize("name", weights.names())
def test_shipped_weights_are_those_of_their_config(tmp_path, name):
    # Under another path all is checked, which loading by name leaves to this test.
    copy = tmp_path / "copy"
    copy.write_bytes((weights.ASSETS / f"{name}.safetensors").read_bytes())
    assert weights.load(copy).sha256 == weights.load(name).sha256


def test_missing_file_lists_the_shipped_names():
    with pytest.raises(WeightsError, match="No weights nobody.*shipped"):
        weights.load("nobody")


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_truncated_file_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="damaged"):
        weights.load(path)


def test_foreign_safetensors_file_is_refused(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(3, "f4")}, tmp_path / "foreign")
    with pytest.raises(WeightsError, match="no config, kind, provenance, version"):
        weights.load(tmp_path / "foreign")


def set_field(name, value):
    def change(metadata):
        fields = json.loads(metadata["config"]) | {name: value}
        metadata["config"] = json.dumps(fields)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(kind="magic"), "unknown kind 'magic'"),
        (lambda m: m.update(version="9"), "layout '9'"),
        (lambda m: m.update(config="{"), "not JSON"),
        (lambda m: m.update(provenance="[]"), "JSON objects"),
        (set_field("witdh", 8), "unknown config field 'witdh'.*'width'"),
        (set_field("width", "8"), "config field 'width' cannot be '8'"),
        (set_field("width", True), "config field 'width' cannot be True"),
        (set_field("width", 16), r"is \(.*\), but its config asks for"),
        (set_field("resolution", 16), "missing parameter"),
        (set_field("resolution", 4), "unknown parameter"),
        (set_field("resolution", 12), "must be a power of two"),
    ],
)
def test_wrong_metadata_is_refused_and_named(path, change, message):
    rewrite(path, change)
    with pytest.raises(WeightsError, match=message):
        weights.load(path)


def test_absent_config_field_keeps_its_default(path):
    rewrite(
        path, lambda m: m.update(config=m["config"].replace('"dtype": "float32", ', ""))
    )
    assert weights.load(path).config == CONFIG


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_parameters_are_refused(path, bad):
    tensors = safetensors.numpy.load_file(path)
    offset = path.read_bytes().rindex(tensors["to_rgb/kernel"].tobytes())
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = np.float16(bad).tobytes()
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="'to_rgb/kernel' is not finite"):
        weights.load(path)


def test_config_of_another_kind_is_refused(tmp_path, params):
    with pytest.raises(WeightsError, match="is not the config of unet"):
        weights.save(tmp_path / "w", "unet", CONFIG, params, {})


def test_flatten_and_unflatten_are_inverse():
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert weights.flatten(nested) == {"a/b": 1, "a/c/d": 2, "e": 3}
    assert weights.unflatten(weights.flatten(nested)) == nested
    with pytest.raises(ValueError, match="slash"):
        weights.flatten({"a/b": 1})
