"""cookbook.zoo: what was saved comes back, and nothing else does."""

import json
import zipfile

import keras
import numpy as np
import pytest

from cookbook import paths, zoo

FACTS = dict(
    title="a test", notebook="99.9", datasets=["movies"], seed=1, epochs=2, seconds=3.21,
    metrics={"auc": {"value": 0.9, "baseline": 0.5}},
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_zoo(monkeypatch, tmp_path):
    monkeypatch.setenv("COOKBOOK_ZOO", str(tmp_path))


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])


def test_arrays_come_back():
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    zoo.save("99/arrays", {"vectors": vectors, "rows": np.arange(3)}, **FACTS)
    loaded = zoo.load("99/arrays")
    assert np.array_equal(loaded["vectors"], vectors)
    assert loaded["rows"].tolist() == [0, 1, 2]
    assert zoo.names() == ["99/arrays"]


def test_float16_halves_the_file_and_comes_back_as_float32():
    vectors = np.random.default_rng(0).normal(size=(5000, 4)).astype("float32")
    whole = zoo.save("99/whole", {"vectors": vectors}, **FACTS)["weights"]["bytes"]
    half = zoo.save("99/half", {"vectors": vectors}, **FACTS, float16=True)["weights"]["bytes"]
    assert half < 0.6 * whole
    loaded = zoo.load("99/half")["vectors"]
    assert loaded.dtype == np.float32
    assert np.allclose(loaded, vectors, atol=2e-3)


@pytest.mark.parametrize("float16", [False, True])
def test_keras_model_comes_back(model, float16):
    card = zoo.save("99/model", model, **FACTS, float16=float16)
    inputs = np.random.default_rng(0).normal(size=(16, 4))
    loaded = zoo.load("99/model")
    assert np.allclose(loaded(inputs), model(inputs), atol=5e-3 if float16 else 1e-6)
    assert card["parameters"] == model.count_params() == 49


def test_the_optimizer_stays_behind(model):
    small = zoo.save("99/model", model, **FACTS)["weights"]["bytes"]
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones(8), verbose=0)
    trained = zoo.save("99/model", model, **FACTS)["weights"]["bytes"]
    assert trained < 1.2 * small
    loaded = zoo.load("99/model")
    assert not loaded.compiled
    assert np.allclose(loaded(np.ones((2, 4))), model(np.ones((2, 4))))


def test_card_says_where_the_model_comes_from(model):
    zoo.save("99/model", model, **FACTS)
    card = zoo.card("99/model")
    assert card["data"][0]["licence"] == "CC0-1.0"
    assert card["data"][0]["hash"].startswith("sha256:")
    assert card["command"] == "make train NB=99.9"
    assert card["seconds"] == 3.2
    assert card["versions"]["keras"] == keras.__version__


@pytest.mark.parametrize("kind", ["arrays", "model"])
@pytest.mark.parametrize("position", [0.0, 0.5, 0.999])
def test_flipped_byte_is_refused(model, kind, position):
    zoo.save("99/any", model if kind == "model" else {"a": np.ones(1000)}, **FACTS)
    file = paths.zoo() / "99/any" / zoo.card("99/any")["weights"]["file"]
    content = bytearray(file.read_bytes())
    content[int(position * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(zoo.ZooError, match=rf"{file.name} was cut or changed.*git checkout zoo"):
        zoo.load("99/any")


def test_cut_and_missing_weights_are_refused(model):
    zoo.save("99/model", model, **FACTS)
    file = paths.zoo() / "99/model/model.keras"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(zoo.ZooError, match="cut or changed"):
        zoo.load("99/model")
    file.unlink()
    with pytest.raises(zoo.ZooError, match=r"model\.keras is missing\. Restore it"):
        zoo.load("99/model")


def test_unknown_model_says_what_to_do():
    with pytest.raises(zoo.ZooError, match="no model '99/none'"):
        zoo.load("99/none")


def test_nothing_is_unpickled():
    """A file with a pickle inside is refused, even under a card that vouches for it."""
    zoo.save("99/arrays", {"a": np.ones(3)}, **FACTS)
    file, card_file = paths.zoo() / "99/arrays/arrays.npz", paths.zoo() / "99/arrays/card.json"
    np.savez(file, a=np.array([{"an": "object"}], dtype=object))
    card = json.loads(card_file.read_text())
    card["weights"]["sha256"] = zoo.pooch.file_hash(str(file))
    card_file.write_text(json.dumps(card))
    with pytest.raises(ValueError, match="allow_pickle"):
        zoo.load("99/arrays")


def test_keras_code_inside_a_model_is_refused():
    """A Lambda layer holds marshalled code: safe mode does not run it."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    zoo.save("99/lambda", model, **FACTS)
    with pytest.raises(ValueError, match=r"unsafe|safe_mode|Lambda"):
        zoo.load("99/lambda")


def test_too_large_a_file_is_not_kept(monkeypatch):
    monkeypatch.setattr(zoo, "LIMIT", 1000)
    with pytest.raises(zoo.ZooError, match="over the"):
        zoo.save("99/large", {"a": np.random.default_rng(0).normal(size=5000)}, **FACTS)
    assert not (paths.zoo() / "99/large/arrays.npz").exists()


def test_check_compares_with_the_card():
    zoo.save("99/arrays", {"a": np.ones(3)}, **FACTS)
    zoo.check("99/arrays", auc=0.902)
    with pytest.raises(zoo.ZooError, match=r"auc is 0\.950, but its card says 0\.900"):
        zoo.check("99/arrays", auc=0.95)


def test_the_zoo_of_the_repository(monkeypatch):
    """Every card names its model and its weights; nothing else lies about; sizes are kept."""
    monkeypatch.delenv("COOKBOOK_ZOO")
    described = set()
    for name in zoo.names():
        card = zoo.card(name)
        folder = paths.zoo() / name
        described |= {folder / "card.json", folder / card["weights"]["file"]}
        assert card["metrics"], name
        for metric in card["metrics"].values():
            assert {"value", "baseline"} <= set(metric), name
        assert zoo.pooch.file_hash(str(folder / card["weights"]["file"])) == card["weights"]["sha256"]
    files = {file for file in paths.zoo().glob("*/**/*") if file.is_file()}
    assert files == described
    assert all(file.stat().st_size <= zoo.LIMIT for file in files)
    assert sum(file.stat().st_size for file in files) <= 100_000_000
    for file in files:
        if file.suffix in (".npz", ".keras"):
            assert not any("pkl" in member for member in zipfile.ZipFile(file).namelist())
