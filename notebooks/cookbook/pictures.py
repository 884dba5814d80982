"""Read pictures of any kind, also broken and hostile ones, and cut them to the shape that a network takes."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
LIMIT = 50_000_000  # pixels: a small file can unpack to gigabytes
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower, and is an error
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # odd tags of a TIFF: it is read, or it is not


class PictureError(ValueError):
    """A picture that cannot be read. The message says which one, and why."""


def load(source: Path | str | bytes, *, alpha: bool = False) -> np.ndarray:
    """The pixels of a picture: uint8, (height, width, 3), upright, what is transparent on white.

    source: a file, or its content. alpha: keep the transparency as a fourth channel. Of an animation it is
    the first frame; greys of 16 bits are scaled to 8.

    Raises PictureError for a file that is missing, cut short, no picture, or of more than LIMIT pixels.
    """
    name = "The picture" if isinstance(source, bytes) else Path(source).name
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > LIMIT:
                raise PictureError(f"{name} has {width:,} x {height:,} pixels; {LIMIT:,} in all are the limit.")
            if picture.mode == "F":
                raise PictureError(
                    f"{name} holds floating-point numbers, which have no agreed white: save it as 8 bits."
                )
            picture = ImageOps.exif_transpose(_eight_bits(picture)).convert("RGBA")
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"{name} is missing.") from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name} has more than {LIMIT:,} pixels, which is the limit.") from None
    except UnidentifiedImageError:
        raise PictureError(f"{name} is no picture that can be read here ({', '.join(FORMATS)}).") from None
    except (IsADirectoryError, PermissionError):
        raise PictureError(f"{name} is a folder, or may not be read.") from None
    except Exception as error:  # for a damaged file Pillow raises OSError, SyntaxError, TypeError, EOFError…
        raise PictureError(f"{name} is cut short or damaged: {error}.") from None
    return np.asarray(picture if alpha else flatten(picture))


def flatten(picture: Image.Image, ground: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """A picture without transparency, on a ground of one colour."""
    under = Image.new("RGBA", picture.size, (*ground, 255))
    return Image.alpha_composite(under, picture.convert("RGBA")).convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Greys of 16 bits as 8: Pillow would cut them off at 255, which leaves a white picture."""
    if not picture.mode.startswith("I"):
        return picture
    greys = np.asarray(picture).astype(float)
    return Image.fromarray((greys.clip(0, 65535) / 257).round().astype("uint8"))


def square(pixels: np.ndarray, side: int, *, crop: bool = True) -> np.ndarray:
    """A picture of side x side pixels, uint8, resized with antialiasing.

    crop: cut the middle out; without, the picture is squeezed.
    """
    picture = Image.fromarray(pixels)
    if crop:
        return np.asarray(ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side has at most `side` pixels; its proportions stay."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    return np.asarray(picture)
