"""Checkpoints: real layouts written by hand, hostile ones, and the published numbers."""

import ast
import collections
import io
import os
import pickle
import zipfile
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxanon import convert, weights
from jaxanon.errors import WeightsError
from jaxanon.models.generators import deepprivacy_v1 as deepprivacy
from jaxanon.models.generators.deepprivacy_v1 import DeepPrivacyConfig
from jaxanon.torch_pickle import LEGACY_MAGIC, LEGACY_PROTOCOL, read_torch
from jaxanon.types import Condition

SHARED = Path(os.environ.get("JAXANON_SHARED", Path(__file__).parents[2] / "shared"))
STORAGES = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}


class Name:
    """A global that the pickle names without anybody importing it."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("only its name is used")


class Bits(np.ndarray):
    """uint16 numbers that are to be stored as bfloat16."""


class Pickler(pickle._Pickler):
    """Writes arrays as PyTorch writes tensors."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def persistent_id(self, obj):
        if not isinstance(obj, memoryview):
            return None
        array = obj.obj
        kind = (
            "BFloat16Storage" if isinstance(array, Bits) else STORAGES[array.dtype.str]
        )
        key = str(len(self.storages))
        self.storages[key] = np.asarray(array).ravel("K")
        return ("storage", Name("torch", kind), key, "cpu", array.size)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, np.ndarray):
            strides = tuple(stride // obj.itemsize for stride in obj.strides)
            hooks = collections.OrderedDict()
            arguments = (memoryview(obj), 0, obj.shape, strides, False, hooks)
            rebuild = Name("torch._utils", "_rebuild_tensor_v2")
            self.save_reduce(rebuild, arguments)
        else:
            super().save(obj, save_persistent_id)


def zip_layout(path, data_pickle, storages, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data_pickle)
        archive.writestr("archive/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())


def save_zip(path, tree):
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler.dump(tree)
    zip_layout(path, file.getvalue(), pickler.storages)


def save_legacy(path, tree):
    file = io.BytesIO()
    for head in (LEGACY_MAGIC, LEGACY_PROTOCOL, {"little_endian": True}):
        pickle.dump(head, file, protocol=2)
    pickler = Pickler(file)
    pickler.dump(tree)
    pickle.dump(list(pickler.storages), file, protocol=2)
    for array in pickler.storages.values():
        file.write(array.size.to_bytes(8, "little") + array.tobytes())
    path.write_bytes(file.getvalue())


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_read_torch_rebuilds_containers_and_views(tmp_path, save):
    x = np.arange(24, dtype="f4").reshape(2, 3, 4)
    tree = {"a": [x, x.transpose(2, 0, 1), x.astype("f2"), np.array([2**40])]}
    tree["b"] = collections.OrderedDict(
        step=3, lr=0.5, name="é", none=None, pair=(1, 2)
    )
    save(tmp_path / "t", tree)
    read = read_torch(tmp_path / "t")
    assert read["b"] == dict(tree["b"])
    for got, wanted in zip(read["a"], tree["a"], strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


def test_read_torch_widens_bfloat16(tmp_path):
    save_zip(tmp_path / "t", np.array([0x3F80, 0xC020, 0], "<u2").view(Bits))
    np.testing.assert_array_equal(read_torch(tmp_path / "t"), [1.0, -2.5, 0.0])


def test_read_torch_loads_only_what_is_selected(tmp_path):
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler.dump({"wanted": np.ones(2, "f4"), "rest": np.ones(9, "f4")})
    zip_layout(tmp_path / "t", file.getvalue(), {"0": pickler.storages["0"]})
    assert read_torch(tmp_path / "t", select=lambda t: t["wanted"]).tolist() == [1, 1]
    with pytest.raises(WeightsError, match="lacks data/1"):
        read_torch(tmp_path / "t")


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_read_torch_reads_what_pytorch_wrote(size):
    path = SHARED / "parity" / "fdf_sample" / "train" / "bounding_box" / f"{size}.torch"
    if not path.exists():
        pytest.skip("needs fdf_sample")
    boxes = read_torch(path)
    assert boxes.dtype == np.int64
    assert boxes.shape == (9, 4)
    assert (boxes >= 0).all() and (boxes <= size).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


class Touch:
    """Makes a file when its pickle is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def hostile_pickles(target):
    """Yields pickles that would create the target or alter the reader if obeyed."""
    yield pickle.dumps(Touch(target), protocol=2)
    yield b"cos\nsystem\n(S'touch " + str(target).encode() + b"'\ntR."
    yield b"(S'touch " + str(target).encode() + b"'\nios\nsystem\n."
    yield b"cbuiltins\neval\n(S'1'\ntR."
    yield b"ctorch\nload\n(S'x'\ntR."
    # BUILD and attribute paths on the objects that are allowed.
    yield b"ctorch._utils\n_rebuild_tensor_v2\n}S'__call__'\nNsb."
    yield b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}S'__doc__'\nNs\x86b."
    yield b"\x80\x04\x8c\x0bcollections\x8c\x18OrderedDict.fromkeys.__x\x93."
    yield b"\x80\x02ctorch\nFloatStorage\n}S'dtype'\nS'O'\nsb."
    yield b"\x80\x02ccollections\nOrderedDict\n}S'update'\nNsb."


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_hostile_pickle_is_refused_and_not_run(tmp_path, number, layout):
    target = tmp_path / "touched"
    hostile = list(hostile_pickles(target))[number]
    path = tmp_path / "t"
    if layout == "zip":
        zip_layout(path, hostile, {})
    else:
        path.write_bytes(hostile)
    with pytest.raises(WeightsError):
        read_torch(path)
    assert not target.exists()


def tensor(**changes):
    """Pickles a tensor of shape [2 3] over 6 numbers, with something changed."""
    fields = {"offset": 0, "shape": (2, 3), "strides": (3, 1), "count": 6} | changes
    pickler = Pickler(file := io.BytesIO())
    storage = memoryview(np.zeros(fields["count"], "f4"))
    arguments = (
        storage,
        fields["offset"],
        fields["shape"],
        fields["strides"],
        False,
        {},
    )
    pickler.write(b"\x80\x02")
    pickler.save_reduce(Name("torch._utils", "_rebuild_tensor_v2"), arguments)
    pickler.write(b".")
    return file.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (2, -3)},
        {"shape": (2, 4)},
        {"strides": (-3, 1)},
        {"strides": (4, 1)},
        {"strides": (3,)},
        {"strides": (3, 1.0)},
        {"shape": (10**9, 10**9), "strides": (0, 0)},
        {"count": 7},
    ],
)
def test_tensor_outside_its_storage_is_refused(tmp_path, changes):
    zip_layout(tmp_path / "t", tensor(), {"0": np.zeros(6, "f4")})
    assert read_torch(tmp_path / "t").shape == (2, 3)
    zip_layout(tmp_path / "t", tensor(**changes), {"0": np.zeros(6, "f4")})
    with pytest.raises(WeightsError):
        read_torch(tmp_path / "t")


def test_compressed_archive_is_refused(tmp_path):
    zip_layout(tmp_path / "t", b"N.", {}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed"):
        read_torch(tmp_path / "t")


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_truncated_checkpoint_is_refused(tmp_path, save, share):
    save(tmp_path / "t", {"a": np.ones(100, "f4")})
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError):
        read_torch(tmp_path / "t")


def test_altered_number_is_noticed(tmp_path):
    save_zip(tmp_path / "t", np.ones(100, "f4"))
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data.replace(np.ones(9, "f4").tobytes(), bytes(36), 1))
    with pytest.raises(WeightsError, match="CRC"):
        read_torch(tmp_path / "t")


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(WeightsError, match="nothing.ckpt"):
        read_torch(tmp_path / "nothing.ckpt")


TINY = DeepPrivacyConfig(width=8, latent_channels=3)


def tiny_state(release):
    """Makes a state dict of a narrow network, and the parameters it stands for."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: deepprivacy.init(jax.random.key(0), TINY))
    params = jax.tree.map(lambda a: rng.standard_normal(a.shape).astype("f4"), shapes)
    names, weight = (
        (convert._names_2019(), "conv.weight")
        if release == "2019"
        else (convert._names_2020(), "weight")
    )
    state = collections.OrderedDict()
    for name, module in names.items():
        conv = params[name].get("conv", params[name])
        state[f"{module}.{weight}"] = conv["kernel"].transpose(3, 2, 0, 1)
        bias = conv["bias"]
        state[f"{module}.bias"] = (
            bias.reshape(1, -1, 1, 1) if release == "2019" else bias
        )
    return state, params


def old_layers(state):
    """Adds what is left of growing, which the first release kept."""
    extra = {"to_rgb_old.bias": np.zeros((1, 3, 1, 1), "f4")}
    return collections.OrderedDict(state) | extra


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(("release", "epsilon"), [("2019", 1e-8), ("2020", 1e-7)])
def test_both_releases_become_our_parameters(tmp_path, save, release, epsilon):
    state, params = tiny_state(release)
    grown = {"transition_step": 5, "transition_value": 1.0}
    average = grown | {"parameters": old_layers(state)} if release == "2019" else state
    save(tmp_path / "c", {"running_average_generator": average, "D": {}, "step": 1})
    convert.convert(tmp_path / "c", tmp_path / "w.safetensors")
    loaded = weights.load(tmp_path / "w.safetensors")
    assert loaded.config == DeepPrivacyConfig(
        width=8, latent_channels=3, norm_epsilon=epsilon
    )
    assert loaded.provenance["release"] == release
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def test_bare_state_dict_of_several_devices_is_taken(tmp_path):
    state, params = tiny_state("2020")
    save_zip(tmp_path / "c", {f"module.{key}": value for key, value in state.items()})
    convert.convert(tmp_path / "c", tmp_path / "w")
    loaded = weights.load(tmp_path / "w").params
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"rgb_convolutions.4.weight": np.zeros(1, "f4")}, "MSG.*not supported"),
        ({"EMA_generator": {}}, "DeepPrivacy2, which is not supported"),
        ({"style_net.fc0.weight": np.zeros(1, "f4")}, "DeepPrivacy2"),
        ({"running_average_generator": 3}, "not a state dict"),
        (
            {"running_average_generator": {"parameters": {}, "transition_value": 0.5}},
            "still growing",
        ),
        ({"layer.weight": np.zeros(1, "f4")}, "first ones are layer.weight"),
        ({}, "first ones are none"),
        ([1, 2], "no state dict"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path, tree, message):
    save_zip(tmp_path / "c", tree)
    with pytest.raises(WeightsError, match=message):
        convert.convert(tmp_path / "c", tmp_path / "w")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("to_rgb.bias", None, "no usable parameter to_rgb.bias"),
        ("to_rgb.weight", np.zeros(3, "f4"), "no usable parameter to_rgb.weight"),
        ("to_rgb.weight", np.zeros((3, 4, 1, 1), "f4"), "asks for"),
        ("to_rgb.bias", np.full(3, np.nan, "f4"), "not finite"),
        ("attention.weight", np.zeros(1, "f4"), "unknown parameters: attention"),
    ],
)
def test_unfit_parameters_are_refused_by_name(tmp_path, key, value, message):
    state, _ = tiny_state("2020")
    save_zip(tmp_path / "c", state | {key: value})
    with pytest.raises(WeightsError, match=message):
        convert.convert(tmp_path / "c", tmp_path / "w")
    assert not (tmp_path / "w").exists()


