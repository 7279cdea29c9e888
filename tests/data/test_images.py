from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from braintumor import limits
from braintumor.data.images import (
    decode,
    occlude_centre,
    occlude_rim,
    resize,
    rim_px,
)
from braintumor.errors import ConfigError, DataError
from limited import MIB, run_limited

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5  # (h, w) = (6, 8), values 0 to 235


def saved(picture: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def test_grey_file_keeps_its_pixels() -> None:
    image = decode(saved(Image.fromarray(RAMP)))
    np.testing.assert_array_equal(image.pixels, RAMP)
    assert (image.pixels.shape, image.mode) == ((6, 8), "L")


def test_rgb_file_with_equal_channels_is_grey() -> None:
    image = decode(saved(Image.fromarray(as_rgb(RAMP))))
    np.testing.assert_array_equal(image.pixels, RAMP)
    assert image.mode == "RGB"


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_coloured_pixel_makes_it_colour(channel: int) -> None:
    rgb = as_rgb(RAMP)
    rgb[3, 4, channel] += 1
    np.testing.assert_array_equal(decode(saved(Image.fromarray(rgb))).pixels, rgb)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_black(mode: str) -> None:
    alpha = np.zeros_like(RAMP)
    alpha[:, 4:] = 255
    grey = [RAMP] if mode == "LA" else [RAMP] * 3
    picture = Image.merge(mode, [Image.fromarray(c) for c in [*grey, alpha]])
    expected = RAMP.copy()
    expected[:, :4] = 0
    np.testing.assert_array_equal(decode(saved(picture)).pixels, expected)


def test_palette_is_resolved_to_its_colours() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    picture.putpalette([200, 10, 10, 7, 7, 7] + [0] * 762)
    pixels = decode(saved(picture)).pixels
    assert pixels[0, 0].tolist() == [200, 10, 10]
    assert pixels[0, 1].tolist() == [7, 7, 7]


def test_palette_transparency_is_laid_on_black() -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([200, 200, 200, 90, 90, 90] + [0] * 762)
    np.testing.assert_array_equal(decode(saved(picture, transparency=0)).pixels, [[0, 90]])


def test_one_bit_is_black_and_white() -> None:
    picture = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(decode(saved(picture)).pixels, [[0, 255], [255, 0]])


def test_cmyk_is_decoded() -> None:
    white = Image.new("CMYK", (8, 6), (0, 0, 0, 0))
    image = decode(saved(white, "JPEG"))
    assert image.mode == "CMYK"
    assert image.pixels.shape == (6, 8)
    assert image.pixels.min() >= 254


def test_sixteen_bits_are_stretched_from_lowest_to_highest() -> None:
    deep = np.array([[100, 1100], [2100, 4100]], np.uint16)  # 12 bits used: /257 would be black
    image = decode(saved(Image.fromarray(deep)))
    np.testing.assert_array_equal(image.pixels, [[0, 64], [128, 255]])  # 255*1000/4000 = 63.75
    assert image.mode == "I;16"


def test_float_tiff_is_stretched_and_constant_is_black() -> None:
    floats = np.array([[-1.0, 0.0, 1.0]], np.float32)
    assert decode(saved(Image.fromarray(floats), "TIFF")).pixels.tolist() == [[0, 128, 255]]
    constant = np.full((3, 3), 7.0, np.float32)
    assert not decode(saved(Image.fromarray(constant), "TIFF")).pixels.any()


def test_float_with_nan_is_refused() -> None:
    floats = np.array([[0.0, np.nan]], np.float32)
    with pytest.raises(DataError, match="not finite"):
        decode(saved(Image.fromarray(floats), "TIFF"))


def test_exif_rotation_turns_the_picture_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: rotate 90 degrees clockwise to view
    image = decode(saved(Image.fromarray(RAMP), "PNG", exif=exif))
    np.testing.assert_array_equal(image.pixels, np.rot90(RAMP, -1))
    assert image.pixels.shape == (8, 6)


@pytest.mark.parametrize("file_format", ["BMP", "GIF", "PNG", "PPM", "TIFF"])
def test_lossless_formats_agree(file_format: str) -> None:
    np.testing.assert_array_equal(decode(saved(Image.fromarray(RAMP), file_format)).pixels, RAMP)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "TIFF", "WEBP"])
