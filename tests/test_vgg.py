"""VGG16's convolutions: which layers there are, and what they give."""

import numpy as np
import pytest

from cookbook import vgg


def test_has_thirteen_convolutions():
    assert len(vgg.NAMES) == 13
    assert vgg.NAMES[0] == "block1_conv1" and vgg.NAMES[-1] == "block5_conv3"


def test_is_cut_where_it_is_asked_to():
    trunk = vgg.trunk("block2_conv2")
    seen = trunk.predict(np.zeros((1, 32, 48, 3), "float32"), verbose=0)
    assert seen.shape == (1, 16, 24, 128)
    assert (seen >= 0).all()
    assert [layer.name for layer in trunk.layers if "conv" in layer.name] == vgg.NAMES[:4]


def test_sees_colours_in_the_order_of_the_weights():
    """The first convolution takes blue first, and the mean colour is black to it."""
    trunk = vgg.trunk("block1_conv1")
    kernel, bias = trunk.get_layer("block1_conv1").get_weights()
    mean = np.array([123.68, 116.779, 103.939], "float32")
    picture = np.zeros((1, 5, 5, 3), "float32") + mean
    picture[0, 2, 2, 0] += 10  # red
    expected = np.maximum(bias + 10 * kernel[1, 1, 2], 0)
    np.testing.assert_allclose(trunk.predict(picture, verbose=0)[0, 2, 2], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arguments", [{"last": "block6_conv1"}, {"pooling": "median"}])
def test_says_what_there_is(arguments):
    with pytest.raises(ValueError, match="VGG16 has the layers block1_conv1"):
        vgg.trunk(**arguments)