def published_state(release):
    """Derives the weights behind the reference outputs; see parity/README.md."""
    state = collections.OrderedDict()
    for line in (SHARED / "parity" / f"keys_{release}.tsv").read_text().splitlines():
        key, shape, _ = line.split("\t")
        draw = np.random.RandomState(zlib.crc32(key.encode())).standard_normal
        array = draw(ast.literal_eval(shape)).astype("f4")
        state[key] = array * np.float32(0.1) if key.endswith("bias") else array
    return state


@pytest.mark.slow
@pytest.mark.parametrize("release", ["dp_v1_isvc", "dp_v1_master"])
def test_converted_network_equals_the_published_one(tmp_path, release):
    path = SHARED / "parity" / f"{release}.npz"
    if not path.exists():
        pytest.skip(f"needs {path.name}")
    save_zip(tmp_path / "c", {"running_average_generator": published_state(release)})
    convert.convert(tmp_path / "c", tmp_path / "w")
    _, config, params, _, _ = weights.load(tmp_path / "w")
    given = {key: array for key, array in np.load(path).items() if key != "z2"}
    image, mask, z, out = (
        given[key].transpose(0, 2, 3, 1) for key in ("condition", "mask", "z", "out")
    )
    keypoints = np.zeros((2, 11, 2), "f4")
    keypoints[:, :7] = given["landmarks"].reshape(2, 7, 2)
    condition = Condition(image, 1 - mask, keypoints, np.ones((2, 11), "f4"))
    condition, z = jax.tree.map(jax.numpy.asarray, (condition, z))
    faces = jax.jit(deepprivacy.generate, static_argnums=0)(
        config, params, condition, z
    )
    # Two independent implementations agree to 1.2e-5.
    np.testing.assert_allclose(faces, out, atol=1e-4)
