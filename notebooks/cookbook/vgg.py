"""The convolutions of VGG16 (Simonyan and Zisserman, 2015), with weights that a package brings."""

import h5py
import keras
from keras import layers

from cookbook import data

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions
NAMES = [f"block{block}_conv{conv}" for block, (_, convs) in enumerate(BLOCKS, 1) for conv in range(1, convs + 1)]


def trunk(last: str = NAMES[-1], *, pooling: str = "max") -> keras.Model:
    """VGG16 up to the convolution `last`, one of NAMES: from (n, height, width, 3), 0 to 255, to its activations.

    pooling: "max", as the network was trained, or "average", which gives smoother pictures (Gatys et al., 2016). The
    weights are those of an edge detector that began as VGG16 (Xie and Tu, 2015), so they are near it and not the same.

    Raises ValueError where there is no such convolution or pooling.
    """
    pools = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
    if last not in NAMES or pooling not in pools:
        raise ValueError(f"VGG16 has the layers {', '.join(NAMES)}; pooling is max or average.")
    x = picture = keras.Input((None, None, 3))
    x = layers.Rescaling(1.0, [-123.68, -116.779, -103.939])(x)[..., ::-1]  # blue, green, red less their means
    with h5py.File(data.path("vgg16-trunk")) as weights:
        for block, (channels, convs) in enumerate(BLOCKS, 1):
            for conv in range(1, convs + 1):
                layer = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"block{block}_conv{conv}")
                x = layer(x)
                stored = weights[f"block{block}/layers/conv2d{f'_{conv - 1}' if conv > 1 else ''}/vars"]
                layer.set_weights([stored["0"][()], stored["1"][()]])
                if layer.name == last:
                    return keras.Model(picture, x)
            x = pools[pooling](2)(x)
    raise AssertionError("unreachable: NAMES holds every convolution")
