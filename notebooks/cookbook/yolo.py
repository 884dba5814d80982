"""YOLOv3-tiny, the object detector of the zoo, 11/yolov3-tiny: 80 classes of COCO, read from Darknet's file.

Redmon and Farhadi, YOLOv3: An Incremental Improvement, 2018. Call `run.setup(keras=True)` before this module is
imported: it imports Keras.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers
from PIL import Image
from scipy.special import expit

from cookbook import data, zoo

ANCHORS = np.array([[(81, 82), (135, 169), (344, 319)], [(10, 14), (23, 27), (37, 58)]])  # of the two maps, in pixels


class Detector:
    """Call it with a picture: it returns all boxes that it considers, with a score for each class."""

    def __init__(self, arrays: dict[str, np.ndarray] | None = None, side: int = 416):
        """arrays: what `eight_bits` or `darknet_weights` gives; by default the zoo's 11/yolov3-tiny.

        side: what a picture's longer side is brought to, a multiple of 32.
        """
        self.names = data.path("coco-classes").read_text("utf8").splitlines()
        self.model, self.side = network(), side
        arrays = arrays or zoo.load("11/yolov3-tiny")
        for variable in self.model.weights:
            variable.assign(arrays[variable.path] * arrays.get(f"{variable.path}.scale", np.float32(1)))

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4), left, top, right, bottom in the pixels of a picture (height, width, 3), and scores (n, 80)."""
        scale = self.side / max(pixels.shape[:2])
        height, width = (max(1, round(scale * extent)) for extent in pixels.shape[:2])
        left, top = (self.side - width) // 2, (self.side - height) // 2  # it was trained on pictures in the middle
        canvas = np.full((1, self.side, self.side, 3), 127, "uint8")
        canvas[0, top : top + height, left : left + width] = Image.fromarray(pixels).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        boxes, scores = [], []
        for out, sizes in zip(self.model.predict(canvas, verbose=0), ANCHORS, strict=True):
            rows, columns = out.shape[1:3]
            out = out.reshape(rows, columns, 3, 85)
            place = np.stack(np.meshgrid(range(columns), range(rows)), -1)[:, :, None]
            middle, half = (place + expit(out[..., :2])) * self.side / rows, sizes * np.exp(out[..., 2:4]) / 2
            boxes.append(np.concatenate([middle - half, middle + half], -1).reshape(-1, 4))
            scores.append((expit(out[..., 4:5]) * expit(out[..., 5:])).reshape(-1, 80))
        edge = np.array([pixels.shape[1], pixels.shape[0]] * 2)
        places = (np.concatenate(boxes) - [left, top, left, top]) / scale
        return places.clip(0, edge), np.concatenate(scores)


def network() -> keras.Model:
    """Pixels of 0 to 255, (n, h, w, 3), sides a multiple of 32, to maps (n, h / 32, w / 32, 255) and (n, h / 16, …).

    Each place has three anchors; each anchor has where it is, how sure it is, and 80 classes.
    """
    number = iter(range(13))

    def convolve(x, filters: int, size: int = 3):
        x = layers.Conv2D(filters, size, padding="same", name=f"convolution_{next(number):02}")(x)
        return x if filters == 255 else layers.LeakyReLU(0.1)(x)

    pixels = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(pixels)
    for filters in (16, 32, 64, 128):
        x = layers.MaxPooling2D(2)(convolve(x, filters))
    fine = convolve(x, 256)
    x = convolve(layers.MaxPooling2D(2)(fine), 512)
    x = convolve(convolve(layers.MaxPooling2D(2, strides=1, padding="same")(x), 1024), 256, 1)
    coarse = convolve(convolve(x, 512), 255, 1)
    x = layers.Concatenate()([layers.UpSampling2D(2)(convolve(x, 128, 1)), fine])
    return keras.Model(pixels, [coarse, convolve(convolve(x, 256), 255, 1)], name="yolov3_tiny")


def darknet_weights(file: Path) -> dict[str, np.ndarray]:
    """The weights in Darknet's file by the paths of the network's variables, with batch normalisation folded in.

    Darknet writes the numbers one after the other, float32, behind a header of 20 bytes.
    Raises ValueError where the file does not hold just as many numbers as the network needs.
    """
    model, numbers, arrays, at = network(), np.fromfile(file, "<f4", offset=20), {}, 0

    def take(*shape: int) -> np.ndarray:
        nonlocal at
        start, at = at, at + int(np.prod(shape))
        if at > len(numbers):
            raise ValueError(f"{file.name} is cut short: it holds {len(numbers):,} numbers, and more are needed.")
        return numbers[start:at].reshape(shape)

    for layer in (model.get_layer(f"convolution_{number:02}") for number in range(13)):
        height, width, depth, filters = layer.kernel.shape
        bias, scale = take(filters), 1
        if filters != 255:  # the last ones have no batch normalisation
            scale, mean, variance = take(3, filters)
            scale = scale / (np.sqrt(variance) + 1e-6)
            bias = bias - mean * scale
        arrays[layer.bias.path] = bias
        arrays[layer.kernel.path] = take(filters, depth, height, width).transpose(2, 3, 1, 0) * scale
    if at != len(numbers):
        raise ValueError(f"{file.name} holds {len(numbers) - at:,} numbers more than YOLOv3-tiny has.")
    return arrays


def eight_bits(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels (h, w, in, out) as int8, with a scale for each filter under PATH.scale; biases as they are."""
    small = {}
    for path, values in arrays.items():
        if values.ndim == 4:
            small[f"{path}.scale"] = np.abs(values).max(axis=(0, 1, 2)) / 127
            values = np.round(values / small[f"{path}.scale"]).astype("int8")
        small[path] = values
    return small
