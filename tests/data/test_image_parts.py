"""Pictures of very many parts, each nothing: refused before Pillow reads them one by one."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from braintumor.data.images import decode
from braintumor.files import parse_json
from limited import run_limited


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(parts: bytes) -> bytes:
    whole = saved("PNG")
    at = whole.index(b"IDAT") - 4
    return whole[:at] + parts + whole[at:]


def jpeg(parts: bytes) -> bytes:
    whole = saved("JPEG")
    return whole[:2] + parts + whole[2:]


def gif(parts: bytes, after: bytes = b"") -> bytes:
    head = b"GIF89a" + struct.pack("<HH", 1, 1) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return head + parts + FRAME + after + b"\x3b"


def stack(count: int) -> bytes:
    """A TIFF file of that many pictures, none of which holds anything."""
    tags = [
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 1),
    ]
    one = struct.pack("<H", len(tags))
    one += b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    size = len(one) + 4
    ends = ((8 + (n + 1) * size) % (8 + count * size) for n in range(count))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(one + struct.pack("<I", end) for end in ends)


FRAME = b"\x2c\0\0\0\0\x01\0\x01\0\0" + b"\x02\x02\x44\x01\0"
BOMBS: dict[str, Callable[[], bytes]] = {
    "texts of a PNG": lambda: png(chunk(b"tEXt", b"a\0b") * 400_000),
    "pixels of a PNG in parts of nothing": lambda: png(chunk(b"IDAT") * 400_000),
    "segments of a JPEG": lambda: jpeg((b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 400),
    "comments of a GIF": lambda: gif(b"\x21\xfe\x01a\0" * 400_000),
    "comments of a GIF after its picture": lambda: gif(b"", b"\x21\xfe\x01a\0" * 400_000),
    "nothing between the parts of a GIF": lambda: gif(bytes(400_000)),
    "pictures of a GIF": lambda: gif(b"", FRAME * 1_000_000),
    "pictures of a TIFF": lambda: stack(60_000),
    "digits of a PPM": lambda: b"P2 1500 1500 255\n" + b"1 " * 2_250_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_of_too_many_parts_is_refused_at_once(name: str) -> None:
    raw = BOMBS[name]()
    outcome = run_limited(lambda: decode(raw), most_s=2)
    assert outcome.is_refused, outcome


def test_pictures_as_cameras_and_scanners_leave_them_are_read() -> None:
    profile = b"\xff\xe2\xff\xff" + bytes(65_533)
    exif = b"\xff\xe1\x00\x10Exif\0\0II*\0\0\0\0\0"
    for raw in (
        jpeg(exif + profile * 40), png(chunk(b"tEXt", b"a\0b") * 100), gif(b"\x21\xfe\x01a\0" * 9),
        b"P2 2 2 255\n0 1 2 3\n", *map(saved, ("PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP")),
    ):  # fmt: skip
        assert decode(raw).pixels.dtype == np.uint8


@pytest.mark.parametrize("part", ["[],", "1,", '"ab",'])
def test_json_of_very_many_values_takes_no_memory(part: str) -> None:
    text = f"[{part * 2_500_000}0]".encode()

    def parse() -> None:
        with pytest.raises(ValueError, match="over 2,000,000 values"):
            parse_json(text)

    outcome = run_limited(parse, 20 << 20)
    assert outcome.answer == "accepted", outcome


@pytest.mark.parametrize("tail", [b"x" * 50, b"\xff" * 50, saved("PNG") * 2, bytes(64)])
def test_a_png_with_more_behind_its_end_is_whole(tail: bytes) -> None:
    assert decode(saved("PNG") + tail).pixels.shape == (8, 8)