def test_a_stack_or_animation_is_refused_and_not_cut_to_its_first_picture(file_format: str) -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    content = saved(frames[0], file_format, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="it holds several pictures"):
        decode(content)


def test_the_preview_beside_a_photograph_does_not_make_it_two() -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    content = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert decode(content).pixels.shape == RAMP.shape


def test_truncated_jpeg_is_found_though_its_header_is_whole() -> None:
    rng = np.random.default_rng(0)
    content = saved(Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)), "JPEG")
    with pytest.raises(DataError, match="cut short"):
        decode(content[: len(content) // 2])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("file_format", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_truncation_is_found_or_costs_no_pixel(file_format: str) -> None:
    rng = np.random.default_rng(0)
    content = saved(Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)), file_format)
    whole = decode(content).pixels
    for kept in np.linspace(1, len(content) - 1, 50).astype(int):
        try:
            np.testing.assert_array_equal(decode(content[:kept]).pixels, whole)
        except DataError:
            continue


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"patient 17, glioma, see folder B\n", "text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\0" * 128 + b"DICM" + b"\0" * 99, "DICOM"),
        (b"\0\0\0\x1cftypavif" + b"\0" * 99, "it is an AVIF picture and no image that is read"),
        (b"\0\0\0\x0cjP  \r\n" + b"\0" * 99, "JPEG 2000.*save its pictures as PNG"),
        (b"\0" * 344 + b"n+1\0", "a NIfTI file"),
        (b"\x1c\2\0\0n+2\0\r\n\x1a\n" + b"\0" * 99, "a NIfTI file"),
        (b"NRRD0004\ntype: short\n", "a NRRD file"),
        (b"ObjectType = Image\nNDims = 3\n\0\xff", "a MetaImage file"),
        (b"%PDF-1.7\n", "a PDF document"),
        (
            b"II*\0\x08\0\0\0" + b"\0" * 99,
            "begins as a TIFF file does, and is damaged or of",
        ),
        (b"\0\1\2\3" * 50, "none of BMP"),
    ],
)
def test_what_is_no_image_says_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode(content)


def tiff(values: np.ndarray, photometric: int = 1) -> bytes:
    """A plain TIFF of one channel in the byte order of the array, written by hand."""
    end = ">" if values.dtype.byteorder == ">" else "<"
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    entries = [
        (256, width), (257, height), (258, 8 * values.itemsize), (259, 1), (262, photometric),
        (273, 8 + 2 + 12 * 10 + 4), (277, 1), (278, height), (279, values.nbytes), (339, kind),
    ]  # fmt: skip
    head = (b"MM" if end == ">" else b"II") + struct.pack(end + "HIH", 42, 8, len(entries))
    body = b"".join(struct.pack(end + "HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    return head + body + b"\0" * 4 + values.tobytes()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i2", "<u4", ">i4", "<f4", ">f4"])
def test_a_tiff_of_any_type_and_byte_order_gives_the_same_picture(dtype: str) -> None:
    values = np.arange(0, 256, 5).reshape(4, 13)  # 0 to 255
    np.testing.assert_array_equal(decode(tiff(values.astype(dtype))).pixels, values)


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_tiff_that_counts_from_white_to_black_is_no_negative(dtype: str) -> None:
    values = np.arange(0, 256, 5).reshape(4, 13)
    picture = decode(tiff(values.astype(dtype), photometric=0)).pixels
    np.testing.assert_array_equal(picture, 255 - values)


@pytest.mark.parametrize("dtype", ["i1", ">i2"])
def test_signed_numbers_that_pillow_takes_for_others_are_refused(dtype: str) -> None:
    with pytest.raises(DataError, match="signed numbers"):
        decode(tiff(np.arange(-60, 60, 10).reshape(3, 4).astype(dtype)))


@pytest.mark.parametrize("dtype", ["<f8", "<f2", "<u8"])
def test_an_intact_tiff_of_a_kind_that_is_not_read_is_not_called_no_tiff(dtype: str) -> None:
    with pytest.raises(DataError, match="of a kind of TIFF that is not read"):
        decode(tiff(np.ones((3, 4), dtype)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_image_bomb_is_refused_before_it_is_unpacked() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    for side in (9_000, 12_000, 60_000):  # over our cap, Pillow's warning, Pillow's error
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 999))
        with pytest.raises(DataError, match=f"cap of {limits.PIXELS:,}"):
            decode(bomb)


