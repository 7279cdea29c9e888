"""From the bytes of one image file to upright 8-bit pixels, and to a square of a given size."""

from __future__ import annotations

import io
import math
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, ImageOps
from PIL import Image as pil

from braintumor.data.image_parts import refuse_parts
from braintumor.data.signatures import HEAD_BYTES, image_format, named_by_content, why_not_fetched
from braintumor.errors import ConfigError, DataError
from braintumor.limits import PIXELS

# M images, h, w height and width of the picture in its file, S side of the square that a model sees

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MAY_HOLD_SEVERAL = ("GIF", "PNG", "TIFF", "WEBP")  # pictures: a stack, an animation
_SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
Fit = Literal["stretch", "pad"]
_BLOCK = 256  # pictures that become floats at once
_STRETCHED = 1 << 20  # values that become floats at once

# Of the side, on each of the four: 18 px of 224. Skull, neck and lettering reach into that frame,
# a tumour hardly ever does. The baseline "outer rim only" reads this very frame.
_RIM_SHARE = 0.08

_CLEARLY_BYTES = 10  # floats up to less may be of 0-1, some a little above white
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _SIGNED = 258, 262, 339, 2  # of TIFF
_DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")  # more than 8 bits a pixel


class Image(NamedTuple):
    """One decoded picture: uint8 (h, w) when it is grey, else (h, w, 3), turned upright.

    mode: as the file stores it, in Pillow's words, such as "RGB" or "I;16".
    """

    pixels: np.ndarray
    mode: str


def decode(raw: bytes | np.ndarray) -> Image:
    """The picture in the content of an image file, or in an array of uint8 (h, w[, 1 or 3]).

    Turned upright as EXIF says; transparent pixels become black; a colour picture whose channels
    are all equal becomes grey. More than 8 bits a pixel are stretched from the picture's lowest to
    its highest value, since MRI intensities have no unit and often fill 12 of 16 bits. (Of 16-bit
    colour Pillow keeps the upper 8 bits.)
    Raises DataError with the reason when it is no picture, one that is cut short, or several.
    """
    if isinstance(raw, np.ndarray):
        return _from_array(raw)
    if not raw:
        raise DataError("the file is empty (0 bytes)")
    try:
        refuse_parts(raw)
        with pil.open(io.BytesIO(raw), formats=_FORMATS) as opened:
            mode = opened.mode
            # how many there are (n_frames) only a search through all of them would tell
            if opened.format in _MAY_HOLD_SEVERAL and getattr(opened, "is_animated", False):
                raise DataError(
                    "it holds several pictures (a stack of slices, or an animation); save each "
                    "as a file of its own, those of one patient in one folder or under one name"
                )
            pixels = from_pillow(opened)
    except (DataError, MemoryError):
        raise
    except pil.DecompressionBombError as error:
        raise DataError(f"it has more pixels than the cap of {PIXELS:,}") from error
    except pil.UnidentifiedImageError as error:
        raise DataError(_what_it_is(raw)) from error
    except Exception as error:  # Pillow's parsers raise nearly every kind on damaged files
        raise DataError(
            f"damaged, cut short or of a kind that is not read ({error or type(error).__name__})"
        ) from error
    return Image(pixels, mode)


def from_pillow(picture: pil.Image) -> np.ndarray:
    """uint8 (h, w[, 3]) of a picture that Pillow has opened, as `decode` gives its file.

    Raises DataError when it is too large.
    """
    width, height = picture.size
    if width * height > PIXELS:
        raise DataError(f"{width} x {height} is over the cap of {PIXELS:,} pixels")
    white_is_zero = _white_is_zero(picture)
    picture.load()
    is_upright = picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
    # a copy of a large picture takes 0.1 GB
    pixels = _eight_bit(picture if is_upright else ImageOps.exif_transpose(picture))
    return 255 - pixels if white_is_zero else pixels


