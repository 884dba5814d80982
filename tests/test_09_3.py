"""Notebook 09.3: pictures come out of archives with their kinds, only what may be trained changes."""

import io
import tarfile
import zipfile

import backends
import numpy as np
import pytest
from PIL import Image

import book
from cookbook import data, zoo


@pytest.fixture(scope="module")
def nb():
    module = book.definitions("09.3")
    module.KINDS = np.array(["cat", "dog"])
    return module


@pytest.fixture(scope="module")
def net():
    return zoo.load("09/efficientnet-lite0")


def encoded(shade: int, kind: str = "PNG", side: int = 8) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side + 2), (shade, shade, shade)).save(content, kind)
    return content.getvalue()


def zipped(tmp_path, members: dict[str, bytes]):
    file = tmp_path / "own.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def tarred(tmp_path, members: dict[str, bytes]):
    file = tmp_path / "pets.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        folder = tarfile.TarInfo("images")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cat/0007.png", "cat"),
        ("own/maple leaf/1.jpg", "maple leaf"),
        ("images/Maine_Coon_7.jpg", "Maine Coon"),
        ("images/american_pit_bull_terrier_191.jpg", "american pit bull terrier"),
    ],
)
def test_kinds_are_read_from_names(nb, name, kind):
    assert nb.kind(name) == kind


def test_a_zip_with_folders_is_read(nb, tmp_path):
    file = zipped(
        tmp_path, {"a/1.png": encoded(10), "b/1.jpg": encoded(200, "JPEG"), "b/": b"", "b/read me.txt": b"hello"}
    )
    pixels, kinds, broken = nb.load(file, side=6)
    assert pixels.shape == (2, 6, 6, 3)
    assert pixels.dtype == np.uint8
    assert kinds.tolist() == ["a", "b"]
    assert np.abs(pixels.mean(axis=(1, 2, 3)) - [10, 200]).max() < 2
    assert broken == []


def test_the_archive_of_the_pets_is_read(nb, tmp_path):
    members = {"images/Abyssinian_1.jpg": encoded(5, "JPEG"), "images/Abyssinian_1.mat": b"not a picture"}
    file = tarred(tmp_path, members | {"images/basset_hound_2.jpg": encoded(9, "JPEG")})
    pixels, kinds, _ = nb.load(file, side=6)
    assert pixels.shape == (2, 6, 6, 3)
    assert kinds.tolist() == ["Abyssinian", "basset hound"]


def test_broken_pictures_are_listed(nb, tmp_path):
    whole = encoded(7, side=90)
    file = zipped(tmp_path, {"a/1.png": whole, "a/2.png": whole[:60], "b/1.png": whole, "b/2.png": b"<html>"})
    pixels, _, broken = nb.load(file)
    assert pixels.shape == (2, nb.SIDE, nb.SIDE, 3)
    assert broken == ["a/2.png", "b/2.png"]


@pytest.mark.parametrize("members", [{}, {"a/1.png": encoded(1)}, {"a/1.png": encoded(1), "b/1.png": b"broken"}])
def test_one_kind_is_too_few(nb, tmp_path, members):
    with pytest.raises(ValueError, match=r"own\.zip holds pictures of [01] kinds; to tell kinds apart takes two"):
        nb.load(zipped(tmp_path, members))


def test_the_shipped_pictures_are_a_thousand_of_each(nb):
    names = [name for name, _ in nb.members(data.path("cats-and-dogs"))]
    assert [sum(nb.kind(name) == kind for name in names) for kind in ("cat", "dog")] == [1000, 1000]


def test_trunk_and_top_are_the_network(nb, net):
    """The new head gets from trunk and top what it would get from the whole network."""
    trunk = nb.keras.Model(net.input, net.get_layer("block_14_add").output)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3))
    seen = trunk.predict(pixels, verbose=0)
    top = nb.top()
    kernel, bias = top.get_layer("head").get_weights()
    vectors = nb.keras.Model(net.input, net.get_layer("vector").output).predict(pixels, verbose=0)
    expected = np.exp(vectors @ kernel + bias)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(top.predict(seen, verbose=0), expected, atol=1e-4)
    assert top.output_shape == (None, 2)