@pytest.mark.parametrize("file_format", ["PCX", "TGA", "SGI"])
def test_formats_outside_the_list_are_not_opened(file_format: str) -> None:
    with pytest.raises(DataError, match="none of BMP"):
        decode(saved(Image.fromarray(RAMP), file_format))


def test_arrays_are_taken_as_they_are() -> None:
    assert decode(RAMP).mode == "L"
    np.testing.assert_array_equal(decode(RAMP[..., None]).pixels, RAMP)
    np.testing.assert_array_equal(decode(as_rgb(RAMP)).pixels, RAMP)


@pytest.mark.parametrize("shape", [(6,), (6, 8, 2), (0, 8), (2, 6, 8, 3)])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        decode(np.zeros(shape, np.uint8))


def test_float_array_is_refused() -> None:
    with pytest.raises(DataError, match="uint8"):
        decode(np.zeros((6, 8), np.float32))


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("shape", [(6, 8), (30, 3), (1, 500), (9, 9, 3), (16, 16)])
def test_resize_gives_a_square(fit: Any, shape: tuple[int, ...]) -> None:
    out = resize(np.full(shape, 77, np.uint8), 16, fit)
    assert out.shape == (16, 16, *shape[2:])
    assert out.dtype == np.uint8
    assert out.max() == 77  # a constant stays


def test_pad_keeps_the_aspect_ratio_on_black() -> None:
    out = resize(np.full((4, 8), 200, np.uint8), 16, "pad")
    expected = np.zeros((16, 16), np.uint8)
    expected[4:12] = 200
    np.testing.assert_array_equal(out, expected)


def test_downscaling_averages_instead_of_picking() -> None:
    checkerboard = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    out = resize(checkerboard, 8, "stretch")
    assert abs(out.astype(int) - 127).max() <= 2  # without antialiasing: 0 or 255


@pytest.fixture(params=[(), (3,)], ids=["grey", "colour"])
def pictures(request: pytest.FixtureRequest) -> np.ndarray:
    """uint8 (4, 25, 25[, 3]) without a black pixel."""
    random = np.random.default_rng(0)
    return random.integers(1, 256, (4, 25, 25, *request.param), dtype=np.uint8)


def test_the_rim_goes_and_the_centre_stays(pictures: np.ndarray) -> None:
    blanked = occlude_rim(pictures)  # 2 px of 25
    assert (blanked[:, 2:23, 2:23] == pictures[:, 2:23, 2:23]).all()
    for frame in (blanked[:, :2], blanked[:, 23:], blanked[:, :, :2], blanked[:, :, 23:]):
        assert not frame.any()


def test_what_one_keeps_the_other_blanks(pictures: np.ndarray) -> None:
    rim, centre = occlude_rim(pictures), occlude_centre(pictures)
    assert ((rim == 0) != (centre == 0)).all()
    assert (rim + centre == pictures).all()
    assert rim.dtype == centre.dtype == np.uint8


def test_the_images_themselves_are_left_alone(pictures: np.ndarray) -> None:
    before = pictures.copy()
    occlude_rim(pictures)
    occlude_centre(pictures)
    assert (pictures == before).all()


def test_the_width_of_the_frame_by_hand() -> None:
    assert [rim_px(side) for side in (224, 96, 3)] == [18, 8, 1]


@pytest.mark.parametrize("side", [1, 2])
def test_a_frame_that_leaves_no_centre_is_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=rf"leaves no centre in a picture of {side} px; take"):
        occlude_rim(np.zeros((1, side, side), np.uint8))


def test_the_largest_picture_is_not_copied_on_its_way() -> None:
    """Pillow has it in 100 MB, its bytes take 75 MB twice; each copy would take 100 MB more."""
    buffer = io.BytesIO()
    Image.new("RGB", (5000, 5000), (90, 10, 10)).save(buffer, "JPEG")
    outcome = run_limited(lambda: decode(buffer.getvalue()), 330 * MIB)
    assert outcome.answer == "accepted" and outcome.peak_bytes < 300 * MIB
