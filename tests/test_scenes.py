"""Scenes for detectors: cut-outs are pasted where their boxes say."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from cookbook import scenes


def cut(width: int = 90, height: int = 60) -> Image.Image:
    """An ellipse on nothing."""
    y, x = np.mgrid[:height, :width]
    inside = ((x - width / 2) / width) ** 2 + ((y - height / 2) / height) ** 2 < 0.25
    return Image.fromarray(np.dstack([np.full((height, width, 3), 255), 255 * inside]).astype("uint8"))


def test_boxes_are_exact():
    """White ellipses on black: the white pixels must end where the boxes do."""
    black = np.full((200, 200, 3), 0, "uint8")
    found = 0
    for pixels, boxes, classes in scenes.scenes(40, [[cut()], [cut(60, 90)]], [black], seed=0, side=320):
        assert pixels.shape == (320, 320, 3) and boxes.shape == (len(classes), 4)
        assert (boxes >= 0).all() and (boxes <= 320).all() and set(classes) <= {0, 1}
        if len(boxes) == 1:
            y, x = np.nonzero(pixels.max(-1) > 130)  # the ground is tinted, up to 40; the cut-out at least 190
            assert np.abs(boxes[0] - [x.min(), y.min(), x.max() + 1, y.max() + 1]).max() <= 2
            found += 1
    assert found >= 3


def test_things_hardly_cover_one_another():
    for _, boxes, _ in scenes.scenes(40, [[cut()]], [np.zeros((99, 99, 3), "uint8")], seed=1, side=320):
        for number, box in enumerate(boxes[1:], start=1):
            assert scenes._shared(box, boxes[:number]).max() < 0.1


def test_a_seed_makes_the_same_scenes_again():
    ground = [np.zeros((99, 99, 3), "uint8")]
    one, same, other = (scenes.scenes(2, [[cut()]], ground, seed=seed, side=256)[1].pixels for seed in (5, 5, 6))
    assert (one == same).all() and (one != other).any()


def test_scenes_too_small_are_refused():
    with pytest.raises(ValueError, match="256 pixels a side at least, not 160"):
        scenes.scenes(1, [[cut()]], [np.zeros((99, 99, 3), "uint8")], seed=1, side=160)


def png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def test_cut_outs_lose_their_margin_and_go_to_the_first_class_that_fits(tmp_path):
    wide = Image.new("RGBA", (50, 40))
    wide.paste(Image.new("RGBA", (20, 10), "blue"), (5, 6))
    with zipfile.ZipFile(tmp_path / "cuts.zip", "w") as archive:
        for name in ("a/x/1.png", "a/2.png", "b/3.png"):
            archive.writestr(name, png(wide))
        archive.writestr("b/nothing.png", png(Image.new("RGBA", (5, 5))))
        archive.writestr("b/four.png", png(Image.new("RGBA", (6, 7), "red")))
    found = scenes.cut_outs(tmp_path / "cuts.zip", {"first": ["a/x/"], "second": ["a/", "b/"]}, most=3)
    assert [len(each) for each in found] == [1, 3]
    assert found[0][0].size == (20, 10)
    assert len(scenes.cut_outs(tmp_path / "cuts.zip", {"all": [""]}, most=2)[0]) == 2
