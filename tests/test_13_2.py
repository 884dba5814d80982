"""Notebook 13.2: shaken digits, networks with and without labels, the flow, and all on other backends."""

import backends
import numpy as np
import pytest

import book
from cookbook import zoo

ONE = np.eye(10, dtype="float32")


@pytest.fixture(scope="module")
def nb():
    return book.definitions("13.2")


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((10, 28, 28, 1), "float32")


def test_a_shaken_picture_is_nearly_the_same(nb):
    picture = np.zeros((28, 28, 1), "float32")
    picture[8:20, 12:16] = 1
    for seed in range(20):
        moved = nb.shaken(picture, np.random.default_rng(seed))
        assert moved.shape == (28, 28, 1)
        assert moved.sum() == pytest.approx(picture.sum(), rel=0.25)
        assert 0 <= moved.min() <= moved.max() <= 1
        rows, columns = (np.average(np.arange(28), weights=moved[..., 0].sum(axis=axis)) for axis in (1, 0))
        assert rows == pytest.approx(13.5, abs=1.2)
        assert columns == pytest.approx(13.5, abs=1.2)


@pytest.mark.parametrize("kinds", [0, 10])
def test_networks_take_labels_where_they_are_told_to(nb, pictures, kinds):
    model = nb.variational(3, kinds)
    told = [ONE] if kinds else []
    assert model([pictures, *told] if kinds else pictures).shape == (10, 28, 28, 1)
    mean, deviation = nb.codes(model, pictures, *told)
    assert mean.shape == deviation.shape == (10, 3)
    assert (deviation > 0).all()
    assert nb.sheet(model, mean, *told).shape == (10, 28, 28)


def test_the_divergence_is_weighed_and_the_weight_is_kept(nb):
    named = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    layers = [nb.Code(), nb.Code(0.1)]
    for layer in layers:
        assert layer(named).shape == (5, 4)
    assert float(layers[1].losses[0]) == pytest.approx(0.1 * float(layers[0].losses[0]), rel=1e-5)
    assert nb.Code.from_config(layers[1].get_config()).weight == 0.1


def test_the_bound_is_reconstruction_and_divergence(nb, pictures):
    model = nb.variational(2)
    mean, deviation = nb.codes(model, pictures)
    divergence = ((mean**2 + deviation**2 - 1) / 2 - np.log(deviation)).sum(axis=1).mean()
    surprise = float(np.mean(nb.nats(pictures, nb.half(model, "decoder", mean))))
    assert nb.bound(model, pictures) == pytest.approx(surprise + divergence, rel=0.02)


def test_the_map_has_an_edge(nb):
    nb.plane = zoo.load("13/plane", {"Code": nb.Code})
    assert nb.on_map(0, 0).shape == (28, 28)
    for place in ((9, 0), (0, -4.5), (float("inf"), 0)):
        with pytest.raises(ValueError, match="map ends 4 deviations"):
            nb.on_map(*place)


def test_clocks_tell_times_apart(nb):
    made = nb.clock(np.linspace(0, 1, 101))
    assert made.shape == (101, 16)
    assert made.dtype == np.float32
    assert np.linalg.norm(np.diff(made, axis=0), axis=1).min() > 0.1


def test_a_lesson_lies_on_the_line_from_noise_to_code(nb):
    mean = np.array([[3.0, -1.0]])
    (point, clock, label), direction = nb.lesson(mean, 0 * mean, ONE[:1], 50, np.random.default_rng(0))
    t = np.random.default_rng(0)
    t.integers(0, 1, 50)
    t = t.random(50)[:, None]
    assert point + (1 - t) * direction == pytest.approx(np.tile(mean, (50, 1)), abs=1e-5)
    assert np.array_equal(clock, nb.clock(t[:, 0]))
    assert label.shape == (50, 10)
    assert 0 < (label.sum(axis=1) == 0).sum() < 20  # one in seven is blank


def test_guidance_says_louder_what_the_label_says(nb):
    class Sides:
        """A label pulls up by 1; without one nothing moves."""

        inputs = tuple(np.zeros((1, size)) for size in (2, 16, 3))

        def predict(self, inputs, **_):
            return np.repeat(inputs[2].sum(axis=1, keepdims=True), 2, axis=1).astype("float32")

    labels = np.eye(3, dtype="float32")
    start = nb.follow(Sides(), labels, guidance=0)
    assert nb.follow(Sides(), labels, guidance=1) - start == pytest.approx(np.ones((3, 2)), abs=1e-5)
    assert nb.follow(Sides(), labels, guidance=3) - start == pytest.approx(3 * np.ones((3, 2)), abs=1e-5)


def test_a_flow_that_knows_the_way_arrives(nb):
    """Straight to one code: the direction at a point is (code - point) / (1 - t), which clocks of slow speed tell."""
    code = np.array([1.5, -0.5])

    class Straight:
        inputs = tuple(np.zeros((1, size)) for size in (2, 16, 3))

        def __init__(self):
            self.calls = []

        def predict(self, inputs, **_):
            point, clock, _ = inputs
            t = np.arctan2(clock[:, 0], clock[:, 8]) / (np.pi / 2)
            self.calls.append(float(t[0]))
            return ((code - point) / (1 - t[:, None])).astype("float32")

    flow = Straight()
    found = nb.follow(flow, np.zeros((20, 3), "float32"), steps=10)
    assert found == pytest.approx(np.tile(code, (20, 1)), abs=1e-3)
    assert flow.calls[:3] == pytest.approx([0, 0.05, 0.1], abs=1e-5)


def test_labels_of_another_shape_are_refused(nb):
    flow = nb.make_flow(4, 3, width=8)
    assert nb.follow(flow, np.eye(3, dtype="float32"), steps=2).shape == (3, 4)
    for labels in (np.zeros((2, 5), "float32"), np.zeros(3, "float32")):
        with pytest.raises(ValueError, match="one-hot"):
            nb.follow(flow, labels)


def test_the_same_seed_is_the_same_codes(nb):
    flow = nb.make_flow(4, 3, width=8)
    one, again, other = (nb.follow(flow, np.eye(3, dtype="float32"), steps=2, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_models_load_and_are_small_together(nb):
    names = [name for name in zoo.names() if name.startswith("13/")]
    assert {"13/plane", "13/cvae", "13/sharp", "13/flow", "13/digits", "13/animals"} <= set(names)
    assert sum(zoo.card(name)["weights"]["bytes"] for name in names) < 2_000_000
    for name in ("plane", "cvae", "sharp"):
        assert zoo.load(f"13/{name}", {"Code": nb.Code}).get_layer("code").weight == (0.1 if name == "sharp" else 1)


ELSEWHERE = """
import numpy as np
import book
from cookbook import zoo

nb = book.definitions("13.2")
rng = np.random.default_rng(0)
pictures, labels = rng.random((64, 28, 28, 1), "float32"), np.eye(10, dtype="float32")[rng.integers(0, 10, 64)]
for model, inputs in ((nb.variational(2), pictures), (nb.variational(2, 10), [pictures, labels])):
    model.compile("adam", nb.nats)
    losses = model.fit(inputs, pictures, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0], losses
flow, sharp = zoo.load("13/flow"), zoo.load("13/sharp", {"Code": nb.Code})
orders = np.eye(20, dtype="float32")
drawn = nb.sheet(sharp, nb.follow(flow, orders), orders)[:10, ..., None]
judge = zoo.load("13/digits")
assert nb.named(judge, drawn, np.arange(10)) > 0.6
"""


@pytest.mark.slow
@backends.OTHERS
def test_models_run_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
