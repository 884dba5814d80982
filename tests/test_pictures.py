"""cookbook.pictures: pictures of every kind are read, broken and hostile ones are refused in a sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cookbook import pictures
from cookbook.pictures import PictureError

NOISE = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype="uint8")
SMOOTH = np.indices((40, 60)).transpose(1, 2, 0) @ [[4, 0, 2], [0, 4, 2]]


def encode(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG file that says it has so many pixels of RGB, whatever it holds."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_what_was_saved_without_loss_comes_back(kind):
    found = pictures.load(encode(NOISE, kind))
    assert found.dtype == np.uint8
    assert (found == NOISE).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_what_was_saved_with_loss_comes_back_nearly(kind):
    found = pictures.load(encode(SMOOTH.astype("uint8"), kind))
    assert found.shape == (40, 60, 3)
    assert np.abs(found - SMOOTH).mean() < 8


def test_a_file_is_read_like_its_content(tmp_path):
    file = tmp_path / "noise.png"
    file.write_bytes(encode(NOISE))
    assert (pictures.load(file) == pictures.load(str(file))).all()
    assert (pictures.load(file) == NOISE).all()


def test_cmyk_is_turned_into_rgb():
    inks = Image.fromarray(SMOOTH.astype("uint8")).convert("CMYK")
    found = pictures.load(encode(inks, "JPEG", quality=95))
    assert found.shape == (40, 60, 3)
    assert np.abs(found - SMOOTH).mean() < 8


@pytest.mark.parametrize(
    ("kind", "dtype"), [("PNG", "uint16"), ("TIFF", "uint16"), ("PPM", "uint16"), ("TIFF", "int32")]
)
def test_greys_of_16_bits_are_scaled(kind, dtype):
    greys = np.array([[0, 257, 25_700], [32_896, 51_400, 65_535]], dtype)
    found = pictures.load(encode(greys, kind))
    assert found[..., 0].tolist() == [[0, 1, 100], [128, 200, 255]]
    assert (found == found[..., :1]).all()


def test_a_palette_gives_its_colours():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 0])
    picture.putpixel((1, 0), 1)
    assert pictures.load(encode(picture)).tolist() == [[[10, 20, 30], [200, 100, 0]]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_every_mode_becomes_three_channels(mode):
    assert pictures.load(encode(Image.fromarray(NOISE).convert(mode))).shape == (24, 31, 3)


def test_what_is_transparent_is_white_or_kept():
    pixels = np.zeros((1, 3, 4), "uint8")
    pixels[0, :, 3] = [0, 255, 51]
    assert pictures.load(encode(pixels))[0, :, 0].tolist() == [255, 0, 204]
    kept = pictures.load(encode(pixels), alpha=True)
    assert kept.shape == (1, 3, 4)
    assert kept[0, :, 3].tolist() == [0, 255, 51]


def test_a_transparent_palette_is_white():
    picture = Image.new("P", (1, 1))
    picture.putpalette([9, 9, 9])
    assert pictures.load(encode(picture, transparency=0)).tolist() == [[[255, 255, 255]]]


def test_flatten_takes_another_ground():
    clear = Image.new("RGBA", (2, 2))
    assert np.asarray(pictures.flatten(clear, (1, 2, 3)))[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_upright(turn):
    """A camera held upright writes a picture that lies on its side, and a note how to turn it (Exif 0x0112)."""
    exif = Image.Exif()
    exif[0x0112] = turn
    shape = pictures.load(encode(SMOOTH.astype("uint8"), "JPEG", exif=exif)).shape
    assert shape == ((40, 60, 3) if turn < 5 else (60, 40, 3))


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    assert pictures.load(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])).tolist()[0][0] == [
        255,
        0,
        0,
    ]


def test_one_pixel_is_a_picture():
    found = pictures.load(encode(np.full((1, 1, 3), 7, "uint8")))
    assert found.tolist() == [[[7, 7, 7]]]
    assert (pictures.square(found, 32) == 7).all()
    assert pictures.square(found, 32).shape == (32, 32, 3)
    assert pictures.shrink(found, 32).shape == (1, 1, 3)


@pytest.mark.parametrize("side", [20_000, 7_072])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_before_it_unpacks(side):
    with pytest.raises(PictureError, match=r"50,000,000"):
        pictures.load(png(side, side))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_of_middling_size_is_refused(tmp_path):
    file = tmp_path / "large.png"
    file.write_bytes(png(10_000, 10_000))
    with pytest.raises(PictureError, match=r"large.png has 10,000 x 10,000 pixels; 50,000,000 in all are the limit"):
        pictures.load(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_is_refused(kind, share):
    whole = encode(NOISE, kind)
    with pytest.raises(PictureError, match=r"is cut short or damaged|is no picture"):
        pictures.load(whole[: int(share * len(whole))])


def test_a_png_with_too_few_rows_is_refused():
    assert pictures.load(png(2, 2, (b"\0" + b"\x05" * 6) * 2)).tolist() == [[[5] * 3] * 2] * 2
    with pytest.raises(PictureError, match="cut short or damaged"):
        pictures.load(png(64, 64, b"\0" * 50))


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"<html>404</html>", b"%PDF-1.7", b"<svg/>", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(content, tmp_path):
    file = tmp_path / "page.jpg"
    file.write_bytes(content)
    with pytest.raises(PictureError, match=r"page.jpg is (no picture|cut short)"):
        pictures.load(file)


def test_a_format_that_runs_programs_is_not_tried():
    """EPS is a program, and Pillow hands it to Ghostscript."""
    with pytest.raises(PictureError, match="no picture that can be read here"):
        pictures.load(encode(NOISE, "EPS"))


def test_numbers_with_a_fraction_are_refused():
    with pytest.raises(PictureError, match="floating-point"):
        pictures.load(encode(np.ones((3, 3), "float32"), "TIFF"))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(PictureError, match=r"^none.png is missing\.$"):
        pictures.load(tmp_path / "none.png")
    with pytest.raises(PictureError, match=r" is a folder, or may not be read\.$"):
        pictures.load(tmp_path)


def test_errors_are_value_errors_and_show_no_path(tmp_path):
    file = tmp_path / "cut.jpg"
    file.write_bytes(encode(NOISE, "JPEG")[:500])
    with pytest.raises(ValueError, match=r"^cut\.jpg is cut short or damaged") as caught:
        pictures.load(file)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__cause__ is None


FILES = [encode(NOISE, kind) for kind in pictures.FORMATS] + [
    encode(NOISE, "TIFF", compression="tiff_lzw"),
    encode(NOISE, "JPEG", progressive=True),
    encode(Image.fromarray(NOISE).quantize(16)),
    encode(NOISE[..., 0].astype("int32") * 257, "TIFF"),
]


@given(
    content=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damage_gives_a_picture_or_a_sentence(content, changes, keep):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    try:
        found = pictures.load(bytes(damaged[: round(keep * len(damaged))]))
    except PictureError as error:
        assert str(error).endswith(".")
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3


@pytest.mark.filterwarnings("ignore")
def test_the_fraction_that_a_fuzzer_found():
    """A TIFF whose tag of integers holds fractions: Pillow raises TypeError."""
    content = bytearray(encode(np.zeros((9, 9), "int32"), "TIFF"))
    refused = 0
    for place in range(8, len(content)):
        for kind in (5, 10):  # RATIONAL, SRATIONAL
            changed = content.copy()
            changed[place] = kind
            try:
                pictures.load(bytes(changed))
            except PictureError:
                refused += 1
    assert refused


def test_square_cuts_the_middle_or_squeezes():
    wide = np.zeros((10, 30, 3), "uint8")
    wide[:, 10:20] = 200
    assert (pictures.square(wide, 10) == 200).all()
    squeezed = pictures.square(wide, 12, crop=False)
    assert squeezed.shape == (12, 12, 3)
    assert squeezed[:, 5:7].min() > 190
    assert squeezed[:, :2].max() < 10


@pytest.mark.parametrize("shape", [(1, 5000, 3), (5000, 1, 3), (3, 2, 3), (7, 7), (7, 9, 4)])
@pytest.mark.parametrize("crop", [True, False])
def test_square_takes_any_shape(shape, crop):
    found = pictures.square(np.full(shape, 255, "uint8"), 16, crop=crop)
    assert found.shape == (16, 16, *shape[2:])
    assert (found == 255).all()


def test_resizing_smooths():
    """Every second line white: a small picture of it is grey, not one of the two."""
    lines = np.zeros((256, 256, 3), "uint8")
    lines[::2] = 255
    assert np.abs(pictures.square(lines, 32).astype(int) - 128).max() < 8


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 80, 3), (16, 32, 3)), ((10, 5, 3), (10, 5, 3)), ((1, 999), (1, 32))]
)
def test_shrink_keeps_proportions_and_never_enlarges(shape, expected):
    assert pictures.shrink(np.zeros(shape, "uint8"), 32).shape == expected