def prepared(nb, monkeypatch, rows: int = 12):
    """Random pictures as the trunk would give them, half of them brighter, as the notebook's own variables."""
    rng = np.random.default_rng(1)
    labels = np.arange(rows) % 2
    seen = rng.normal(size=(rows, 2, 2, 192)).astype("float32") + labels[:, None, None, None]
    monkeypatch.setattr(nb, "labels", labels, raising=False)
    monkeypatch.setattr(nb, "train", np.arange(rows), raising=False)
    monkeypatch.setattr(nb, "held", np.arange(rows), raising=False)
    monkeypatch.setattr(nb, "seen", seen, raising=False)
    return seen


def changed(nb, monkeypatch, trained) -> set[str]:
    """The layers whose weights a training of one epoch changes."""
    seen = prepared(nb, monkeypatch)
    model = nb.top()
    before = {layer.name: layer.get_weights() for layer in model.layers}
    curve = nb.fit(model, trained, 1e-2, 1, [seen])
    assert len(curve) == 1
    assert 0 <= curve[0] <= 1
    return {
        layer.name
        for layer in model.layers
        if any((one != other).any() for one, other in zip(before[layer.name], layer.get_weights(), strict=True))
    }


def test_the_head_alone_changes(nb, monkeypatch):
    assert changed(nb, monkeypatch, nb.head_only) == {"head"}


def test_the_block_changes_but_no_normalisation(nb, monkeypatch):
    found = changed(nb, monkeypatch, nb.all_but_norms)
    assert found == {"block_15_expand", "block_15_depthwise", "block_15_project", "top", "head"}


def test_views_take_turns(nb, monkeypatch):
    seen = prepared(nb, monkeypatch)
    asked = []

    class Puppet:
        layers = ()

        def compile(self, *_, **options):
            assert options["jit_compile"] is False

        def fit(self, view, labels, **_):
            asked.append(float(view[0, 0, 0, 0]))

        def evaluate(self, *_, **__):
            return 0.3, len(asked) / 10

    views = [np.full_like(seen, number) for number in range(3)]
    assert nb.fit(Puppet(), nb.head_only, 1e-3, 5, views) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert asked == [0, 1, 2, 0, 1]


def test_views_differ_and_stay_pictures(nb):
    pixels = np.random.default_rng(2).integers(0, 256, (3, 40, 40, 3), dtype="uint8")
    one, other = nb.view(pixels), nb.view(pixels)
    assert one.shape == other.shape == pixels.shape
    assert one.min() >= 0
    assert one.max() <= 255
    assert (one != other).any()


def test_the_small_network_takes_small_pictures(nb):
    model = nb.small_network()
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    found = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.predict(pixels, verbose=0), found, atol=1e-6)  # no mirroring when it answers


def test_halved_weights_fit_into_16_bits(nb):
    model = nb.halved(nb.small_network())
    assert all((each == each.astype("float16")).all() for each in model.get_weights())


def test_right_counts(nb, monkeypatch):
    prepared(nb, monkeypatch, rows=4)

    class Puppet:
        def predict(self, *_, **__):
            return np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])

    assert nb.right(Puppet(), None) == 0.75


def test_what_is_no_picture_is_not_told(nb):
    for shape in ((32, 32), (32, 32, 4), (1, 32, 32, 3)):
        with pytest.raises(ValueError, match=r"A picture has the shape \(height, width, 3\)"):
            nb.tell(np.zeros(shape))


def test_models_of_the_zoo_are_small():
    """The trunk is in the zoo once; what is added to it is at most 2.5 MB."""
    for name in ("retrained-head", "retrained-block", "from-scratch", "retraining-curves"):
        assert zoo.card(f"09/{name}")["weights"]["bytes"] < 2_500_000


ELSEWHERE = """
import numpy as np
import book
from cookbook import zoo
nb = book.definitions("09.3")
nb.KINDS, nb.labels = np.array(["cat", "dog"]), np.arange(8) % 2
nb.train = nb.held = np.arange(8)
pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype="uint8")
net = zoo.load("09/efficientnet-lite0")
trunk = nb.keras.Model(net.input, net.get_layer("block_14_add").output)
nb.seen = trunk.predict(pixels, verbose=0)
for trained in (nb.head_only, nb.all_but_norms):
    assert 0 <= nb.fit(nb.top(), trained, 1e-3, 1, [nb.seen])[0] <= 1
assert zoo.load("09/retrained-block").predict(nb.seen, verbose=0).shape == (8, 2)
assert nb.small_network().predict(pixels[:, :32, :32], verbose=0).shape == (8, 2)
"""


@pytest.mark.slow
@backends.OTHERS
def test_models_run_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