def _white_is_zero(picture: pil.Image) -> bool:
    """Whether a TIFF of more than 8 bits counts from white down to black, which Pillow leaves so.

    Raises DataError for signed numbers that Pillow takes for others: of 8 bits, and of 16 bits in
    the byte order of Motorola.
    """
    tags = getattr(picture, "tag_v2", {})
    bits, is_signed = tags.get(_BITS, (0,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    if is_signed and (bits == 8 or (bits == 16 and picture.tag_v2.prefix == b"MM")):  # type: ignore[attr-defined]
        raise DataError(f"a TIFF of signed numbers of {bits} bits is not read; save it as PNG")
    return picture.mode in _DEEP_MODES and tags.get(_PHOTOMETRIC) == 0


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Intensities as uint8 of the same shape; what white is is asked of all values, not guessed.

    values: of one picture or several; uint8, or whole numbers or floats in [0, 255], stay; floats
        in [0, 1] become 0-255.

    >>> to_uint8(np.array([[0.0, 0.5], [1.0, 0.2]])).tolist()
    [[0, 128], [255, 51]]

    Raises DataError on other values.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iuf" or not values.size:
        raise DataError(
            f"{values.dtype} {values.shape} holds no intensities, which are numbers of 0-255 or 0-1"
        )
    low, high = float(values.min()), float(values.max())
    if not np.isfinite((low, high)).all():
        raise DataError("it holds values that are not finite (NaN or infinity)")
    if not 0 <= low <= high <= 255:
        raise DataError(
            f"values from {low:.4g} to {high:.4g} are neither whole numbers in 0-255 nor floats "
            "in 0-1 or 0-255; scale them to one of these"
        )
    is_float = values.dtype.kind == "f"
    if is_float and 1 < high < _CLEARLY_BYTES and (values != np.rint(values)).any():
        raise DataError(
            f"floats from {low:.4g} to {high:.4g} may be of 0-1 or of 0-255; scale them to one of "
            "the two"
        )
    scale = values.dtype.type(255 if is_float and high <= 1 else 1)
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _BLOCK):  # floats take 8 times the memory
        part = slice(start, start + _BLOCK)
        pixels[part] = np.rint(values[part] * scale)
    return pixels


def on_black(pixels: np.ndarray) -> np.ndarray:
    """uint8 (..., 4), colour and opacity, as (..., 3) on black, as a file is read."""
    lit = pixels[..., :3].astype(np.uint16) * pixels[..., 3:]
    return np.rint(lit / 255).astype(np.uint8)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) of a grey or coloured picture; a stack takes a tenth of a repeat."""
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)


def is_deep(values: np.ndarray) -> bool:
    """Whether they are whole numbers beyond 0-255: each picture is then to be stretched."""
    if values.dtype.kind not in "iu" or values.dtype == np.uint8 or not values.size:
        return False
    return bool(values.min() < 0 or values.max() > 255)


def resize(pixels: np.ndarray, size_px: int, fit: Fit) -> np.ndarray:
    """uint8 (h, w[, 3]) -> (S, S[, 3]), bilinear with antialiasing.

    fit: "stretch" changes the aspect ratio, "pad" keeps it and centres the picture on black.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size_px, size_px):
        return pixels
    picture = pil.fromarray(pixels)
    if fit == "stretch":
        return np.asarray(picture.resize((size_px, size_px), pil.Resampling.BILINEAR))
    scale = size_px / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = pil.new(picture.mode, (size_px, size_px))
    corner = ((size_px - inner[0]) // 2, (size_px - inner[1]) // 2)
    square.paste(picture.resize(inner, pil.Resampling.BILINEAR), corner)
    return np.asarray(square)


def is_image_name(name: str) -> bool:
    """Whether a file name ends as those of images do."""
    return name.lower().endswith(_SUFFIXES)


def occlude_rim(images: np.ndarray) -> np.ndarray:
    """A copy whose outer frame, `rim_px(S)` wide, is black; the centre stays.

    A model that reads the brain keeps its accuracy without the frame and loses it without the
    centre; one that reads how the picture was cut, scaled or lettered does the opposite.
    images: uint8 (M, S, S) or (M, S, S, 3).
    Raises ConfigError when that would leave no centre.
    """
    return images - occlude_centre(images)


def occlude_centre(images: np.ndarray) -> np.ndarray:
    """A copy of which the outer frame alone is left: all that `occlude_rim` keeps is black.

    The black square is 0.84 S wide, 71 % of the area. Arguments and errors: as occlude_rim.
    """
    rim = rim_px(images.shape[1])
    blanked = images.copy()
    blanked[:, rim:-rim, rim:-rim] = 0
    return blanked


def rim_px(side_px: int) -> int:
    """Width of the frame in px: _RIM_SHARE of the side, rounded, at least 1.

    >>> rim_px(224)
    18

    Raises ConfigError when the frame would leave no centre.
    """
    rim = max(1, round(side_px * _RIM_SHARE))
    if 2 * rim >= side_px:
        raise ConfigError(
            f"a frame of {_RIM_SHARE:g} of the side leaves no centre in a picture of {side_px} px; "
            "take a share between 0 and 0.5, such as 0.08, and a picture of 3 px or more"
        )
    return rim


def _eight_bit(picture: pil.Image) -> np.ndarray:
    if picture.mode in _DEEP_MODES:
        return stretch_to_uint8(np.asarray(picture))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")  # also what a palette or a tRNS chunk makes transparent
        picture = pil.alpha_composite(pil.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    mode = "L" if picture.mode in ("1", "L") else "RGB"
    pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return pixels if mode == "L" else _grey_if_grey(pixels)


def stretch_to_uint8(values: np.ndarray) -> np.ndarray:
    """Lowest value to 0, highest to 255; a constant picture becomes black."""
    if not values.size:
        raise DataError("it has no pixels")
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):  # NaN too
        raise DataError("it holds values that are not finite (NaN or infinity)")
    scale = 255.0 / ((high - low) or 1.0)
    flat, stretched = values.reshape(-1), np.empty(values.size, np.uint8)
    for start in range(0, len(flat), _STRETCHED):  # floats take 8 times the memory
        part = slice(start, start + _STRETCHED)
        stretched[part] = np.rint((flat[part].astype(np.float64) - low) * scale)
    return stretched.reshape(values.shape)


def _grey_if_grey(rgb: np.ndarray) -> np.ndarray:
    red = rgb[..., 0]
    if np.array_equal(red, rgb[..., 1]) and np.array_equal(red, rgb[..., 2]):
        return np.ascontiguousarray(red)
    return rgb


def _from_array(array: np.ndarray) -> Image:
    if array.dtype != np.uint8 or array.ndim < 2 or array.shape[2:] not in ((), (1,), (3,)):
        raise DataError(
            f"an array of {array.dtype} {array.shape} is no picture; "
            "it must be uint8 of (height, width), (height, width, 1) or (height, width, 3)"
        )
    if array.size == 0 or array.shape[0] * array.shape[1] > PIXELS:
        raise DataError(f"an array of shape {array.shape} is empty or over {PIXELS:,} pixels")
    if array.shape[2:] == (3,):
        return Image(_grey_if_grey(array), "RGB")
    return Image(array.reshape(array.shape[:2]), "L")


def _what_it_is(raw: bytes) -> str:
    """Why Pillow does not know the content: what was saved under the name of an image."""
    head = raw[:HEAD_BYTES]
    if why := why_not_fetched(head):
        return why
    if what := named_by_content(head, also_packed=True):
        return f"it is {what} and no image that is read; save its pictures as PNG"
    if name := image_format(head):
        return (
            f"it begins as a {name} file does, and is damaged or of a kind of {name} that is not "
            "read; if other programs show it, save it as PNG from there"
        )
    text = head.decode("latin-1")
    if text.isascii() and all(c.isprintable() or c.isspace() for c in text):
        return "it is a text file, not an image"
    return f"it is none of {', '.join(_FORMATS)}, or its beginning is damaged"
