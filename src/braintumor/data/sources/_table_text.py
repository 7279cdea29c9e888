"""The header and rows of a CSV file, however it was saved."""

from __future__ import annotations

import csv
import io
import itertools
import re
from pathlib import Path

from braintumor import limits
from braintumor.data.signatures import HEAD_BYTES, named_by_content
from braintumor.errors import DataError
from braintumor.files import read_bounded

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # Excel's "Unicode text"
_JSON = (b"[", b"{")
_BEFORE = re.compile(r"\s*$|(?i:sep=)|#[^,;\t|]")  # a header: empty lines, Excel's own, comments

Lines = list[tuple[int, list[str]]]  # number in the file, and cells


def read_lines(table: Path) -> tuple[list[str], Lines]:
    """The header, and each row that is not empty with its line number.

    Empty lines, comments (#) and Excel's `sep=;` may come before the header.
    Raises DataError where it is no CSV file or too large.
    """
    raw = _content_of(table)
    try:
        text = raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8-sig")
        file = io.StringIO(text, newline="")
        above, first = next(
            ((above, line) for above, line in enumerate(file) if not _BEFORE.match(line)), (0, "")
        )
        separator = max(",;\t|", key=first.count)
        header = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
        reader = csv.reader(file, delimiter=separator)
        numbered = ((reader.line_num + above + 1, line) for line in reader if any(line))
        lines = [*itertools.islice(numbered, limits.MEMBERS + 1)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8 ({error}); save it as one") from error
    if len(lines) > limits.MEMBERS:
        raise DataError(f"{table} lists over {limits.MEMBERS:,} images; give a smaller table")
    return header, lines


def _content_of(table: Path) -> bytes:
    """All bytes of the table, some of them more than space."""
    try:
        raw = read_bounded(table, limits.TABLE_BYTES)
    except DataError as error:
        raise DataError(f"{table}: {error}; give a smaller table") from error
    if raw.lstrip().startswith(_JSON):
        raise DataError(f"{table} is JSON, not a CSV file; save it as CSV: path,label")
    if what := named_by_content(raw[:HEAD_BYTES], also_packed=True):
        raise DataError(f"{table} is {what}, not a CSV file; save it as CSV (UTF-8)")
    if not raw.strip():
        raise DataError(f"{table} is empty; its first line should be: path,label")
    return raw
