"""Notebook 11.1's own functions, each beside a slow and plain one."""

import itertools
import math

import backends
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import book


@pytest.fixture(scope="module")
def nb():
    return book.definitions("11.1")


@st.composite
def some_boxes(draw, most: int = 8) -> np.ndarray:
    corner = st.tuples(st.integers(0, 80), st.integers(0, 80), st.integers(2, 60), st.integers(2, 60))
    boxes = draw(st.lists(corner, min_size=1, max_size=most))
    return np.array([(left, top, left + width, top + height) for left, top, width, height in boxes], float)


def plain_overlap(one, other) -> float:
    """Counted pixel by pixel: the boxes have whole corners."""
    pixels = [
        {(x, y) for x in range(int(box[0]), int(box[2])) for y in range(int(box[1]), int(box[3]))}
        for box in (one, other)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


@settings(max_examples=20, deadline=None)
@given(some_boxes(4), some_boxes(4))
def test_overlap_is_that_of_counted_pixels(nb, boxes, others):
    shared = nb.intersection_over_union(boxes, others)
    assert shared.shape == (len(boxes), len(others))
    for (row, one), (column, other) in itertools.product(enumerate(boxes), enumerate(others)):
        assert shared[row, column] == pytest.approx(plain_overlap(one, other))


def test_anchors_are_those_of_plain_loops(nb):
    expected = []
    for row, column, size, ratio in itertools.product(range(3), range(2), (56, 90, 144), (0.5, 1, 2)):
        x, y = 16 * column + 8, 16 * row + 8
        width, height = size / math.sqrt(ratio), size * math.sqrt(ratio)
        expected.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    assert np.allclose(nb.anchors(3, 2), expected)


@given(some_boxes(), st.integers(0, 100))
def test_decode_undoes_encode(nb, boxes, seed):
    reference = boxes[np.random.default_rng(seed).permutation(len(boxes))]
    assert np.allclose(nb.decode(nb.encode(boxes, reference), reference), boxes)


def test_no_prediction_makes_a_box_endless(nb):
    sizes = np.diff(nb.decode(np.array([[0, 0, 1000, -1000]]), np.array([[0, 0, 10, 10]])).reshape(2, 2), axis=0)
    assert np.allclose(sizes, [[10 * math.exp(4), 10 * math.exp(-4)]])


def test_deltas_are_those_of_the_paper(nb):
    """Ren et al., 2015, equation 2, for one box."""
    (x, y, w, h), (xa, ya, wa, ha) = (50, 40, 20, 30), (40, 44, 40, 20)
    box, anchor = (
        np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]]) for x, y, w, h in ((x, y, w, h), (xa, ya, wa, ha))
    )
    expected = [(x - xa) / wa, (y - ya) / ha, math.log(w / wa), math.log(h / ha)]
    assert np.allclose(nb.encode(box, anchor), [expected])


def plain_suppression(boxes, scores, most_shared, most) -> list[int]:
    kept: list[int] = []
    for number in sorted(range(len(boxes)), key=lambda each: -scores[each]):
        if len(kept) < most and all(plain_overlap(boxes[number], boxes[other]) <= most_shared for other in kept):
            kept.append(number)
    return kept


@settings(max_examples=20, deadline=None)
@given(some_boxes(), st.integers(0, 100), st.sampled_from([0.0, 0.3, 0.7]), st.integers(1, 8))
def test_suppression_is_the_plain_one(nb, boxes, seed, most_shared, most):
    scores = np.random.default_rng(seed).random(len(boxes))
    expected = plain_suppression(boxes, scores, most_shared, most)
    assert nb.suppress(boxes, scores, most_shared, most).tolist() == expected


def test_suppression_of_nothing_is_nothing(nb):
    assert nb.suppress(np.empty((0, 4)), np.empty(0), 0.5, 10).tolist() == []


def plain_roi_align(maps, box, stride: int, bins: int) -> np.ndarray:
    """Two samples a bin and side, each read between its four neighbours, by loops."""
    height, width, _ = maps.shape
    left, top, right, bottom = np.array(box) / stride

    def read(y: float, x: float) -> np.ndarray:
        y, x = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
        y0, x0 = min(int(y), height - 2), min(int(x), width - 2)
        total = 0
        for row, column in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
            total = total + (1 - abs(y - row)) * (1 - abs(x - column)) * maps[row, column]
        return total

    out = np.zeros((bins, bins, maps.shape[-1]))
    for row, column, down, across in itertools.product(range(bins), range(bins), (0.25, 0.75), (0.25, 0.75)):
        y = top + (bottom - top) * (row + down) / bins
        x = left + (right - left) * (column + across) / bins
        out[row, column] += read(y, x) / 4
    return out


@pytest.mark.parametrize(
    "box", [(0, 0, 96, 80), (10, 20, 30, 70), (-20, -20, 40, 40), (50, 50, 200, 200), (5, 5, 6, 6)]
)
def test_roi_align_is_the_plain_one(nb, box):
    maps = np.random.default_rng(0).normal(size=(1, 5, 6, 3)).astype("float32")
    ours = keras.ops.convert_to_numpy(nb.RoiAlign(16, bins=4)(maps, np.array([[box]], "float32")))
    assert np.allclose(ours[0, 0], plain_roi_align(maps[0], box, 16, 4), atol=1e-5)


