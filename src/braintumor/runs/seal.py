"""Checksums inside checkpoints: a file that was cut, torn or flipped is refused, and named.

Both kinds of file stay what they are: anybody's safetensors or torch reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from braintumor.errors import CheckpointError

KEY = "braintumor_sha256"  # in the metadata of a safetensors file
BLANK = "braintumor-sha256".ljust(64, ".")  # stands there while the checksum is taken

_END = b"PK\x05\x06"  # begins the last record of a zip file, 22 bytes without a comment
_LENGTH = struct.pack("<H", 64)  # of the comment, in its last two bytes
_KNOWN_KEYS = {KEY, "braintumor_card", "format"}
_MOST_HEADER_BYTES = 100_000_000


def seal_weights(content: bytes) -> bytes:
    """The bytes of a safetensors file, with their SHA-256 in the place of BLANK under KEY."""
    return content.replace(BLANK.encode(), _digest(content), 1)


def check_weights(path: Path) -> None:
    """Raises CheckpointError when a byte of the file is not the one that was written.

    A file of a version that wrote no checksum passes.
    """
    metadata = metadata_of(path)
    if KEY not in metadata and set(metadata) <= _KNOWN_KEYS:
        return
    content, said = path.read_bytes(), str(metadata.get(KEY)).encode()
    if said != _digest(content.replace(said, BLANK.encode(), 1)):
        raise CheckpointError(
            f"{path} is damaged or was cut short: its checksum is not that of its content; copy it "
            "again, or train again"
        )


def metadata_of(path: Path) -> dict[str, Any]:
    """What the header of a safetensors file says of the file, read without its tensors.

    Raises CheckpointError when it has no such header.
    """
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        raw = file.read(length) if 0 < length <= _MOST_HEADER_BYTES else b""
    try:
        header = json.loads(raw)
        return dict(header.get("__metadata__", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or it was cut short; train again or copy it again"
        ) from error


def seal_state(content: bytes) -> bytes:
    """The bytes of a file that torch.save wrote, a zip, with their SHA-256 as its comment."""
    if content[-22:-18] != _END or content[-2:] != b"\0\0":
        raise AssertionError("torch.save gave a zip file with a comment")
    content = content[:-2] + _LENGTH
    return content + _digest(content)


def is_sealed_state(content: bytes) -> bool:
    """Whether it is, byte for byte, what `seal_state` gave.

    A file of a version that wrote no checksum is asked for those that zip keeps of its members.
    """
    if content[-22:-18] == _END and content[-2:] == b"\0\0":
        return _has_whole_members(content)
    return content[-64:] == _digest(content[:-64])


def _has_whole_members(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        return False


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
