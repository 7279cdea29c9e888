"""Where images come from: one module a format, each with `build(**options) -> Source`.

A source lists its images without decoding them and hands out one at a time; it may be read
from several threads at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from braintumor.config import call, find_builder
from braintumor.data.signatures import HEAD_BYTES, named_by_content, why_not_fetched
from braintumor.errors import DataError
from braintumor.quoting import pasteable


@dataclass(frozen=True)
class Item:
    """One image that a source offers, not read yet.

    path: unique name shown to users: a posix path relative to the root ("Training/no/a.jpg"),
        or a place in a larger file ("train_data.npz#17").
    label: as found; `labels.harmonise` makes it comparable.
    split: the data set's own, "train", "val" or "test"; None when it has none.
    patient: whom the image belongs to; None when unknown.
    """

    path: str
    label: str
    split: str | None = None
    patient: str | None = None


class Source(Protocol):
    """A data set that is listed but not read. One that knows where lesions are has `mask` too."""

    @property
    def items(self) -> Sequence[Item]:
        """All images in natural order of their path (`files.natural_key`)."""

    @property
    def ignored(self) -> Mapping[str, int]:
        """What was passed over as noise: name -> count."""

    def read(self, item: Item) -> bytes | np.ndarray:
        """The content of an image file, or its pixels: uint8 (h, w) or (h, w, 3).

        Raises OSError or DataError when this one image cannot be had.
        """


def require_root(root: Path) -> None:
    """Raises DataError where data.root is not there, with what beside it may be meant."""
    if root.exists():
        return
    beside = [path.name for path in root.parent.iterdir()] if root.parent.is_dir() else []
    near = difflib.get_close_matches(root.name, beside, n=1, cutoff=0.5)
    meant = pasteable("data.root", str(root.with_name(near[0]))) if near else None
    ask = f"; did you mean {meant}?" if meant else ""
    raise DataError(f"data.root={root} does not exist (looked from {Path.cwd()}){ask}")


@runtime_checkable
class KnowsLesions(Protocol):
    """What a source may offer beside `Source`: phantoms do, most data sets do not."""

    def mask(self, item: Item) -> np.ndarray:
        """Where the lesion is: bool (h, w) of the picture as decoded, all False without one."""


@runtime_checkable
class Generates(Protocol):
    """What a source offers beside `Source` where it makes its pictures and reads none."""

    def identity(self, item: Item) -> str:
        """All that decides what `read` gives: where a run knows that, nothing is made again."""


@dataclass(frozen=True)
class FileSource:
    """Image files, listed. read_file: gives the content of the one at a path."""

    items: tuple[Item, ...]
    ignored: Mapping[str, int]
    read_file: Callable[[str], bytes]

    def read(self, item: Item) -> bytes:
        return self.read_file(item.path)


def build_source(name: str, options: Mapping[str, Any]) -> Source:
    """The source called `name`, listed and ready to read.

    options: what its `build` takes, checked against the signature.
    Raises ConfigError on a wrong name or option, DataError when the files are not as needed.
    """
    source: Source = call(find_builder(__name__, name, "data.name"), options, "data")
    return source


def why_unreadable(path: Path, error: Exception, kind: str) -> str:
    """What, and what to do: a file that is whole but closed or packed oddly is not called damaged.

    kind: what it should be, such as "zip or tar file".
    """
    if isinstance(error, PermissionError):
        return f"{path} cannot be opened ({error.strerror}); check its permissions"
    if isinstance(error, NotImplementedError):  # of zipfile: Windows packs large files so
        return f"{path} is packed in a way that Python cannot read ({error}); unpack it yourself"
    if "password" in str(error):
        return f"{path} is encrypted; unpack it yourself"
    head = b""
    if path.is_file() and path.stat().st_size:  # else what the kernel writes, perhaps for ever
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    if what := named_by_content(head, also_packed=False):
        return f"{path} is {what}; save what is in it as a {kind}"
    if why := why_not_fetched(head):
        return f"{path} is no {kind}: {why}"
    why = str(error) or type(error).__name__
    if not head.strip():
        why = "it is empty or no regular file"
    elif "allow_pickle" in why:  # what numpy says of any content that it does not know
        why = "it does not begin as one"
    return f"{path} is damaged or no {kind} ({why}); get it again"