def test_smooth_l1_is_that_of_the_paper(nb):
    x = np.array([[0.0, 0.5, -2.0, 1.0]])
    expected = sum(0.5 * each**2 if abs(each) < 1 else abs(each) - 0.5 for each in x[0])
    assert float(nb.smooth_l1(x, 1)[0]) == pytest.approx(expected)


def plain_average_precision(scores, right, total) -> float:
    """At each new true box, the best precision from there on; divided by all true boxes."""
    ranked = [hit for _, hit in sorted(zip(scores, right, strict=True), key=lambda each: -each[0])]
    precision = [sum(ranked[: n + 1]) / (n + 1) for n in range(len(ranked))]
    return sum(max(precision[n:]) for n in range(len(ranked)) if ranked[n]) / total


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 5))
def test_average_precision_is_the_plain_one(nb, right, missed):
    scores = np.random.default_rng(1).permutation(len(right)) / 10
    total = max(1, sum(right) + missed)
    ours = nb.average_precision(scores, np.array(right, bool), total)
    assert ours == pytest.approx(plain_average_precision(scores, right, total))


def test_a_true_box_is_found_once(nb):
    true = np.array([[0, 0, 10, 10]], float)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]], float)
    assert nb.hits(found, true).tolist() == [True, False, False]
    assert nb.hits(found, np.empty((0, 4))).tolist() == [False] * 3


def test_perfect_detections_score_one(nb):
    boxes = np.array([[0, 0, 50, 50], [60, 60, 100, 100]], float)
    scene = (None, boxes, np.array([0, 3]))
    values = nb.precisions([(boxes, np.array([0, 3]), np.array([0.9, 0.8]))], [scene])
    assert values[0] == values[3] == 1


def test_every_true_box_has_an_anchor_to_learn_from(nb):
    rng = np.random.default_rng(0)
    for _ in range(20):
        corner = rng.uniform(0, 140, 2)
        box = np.r_[corner, corner + rng.uniform(60, 180, 2)][None]
        targets = nb.proposal_targets(box, rng)
        positive = targets[:, 0].astype(bool)
        assert positive.any() and targets[:, 1].sum() == 128
        assert np.allclose(nb.decode(targets[positive, 2:], nb.ANCHORS[positive]), box, atol=0.01)


def test_targets_of_the_heads_lead_back_to_the_boxes(nb):
    rng = np.random.default_rng(0)
    boxes, classes = np.array([[20, 20, 120, 100], [150, 150, 280, 300]], float), np.array([2, 5])
    proposals = np.array([[25, 25, 115, 100], [200, 0, 260, 60], [0, 200, 90, 300]], float)
    regions, targets = nb.detection_targets(proposals, boxes, classes, rng)
    assert regions.shape == (48, 4) and targets.shape == (48, 5)
    for region, target in zip(regions, targets, strict=True):
        if target[0]:
            box = nb.decode(target[None, 1:] * nb.SCALE, region[None])[0]
            assert np.allclose(box, boxes[classes.tolist().index(target[0] - 1)])
        else:
            assert nb.intersection_over_union(region[None], boxes).max() < 0.5


def test_anchor_free_targets_lead_back_to_the_boxes(nb):
    boxes, classes = np.array([[20, 20, 120, 100], [150, 150, 280, 300]], float), np.array([2, 5])
    targets = nb.anchor_free_targets(boxes, classes)
    for place, target in zip(nb.PLACES, targets, strict=True):
        if target[:-4].any():
            left, top, right, bottom = 16 * target[-4:]
            box = boxes[classes.tolist().index(target[:-4].argmax())]
            assert np.allclose([place[0] - left, place[1] - top, place[0] + right, place[1] + bottom], box)
    assert {2, 5} == set(targets[targets[:, :-4].any(1), :-4].argmax(1))


def test_windows_larger_than_the_picture_are_refused(nb):
    with pytest.raises(ValueError, match="30 x 20 holds no window of 32"):
        nb.sliding(None, np.zeros((20, 30, 3), "uint8"), 32)


def test_pictures_that_cannot_be_read_are_named(nb, tmp_path, capsys):
    Image.new("RGB", (4, 3), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    found = nb.read_all(sorted(tmp_path.iterdir()))
    assert list(found) == ["good.png"] and found["good.png"].shape == (3, 4, 3)
    assert "bad.jpg is no picture" in capsys.readouterr().out


ELSEWHERE = """
import numpy as np
import book
from cookbook import data, pictures, zoo
nb = book.definitions("11.1")
nb.network = net = zoo.load("09/efficientnet-lite0")
maps = [net.get_layer(name).output for name in ("block_10_add", "top_relu")]
nb.backbone = nb.keras.Model(net.input, maps)
nb.proposer = zoo.load("11/proposals")
nb.detector = zoo.load("11/detector", custom_objects={"RoiAlign": nb.RoiAlign})
_, labels = nb.detect_in(pictures.load(data.path("photo-astronaut")))
assert any(label.startswith("flag") for label in labels), labels
rows = np.zeros((2, 400, 11), "float32")
rows[:, 100] = 1
empty = [np.zeros((2, 20, 20, 112)), np.zeros((2, 10, 10, 1280))]
loss = nb.anchor_free_loss(rows, nb.anchor_free_network().predict(empty, verbose=0))
assert np.isfinite(float(loss))
"""


@pytest.mark.slow
@backends.OTHERS
def test_models_run_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
