"""The icons of chapter 14: names, drawing, SVGs, likeness, what varies them, and a split without twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data, icons

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="{}">{}</svg>'


@pytest.fixture(scope="module")
def loaded():
    return icons.load(16)


@pytest.fixture
def svg(tmp_path):
    """A function that writes an SVG with a shape, and says where."""

    def write(shape: str, box: str = "0 0 24 24"):
        file = tmp_path / "made.svg"
        file.write_text(SVG.format(box, shape))
        return file

    return write


def test_names_are_unique_and_those_of_the_font():
    named = icons.names(data.path("icons"))
    assert len(named) == len(set(named.values())) == 7279
    assert named["heart"] == 0xF02D1  # of two code points the first
    assert {"home", "arrow-left", "cat"} <= set(named)


@pytest.mark.parametrize("read", [icons.names, lambda file: icons.draw(file, [65])])
def test_what_is_no_font_is_said_to_be_none(tmp_path, read):
    (tmp_path / "text.ttf").write_text("hello")
    (tmp_path / "cut.ttf").write_bytes(data.path("icons").read_bytes()[:60_000])
    for name in ("text.ttf", "cut.ttf", "missing.ttf"):
        with pytest.raises(icons.IconError, match=f"^{name} is no font") as caught:
            read(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)


def test_pictures_fill_the_square_and_are_antialiased(loaded):
    assert loaded.pictures.shape == (7279, 16, 16)
    assert loaded.pictures.dtype == np.uint8
    assert loaded.pictures.max(axis=(1, 2)).min() > 0, "each icon has ink"
    square = loaded.pictures[loaded.names.index("square")]
    assert square[8, 8] == 255
    assert square[0, 0] == 0
    greys = (loaded.pictures > 0) & (loaded.pictures < 255)
    assert 0.1 < greys.mean() < 0.5


def test_a_picture_stands_upright(loaded):
    up = loaded.pictures[loaded.names.index("arrow-up-bold")].astype(int)
    assert up[:8].any(axis=0).sum() > up[8:].any(axis=0).sum(), "the head is above"


def test_svg_is_drawn_to_scale_whatever_its_colours(svg):
    left = icons.from_svg(svg('<rect width="12" height="24" fill="#eee"/>'))
    assert left.dtype == np.uint8
    assert (left[:, :16] == 255).all()
    assert not left[:, 16:].any()
    wide = icons.from_svg(svg('<rect width="48" height="24"/>', "0 0 48 24"), side=16)
    assert (wide[4:12] == 255).all()
    assert not wide[:4].any()
    assert not wide[12:].any()


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe\x00", b"<svg", SVG.format("0 0 0 0", "").encode()])
def test_broken_svgs_are_named(tmp_path, content):
    (tmp_path / "broken.svg").write_bytes(content)
    with pytest.raises(icons.IconError, match=r"^broken.svg .*\w\.$"):
        icons.from_svg(tmp_path / "broken.svg")


def test_empty_and_missing_svgs_are_named(tmp_path, svg):
    with pytest.raises(icons.IconError, match=r"made.svg draws nothing"):
        icons.from_svg(svg(""))
    with pytest.raises(icons.IconError, match=r"^lost.svg cannot be drawn: No such file or directory\.$"):
        icons.from_svg(tmp_path / "lost.svg")


@given(st.binary(max_size=300))
def test_no_content_of_an_svg_does_more_than_raise(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "fuzzed.svg"
    file.write_bytes(content)
    try:
        assert icons.from_svg(file, 8).shape == (8, 8)
    except icons.IconError as error:
        assert "fuzzed.svg" in str(error)


def test_likeness_is_intersection_over_union():
    black = np.zeros((3, 4, 4), "uint8")
    black[0, :2], black[1, 1:3] = 255, 255  # two rows each, one of them shared; the third is empty
    found = icons.likeness(black, black)
    np.testing.assert_allclose(found, [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]], atol=1e-6)


def test_likeness_is_symmetric_and_at_most_one(loaded):
    some = loaded.pictures[::70]
    found = icons.likeness(some, some)
    np.testing.assert_allclose(found, found.T, atol=1e-5)
    np.testing.assert_allclose(found.diagonal(), 1, atol=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-5


def test_split_leaves_neither_family_nor_twin_on_both_sides(loaded):
    names = np.array(loaded.names)
    assert not (loaded.train & loaded.held_out).any()
    families = [{name.split("-")[0] for name in names[side]} for side in (loaded.train, loaded.held_out)]
    assert not families[0] & families[1]
    assert icons.likeness(loaded.pictures[loaded.held_out], loaded.pictures[loaded.train]).max() < 0.9
    assert 0.12 < loaded.held_out.mean() <= 0.15


def test_split_is_the_same_each_time_and_another_with_another_seed(loaded):
    again, other = (icons.split(loaded.names, loaded.pictures, seed=seed) for seed in (14, 15))
    assert (again[0] == loaded.train).all()
    assert (again[1] == loaded.held_out).all()
    assert (other[0] != loaded.train).any()


@given(seed=st.integers(0, 1000), side=st.integers(1, 9))
def test_varied_pictures_are_moved_or_mirrored(seed, side):
    rng = np.random.default_rng(seed)
    picture = np.zeros((1, 12, 12, 1), "float32")
    picture[0, 1:-1, 1:-1, 0] = rng.random((10, 10))  # a rim: nothing is pushed out
    for each in icons.vary(np.repeat(picture, side, axis=0), rng):
        assert each.shape == (12, 12, 1)
        ways = [
            np.roll(p, (d, r), (0, 1))
            for p in (picture[0], picture[0, :, ::-1])
            for d in (-1, 0, 1)
            for r in (-1, 0, 1)
        ]
        assert any(np.array_equal(each, way) for way in ways)


def test_what_is_moved_out_does_not_come_back():
    edge = np.zeros((50, 8, 8, 1), "float32")
    edge[:, 0] = 1
    varied = icons.vary(edge, np.random.default_rng(0))
    assert not varied[:, 2:].any() and varied[:, :2].any()
