"""YOLOv3-tiny: Darknet's file is read whole or refused, and boxes come back in the pixels of the picture."""

import keras
import numpy as np
import pytest

from cookbook import data, pictures, yolo


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return yolo.network()


def darknet_file(model: keras.Model, folder, *, missing: int = 0, more: int = 0):
    """A file as Darknet writes it, of random numbers, with positive variances."""
    rng, parts = np.random.default_rng(0), []
    for number in range(13):
        height, width, depth, filters = model.get_layer(f"convolution_{number:02}").kernel.shape
        parts.append(rng.random((1 if filters == 255 else 4) * filters) + 0.5)
        parts.append(rng.normal(size=filters * depth * height * width) / 100)
    numbers = np.concatenate(parts).astype("<f4")
    file = folder / "yolo.weights"
    file.write_bytes(bytes(20) + np.r_[numbers[: len(numbers) - missing], np.zeros(more, "f4")].astype("<f4").tobytes())
    return file


def test_darknet_weights_are_read_whole(model, tmp_path):
    arrays = yolo.darknet_weights(darknet_file(model, tmp_path))
    assert {path: values.shape for path, values in arrays.items()} == {
        each.path: tuple(each.shape) for each in model.weights
    }


@pytest.mark.parametrize(("change", "message"), [({"missing": 3}, "is cut short"), ({"more": 3}, "3 numbers more")])
def test_other_darknet_files_are_refused(model, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        yolo.darknet_weights(darknet_file(model, tmp_path, **change))


def test_batch_normalisation_goes_into_the_convolution(model, tmp_path):
    """The first layer, computed the long way."""
    file = darknet_file(model, tmp_path)
    numbers = np.fromfile(file, "<f4", offset=20)
    bias, scale, mean, variance = numbers[:64].reshape(4, 16)
    kernel = numbers[64 : 64 + 16 * 27].reshape(16, 3, 3, 3).transpose(2, 3, 1, 0)
    pixels = np.random.default_rng(0).random((1, 5, 5, 3)).astype("float32")
    plain = keras.ops.convert_to_numpy(keras.ops.conv(pixels, kernel, padding="same"))
    plain = (plain - mean) / np.sqrt(variance) * scale + bias
    arrays = yolo.darknet_weights(file)
    layer = model.get_layer("convolution_00")
    ours = keras.ops.conv(pixels, arrays[layer.kernel.path], padding="same") + arrays[layer.bias.path]
    assert np.allclose(keras.ops.convert_to_numpy(ours), plain, atol=1e-4)


def test_eight_bits_are_close():
    values = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype("float32")
    small = yolo.eight_bits({"kernel": values, "bias": values[0, 0, 0]})
    assert small["kernel"].dtype == np.int8
    assert (small["bias"] == values[0, 0, 0]).all()
    assert np.abs(small["kernel"] * small["kernel.scale"] - values).max() <= small["kernel.scale"].max() / 2 + 1e-6


@pytest.fixture(scope="module")
def detector() -> yolo.Detector:
    return yolo.Detector()


def best(detector: yolo.Detector, pixels: np.ndarray) -> tuple[str, float, np.ndarray]:
    boxes, scores = detector(pixels)
    row, kind = np.unravel_index(scores.argmax(), scores.shape)
    return detector.names[kind], scores[row, kind], boxes[row]


def test_it_finds_a_cup_and_a_motorcycle(detector):
    """The scores are those of OpenCV's reader of the same file, 0.626 and 0.650, but for the 8 bits."""
    name, score, box = best(detector, pictures.load(data.path("photo-coffee")))
    assert name == "cup" and score == pytest.approx(0.626, abs=0.06)
    assert np.abs(box - [150, 30, 430, 320]).max() < 60
    name, score, _ = best(detector, pictures.load(data.path("photo-motorcycle")))
    assert name == "motorbike" and score == pytest.approx(0.650, abs=0.06)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 900, 3), (900, 5, 3)])
def test_boxes_stay_inside_pictures_of_any_shape(detector, shape):
    boxes, scores = detector(np.full(shape, 200, "uint8"))
    assert len(boxes) == len(scores) == 3 * (13 * 13 + 26 * 26)
    assert (boxes >= 0).all() and (boxes <= [shape[1], shape[0]] * 2).all()
