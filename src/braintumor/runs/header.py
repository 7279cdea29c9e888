"""The header of best.safetensors, and whether the file is whole: however large, piece by piece."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from braintumor import limits
from braintumor.errors import CheckpointError, DataError
from braintumor.files import open_bounded, parse_json

DIGEST_KEY = "braintumor_sha256"
BLANK = "braintumor-sha256".ljust(64, ".")  # stands there while the checksum is taken
_LENGTH = 8  # bytes that say how long the header is
_PIECE = 1 << 20


def around(content: bytes, within: bytes) -> tuple[memoryview, memoryview]:
    """What stands before and after the first place where `within` is, not copied."""
    start = content.index(within)
    view = memoryview(content)
    return view[:start], view[start + len(within) :]


def read_header(path: Path) -> dict[str, Any]:
    """What the header says of a file of which every byte is the one that was written.

    Raises CheckpointError where it is no such file, or damaged.
    """
    try:
        with open_bounded(path, limits.CHECKPOINT_BYTES) as (file, size):
            start = file.read(_LENGTH)
            start += file.read(min(int.from_bytes(start, "little"), limits.CARD_BYTES))
            metadata, most = _metadata(start[_LENGTH:], path)
            digest = hashlib.sha256()
            said = str(metadata.get(DIGEST_KEY)).encode()
            before, after = around(start, said) if said in start else (memoryview(start), b"")
            for part in (before, BLANK.encode(), after):
                digest.update(part)
            is_whole = size == len(start) + most  # else it may be large and hold nothing
            while is_whole and (piece := file.read(_PIECE)):
                digest.update(piece)
    except DataError as error:
        raise CheckpointError(f"{path}: {error}; give best.safetensors of a run") from error
    if said.decode() != digest.hexdigest():
        raise CheckpointError(
            f"{path} is damaged or was cut short: its checksum is not that of its content; copy it "
            "again, or train again"
        )
    return metadata


def _metadata(header: bytes, path: Path) -> tuple[dict[str, Any], int]:
    """What it says beside the tensors, and how many bytes those take."""
    try:
        content = parse_json(header)
        metadata = dict(content.get("__metadata__", {}))
        ends = (each["data_offsets"][1] for name, each in content.items() if name[:2] != "__")
        most = max(map(int, ends), default=0)
    except (ValueError, AttributeError, TypeError, LookupError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or it was cut short; train again or copy it again"
        ) from error
    if set(metadata) <= {"format"}:
        raise CheckpointError(
            f"{path} holds weights but no braintumor card; bare backbone weights go in with "
            f"`bt-train model.backbone.weights={path}`"
        )
    return metadata, most
