"""How many parts a picture's file is made of: each costs its reader time, however small it is.

Pillow reads all parts before the pixels one by one, joins some of them with those before (which is
quadratic), and tells no one how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from braintumor import limits
from braintumor.errors import DataError

_PLAIN = (b"P1", b"P2", b"P3")  # a PPM file whose pixels are written as digits


def refuse_parts(raw: bytes) -> None:
    """Raises DataError where the file of a picture has more parts than the caps allow."""
    if raw.startswith(_PLAIN) and len(raw) > limits.PLAIN_BYTES:
        raise DataError(
            f"its pixels are written as digits, and it has over {limits.PLAIN_BYTES:,} bytes; save "
            "it as PNG"
        )
    walk = next((walk for head, walk in _WALKS.items() if raw.startswith(head)), None)
    beside = 0
    for number, size in enumerate(walk(raw) if walk else ()):
        beside += size
        if number > limits.IMAGE_PARTS or beside > limits.IMAGE_BESIDE_BYTES:
            raise DataError(
                f"it has over {limits.IMAGE_PARTS:,} parts, or {limits.IMAGE_BESIDE_BYTES:,} bytes "
                "beside its pixels; save it anew"
            )


def _png(raw: bytes) -> Iterator[int]:
    """Of each chunk its bytes where it holds no pixels."""
    at, kind = 8, b""
    while at + 8 <= len(raw) and kind != b"IEND":  # after which anything may stand
        size, kind = int.from_bytes(raw[at : at + 4], "big"), raw[at + 4 : at + 8]
        yield 0 if kind in (b"IDAT", b"fdAT") else size
        at += 12 + size


def _jpeg(raw: bytes) -> Iterator[int]:
    """Of each segment before the pixels its bytes."""
    at = 2
    while at + 4 <= len(raw) and raw[at] == 0xFF and raw[at + 1] != 0xDA:
        if raw[at + 1] == 0xFF:  # a byte that fills up
            at += 1
            continue
        size = int.from_bytes(raw[at + 2 : at + 4], "big")
        yield size
        at += 2 + max(size, 2)


def _gif(raw: bytes) -> Iterator[int]:
    """Of each block up to the second picture its bytes where it holds no pixels."""
    at, pictures = 13 + _colours(raw, 10), 0
    while at + 2 <= len(raw) and pictures < 2:
        is_picture, is_extension = raw[at] == 0x2C, raw[at] == 0x21
        if not is_picture and not is_extension:  # which Pillow steps over
            yield 0
            at += 1
            continue
        pictures += is_picture
        at += 11 + _colours(raw, at + 9) if is_picture else 2
        while at < len(raw) and raw[at]:
            if not is_picture:
                yield raw[at]
            at += 1 + raw[at]
        at += 1


def _colours(raw: bytes, at: int) -> int:
    """Bytes of the table that the flags there announce."""
    flags = raw[at] if at < len(raw) else 0
    return 3 << ((flags & 7) + 1) if flags & 128 else 0


_WALKS = {b"\x89PNG\r\n\x1a\n": _png, b"\xff\xd8": _jpeg, b"GIF8": _gif}
