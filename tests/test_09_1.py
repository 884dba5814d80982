"""Notebook 09.1: a file of weights is read without trusting it, the network is what it means, doubt is counted."""

import copyreg
import io
import pickle
import struct
import sys
import types
from collections import OrderedDict

import backends
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import book
from cookbook import data

MODULE = book.definitions("09.1")
NUMBERS = np.arange(24, dtype="<f4")


@pytest.fixture(scope="module")
def nb():
    return MODULE


class Storage:
    """Stands for torch.FloatStorage: pickled as a reference."""

    def __init__(self, key: str = "7", kind: str = "FloatStorage", count: int = 24):
        self.key, self.kind, self.count = key, kind, count


class Tensor:
    """Stands for a tensor: pickled as a call of torch._utils._rebuild_tensor_v2."""

    def __init__(self, storage, place=0, shape=(2, 3, 4), strides=(12, 4, 1)):
        self.arguments = (storage, place, shape, strides, False, OrderedDict())


def written(table, keys=("7",), stores=(NUMBERS,), magic=MODULE.MAGIC) -> bytes:
    """A file as torch.save wrote it before version 1.6, made without torch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    kinds = {}
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        kinds[name] = type(name, (), {"__module__": "torch"})
        setattr(torch, name, kinds[name])

    def rebuild(*_):
        raise AssertionError("writing calls nothing")

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", *["_rebuild_tensor_v2"] * 2
    utils._rebuild_tensor_v2 = rebuild

    class Writer(pickle.Pickler):
        dispatch_table = copyreg.dispatch_table.copy() | {Tensor: lambda each: (rebuild, each.arguments)}

        def persistent_id(self, each):
            if isinstance(each, Storage):
                return ("storage", kinds.get(each.kind, each.kind), each.key, "cpu", each.count, None)
            return None

    file = io.BytesIO()
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        for part in (magic, 1001, {"little_endian": True}, table, list(keys)):
            Writer(file, protocol=2).dump(part)
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module:
                sys.modules[name] = module
    for store in stores:
        file.write(struct.pack("<q", len(store)) + store.tobytes())
    return file.getvalue()


def table(*arguments, **options) -> OrderedDict:
    return OrderedDict(w=Tensor(Storage(), *arguments, **options))


GOOD = written(table())


def pickled(program: bytes) -> bytes:
    """A file whose fourth pickle, the table, is this program."""
    parts = [pickle.dumps(each, 2) for each in (MODULE.MAGIC, 1001, {})]
    return b"".join([*parts, program, pickle.dumps(["7"], 2)])


def test_a_tensor_is_read(nb):
    found = nb.read_weights(GOOD)
    assert list(found) == ["w"]
    assert found["w"].dtype == np.float32
    assert (found["w"] == NUMBERS.reshape(2, 3, 4)).all()
    found["w"][:] = 0  # a copy, which may be written to


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_strides_are_respected(nb, axes):
    expected = NUMBERS.reshape(2, 3, 4).transpose(axes)
    strides = tuple(step // 4 for step in expected.strides)
    found = nb.read_weights(written(table(0, expected.shape, strides)))["w"]
    assert (found == expected).all()
    assert found.flags.c_contiguous


def test_tensors_share_a_store_and_begin_anywhere(nb):
    both = OrderedDict(a=Tensor(Storage(), 4, (2, 2), (2, 1)), b=Tensor(Storage(), 23, (), ()))
    found = nb.read_weights(written(both))
    assert found["a"].tolist() == [[4, 5], [6, 7]]
    assert found["b"] == 23


def test_whole_numbers_are_read(nb):
    count = OrderedDict(n=Tensor(Storage("9", "LongStorage", 1), 0, (), ()))
    found = nb.read_weights(written(count, ["9"], [np.array([2**40])]))
    assert found["n"].dtype == np.int64
    assert found["n"] == 2**40


@pytest.mark.parametrize(
    ("place", "shape", "strides"),
    [
        (1, (2, 3, 4), (12, 4, 1)),  # one number too far
        (0, (2, 3, 4), (13, 4, 1)),
        (24, (1,), (1,)),
        (0, (25,), (1,)),
        (0, (2**40,), (0,)),  # more of it than there is
        (0, (1000, 1000), (0, 0)),
        (-1, (2,), (1,)),  # before the store
        (5, (2,), (-5,)),
        (0, (-2,), (1,)),
        (0, (0,), (1,)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (0, ("2",), (1,)),
        (0, (1,), (2**70,)),
        (2**70, (1,), (1,)),
        (0, [2], (1,)),
        (None, (2,), (1,)),
        (0, (2,) * 70, (0,) * 70),
    ],
)
def test_a_tensor_outside_of_its_store_is_refused(nb, place, shape, strides):
    with pytest.raises(nb.WeightsError, match=r"impossible shape|points at number|does not\.|cut or damaged"):
        nb.read_weights(written(table(place, shape, strides)))


@pytest.mark.parametrize("keep", [0, 1, 100, 200, len(GOOD) - 97, len(GOOD) - 96, len(GOOD) - 4, len(GOOD) - 1])
def test_a_file_that_is_cut_is_refused(nb, keep):
    with pytest.raises(nb.WeightsError, match="cut"):
        nb.read_weights(GOOD[:keep])


@pytest.mark.parametrize("count", [-1, 0, 25, 2**31, 2**63 - 1])
def test_a_store_with_a_wrong_count_is_refused(nb, count):
    with pytest.raises(nb.WeightsError):
        nb.read_weights(GOOD[:-104] + struct.pack("<q", count) + NUMBERS.tobytes())


PROGRAMS = {
    "global": b"cos\nsystem\n(S'touch TARGET'\ntR.",
    "instance": b"(S'touch TARGET'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch TARGET'\no.",
    "stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch TARGET\x85R.",
    "eval": b'cbuiltins\neval\n(S\'open("TARGET", "w")\'\ntR.',
    "dotted": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
    "module": b"ctorch.hub\nload\n(S'x/y'\ntR.",
    "jit": b"ctorch.jit\nload\n(S'TARGET'\ntR.",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_refused_and_not_run(nb, name, tmp_path):
    target = tmp_path / "touched"
    program = PROGRAMS[name].replace(b"TARGET", str(target).encode())
    if name == "stack":
        text = b"touch " + str(target).encode()
        program = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(text)]) + text + b"\x85R."
    with pytest.raises(nb.WeightsError, match=r"The file wants to use (os|builtins|collections|torch)[\w.]*\.\w+"):
        nb.read_weights(pickled(program))
    assert not target.exists()


@pytest.mark.parametrize(
    "program",
    [b"Np4000000000\n.", b"\x80\x02Nr\xff\xff\xff\x7f.", b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f."],
    ids=["put", "long put", "long text"],
)
def test_memory_is_not_given_away(nb, program):
    with pytest.raises(nb.WeightsError, match=r"more memory|cut or damaged"):
        nb.read_weights(pickled(program))


@pytest.mark.parametrize(
    "program",
    [
        b"N.",
        b"]K\x01a.",
        b"}(U\x01wK\x01u.",  # a table of numbers
        b"\x80\x02\x82\x01.",  # an extension that nobody registered
        b"ctorch._utils\n_rebuild_tensor_v2\n(U\x02f4K\x00K\x01\x85K\x01\x85tR.",  # a store that is no reference
        b"(U\x07storageU\x02O8U\x017U\x03cpuK\x01NtQ.",  # objects
        b"(U\x07storagectorch\nFloatStorage\nK\x07U\x03cpuK\x01NtQ.",  # a key that is no text
        b"K\x01Q.",
        b"}(K\x01K\x02u.",
    ],
)
def test_what_is_no_table_is_refused(nb, program):
    with pytest.raises(nb.WeightsError):
        nb.read_weights(pickled(program))


def test_other_files_are_refused(nb):
    for content in (b"", b"PK\x03\x04" + bytes(50), b"\x89PNG\r\n", b"<html>", pickle.dumps({"w": 1}), bytes(999)):
        with pytest.raises(nb.WeightsError):
            nb.read_weights(content)
    with pytest.raises(nb.WeightsError, match="no file of weights"):
        nb.read_weights(written(table(), magic=5))


def test_stores_and_tensors_must_fit(nb):
    with pytest.raises(nb.WeightsError, match="do not fit together"):
        nb.read_weights(written(table(), ["7", "8"], [NUMBERS, NUMBERS]))
    with pytest.raises(nb.WeightsError, match="do not fit together"):
        nb.read_weights(written(table(), [], []))
    with pytest.raises(nb.WeightsError, match=r"torch\.HalfStorage"):
        nb.read_weights(written(OrderedDict(w=Tensor(Storage(kind="HalfStorage")))))


@given(changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=5), cut=st.booleans())
@settings(max_examples=400, deadline=None)
def test_damage_gives_tensors_or_a_sentence(changes, cut):
    damaged = bytearray(GOOD)
    for place, value in changes:
        damaged[place] = value
    if cut and changes:
        del damaged[changes[0][0] :]
    try:
        found = MODULE.read_weights(bytes(damaged))
    except MODULE.WeightsError as error:
        assert str(error).endswith(".")
        return
    assert all(isinstance(each, np.ndarray) and each.size <= 24 for each in found.values())


def test_the_real_file_has_no_number_too_many(nb):
    weights = nb.read_weights(data.path("efficientnet-lite0").read_bytes())
    assert len(weights) == 296
    assert all(np.isfinite(each).all() for each in weights.values())
    assert all((each >= 0).all() for name, each in weights.items() if name.endswith("running_var"))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("stem", ("_conv_stem", "_bn0")),
        ("top", ("_conv_head", "_bn1")),
        ("block_00_depthwise", ("_blocks.0._depthwise_conv", "_blocks.0._bn1")),
        ("block_12_expand", ("_blocks.12._expand_conv", "_blocks.12._bn0")),
        ("block_15_project", ("_blocks.15._project_conv", "_blocks.15._bn2")),
    ],
)
def test_layers_are_called_as_in_the_file(nb, ours, theirs):
    assert nb.their_names(ours) == theirs


def test_a_network_takes_its_weights_and_leaves_counters(nb):
    net = nb.network()
    assert net.count_params() == 4_694_024
    assert net.output_shape == (None, 1000)
    unused = nb.fill(net, nb.read_weights(data.path("efficientnet-lite0").read_bytes()))
    assert {name.rpartition(".")[2] for name in unused} == {"num_batches_tracked"}
    for name in ("block_10_add", "block_14_add", "block_15_project_norm", "top_relu", "vector"):
        assert net.get_layer(name)  # what later notebooks cut the network at


def test_missing_weights_are_an_error(nb):
    with pytest.raises(KeyError, match="_conv_stem"):
        nb.fill(nb.network(), {})


def test_answers_come_best_first(nb, monkeypatch):
    monkeypatch.setattr(nb, "names", list("abcd"), raising=False)
    assert nb.answers(np.array([0.1, 0.5, 0.15, 0.25]), 3) == [("b", 0.5), ("d", 0.25), ("c", 0.15)]


def test_doubt_counts_classes(nb):
    sure, even, half = np.eye(8)[0], np.full(8, 1 / 8), np.array([0.5, 0.5] + [0] * 6)
    np.testing.assert_allclose(nb.doubt(np.stack([sure, even, half])), [1, 8, 2], rtol=1e-6)


def test_mosaic_keeps_each_filter(nb):
    filters = np.random.default_rng(0).normal(size=(16, 3, 3, 3))
    picture = nb.mosaic(filters, columns=8)
    assert picture.shape == (8, 32, 3)
    assert picture.min() == 0
    assert picture.max() == 1
    tile = picture[4:7, 8:11]  # second row, third column: filter 10
    scaled = (filters[10] - filters[10].min()) / np.ptp(filters[10])
    np.testing.assert_allclose(tile, scaled.transpose(1, 2, 0))


def test_resized_takes_the_middle(nb):
    pixels = np.zeros((10, 30, 3), "uint8")
    pixels[:, 10:20] = 200
    assert (nb.resized(pixels, 5, nb.Image.Resampling.NEAREST) == 200).all()


ELSEWHERE = """
import json
import numpy as np
import book
from cookbook import data, pictures
nb = book.definitions("09.1")
nb.names = json.loads(data.path("imagenet-classes").read_text("utf8"))
net = nb.network()
nb.fill(net, nb.read_weights(data.path("efficientnet-lite0").read_bytes()))
pixels = pictures.square(pictures.load(data.path("photo-coffee")), 224)
name, probability = nb.answers(net.predict(pixels[None], verbose=0)[0])[0]
assert name == "espresso" and abs(probability - 0.94) < 0.01, (name, probability)
"""


@pytest.mark.slow
@backends.OTHERS
def test_the_network_says_the_same_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
