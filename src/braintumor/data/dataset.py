"""A data set, read once: the manifest and every image at the size that the model sees."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from braintumor.data.images import Image, decode, resize
from braintumor.data.labels import collapse_to_binary, harmonise
from braintumor.data.manifest import COLUMNS
from braintumor.data.sources import Item, Source, build_source
from braintumor.errors import ConfigError, DataError, MachineError
from braintumor.files import sha256_of
from braintumor.settings import did_you_mean, find_builder, typed

# N images, S side of the square in pixels

Fit = Literal["stretch", "pad"]

_BATCH = 16  # images a thread reads before it hands over; one by one costs a third of the speed
_NAMED = 20  # unreadable images that a message lists; the count covers all


@dataclass(frozen=True)
class DataSettings:
    """What every data set is asked, whatever its format; configs/data/_common.yaml has units."""

    name: str
    image_size: int | None
    fit: Fit
    binary: bool
    skip_unreadable: bool
    limit: int | None
    val_fraction: float
    test_fraction: float


@dataclass(frozen=True, eq=False)
class Dataset:
    """All readable images of a data set.

    manifest: N rows in natural order of the path, index 0 to N-1; columns as in `manifest`,
        split being the data set's own (NaN where it has none).
    pixels: uint8 (N, S, S) when all images are grey, else (N, S, S, 3); row i is manifest row i.
    classes: sorted. ignored: noise, name -> count. unreadable: (path, reason), skipped on demand.
    """

    manifest: pd.DataFrame
    pixels: np.ndarray
    classes: tuple[str, ...]
    ignored: Mapping[str, int]
    unreadable: list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class _Read:
    """One image after a worker thread had it: decoded, resized, or the reason why not."""

    square: np.ndarray | None = None
    row: tuple[str, int, int, str] = ("", 0, 0, "")  # sha256, width, height, mode
    reason: str = ""


def read_dataset(
    data: Mapping[str, Any],
    image_size: int,
    *,
    progress: bool,
    classes: tuple[str, ...] | None = None,
) -> Dataset:
    """List, label, decode and resize the images of the configuration's `data` section.

    data: the keys of DataSettings and the options of the source that `data.name` says.
    image_size: S in pixels. progress: show a bar on stderr.
    classes: those of a model that will be evaluated; the data may then have one class only.
    Raises ConfigError on a wrong key, DataError when images cannot be read (all are listed),
    there is one class only, or a class is left with no image.
    """
    settings, source = _open(data)
    if image_size < 1:
        raise ConfigError(f"data.image_size={image_size} should be at least 1 pixel")
    items = _labelled(source.items, settings)
    found = _classes(items, settings.name, least=1 if classes else 2)
    pixels, rows, unreadable = _read_all(source, items, image_size, settings.fit, progress)
    if unreadable and not settings.skip_unreadable:
        raise DataError(_list_unreadable(unreadable, len(items)))
    manifest = _manifest(items, rows)
    lost = set(found) - set(manifest["label"])
    if lost:
        raise DataError(
            f"no image of class {', '.join(sorted(lost))} can be read; the first reason: "
            f"{unreadable[0][0]}: {unreadable[0][1]}"
        )
    return Dataset(manifest, pixels, classes or found, source.ignored, unreadable)


def _open(data: Mapping[str, Any]) -> tuple[DataSettings, Source]:
    """The `data` section as typed settings and an opened source."""
    common = {field.name for field in dataclasses.fields(DataSettings)}
    name = str(data.get("name"))
    build = find_builder("braintumor.data.sources", name, "data.name")
    known = common | set(inspect.signature(build).parameters)
    for key in data:
        if key not in known:
            raise ConfigError(f"`data.{key}` is not an option; {did_you_mean(str(key), known)}")
    settings = typed(DataSettings, {k: v for k, v in data.items() if k in common}, "data")
    if settings.limit is not None and settings.limit < 1:
        raise ConfigError(f"data.limit={settings.limit} should be at least 1, or null for all")
    return settings, build_source(name, {k: v for k, v in data.items() if k not in common})


def _labelled(items: Sequence[Item], settings: DataSettings) -> list[Item]:
    """Items with canonical labels; of each class and split the first `limit` by name.

    The limit counts images: of a patient with many slices it may keep some only.
    """
    canonical = {label: harmonise(label) for label in {item.label for item in items}}
    labels = [canonical[item.label] for item in items]
    if settings.binary:
        labels = collapse_to_binary(labels)
    kept = []
    taken: Counter[tuple[str, str | None]] = Counter()
    for item, label in zip(items, labels, strict=True):
        taken[label, item.split] += 1
        if settings.limit is None or taken[label, item.split] <= settings.limit:
            kept.append(dataclasses.replace(item, label=label))
    return kept


def _classes(items: Sequence[Item], name: str, least: int) -> tuple[str, ...]:
    classes = tuple(sorted({item.label for item in items}))
    if len(classes) < least:
        raise DataError(
            f"data={name} has {len(items)} images of one class only "
            f"({', '.join(classes) or 'none'}); a classifier needs two, each in its own folder "
            "or with its own label"
        )
    return classes


def _read_all(
    source: Source, items: Sequence[Item], size_px: int, fit: Fit, progress: bool
) -> tuple[np.ndarray, list[tuple[str, int, int, str] | None], list[tuple[str, str]]]:
    """Pixels of the readable images; one manifest row an item, None if unreadable; reasons."""
    pixels = _allocate(len(items), size_px)
    rows: list[tuple[str, int, int, str] | None] = []
    unreadable = []
    count = 0
    results = _in_threads(source, items, size_px, fit)
    bar = tqdm(
        results, "reading images", len(items), unit="img", disable=None if progress else True
    )
    for item, result in zip(items, bar, strict=True):
        if result.square is None:
            unreadable.append((item.path, result.reason))
            rows.append(None)
            continue
        if result.square.ndim > pixels.ndim - 1:  # the first one in colour
            pixels = _in_colour(pixels, count)
        if result.square.ndim < pixels.ndim - 1:  # grey among colour
            for channel in range(3):  # ten times faster than broadcasting a last axis
                pixels[count, ..., channel] = result.square
        else:
            pixels[count] = result.square
        rows.append(result.row)
        count += 1
    return pixels[:count], rows, unreadable


def _in_threads(source: Source, items: Sequence[Item], size_px: int, fit: Fit) -> Iterator[_Read]:
    """Read items on all cores, handed out in their order; few are held at a time."""
    affinity = getattr(os, "sched_getaffinity", None)  # cores of this process; Linux only
    workers = len(affinity(0)) if affinity else os.cpu_count() or 1
    batches = (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
    waiting: deque[Future[list[_Read]]] = deque()
    with ThreadPoolExecutor(workers) as pool:  # Pillow, hashlib and read() release the GIL
        try:
            for batch in batches:
                waiting.append(pool.submit(_read_batch, source, batch, size_px, fit))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read_batch(source: Source, items: Sequence[Item], size_px: int, fit: Fit) -> list[_Read]:
    return [_read_one(source, item, size_px, fit) for item in items]


def _read_one(source: Source, item: Item, size_px: int, fit: Fit) -> _Read:
    try:
        raw = source.read(item)
        image: Image = decode(raw)
    except (DataError, OSError) as error:
        return _Read(reason=str(error))
    square = resize(image.pixels, size_px, fit)
    return _Read(square, (_content_hash(raw), image.width, image.height, image.mode))


def _content_hash(raw: bytes | np.ndarray) -> str:
    """SHA-256 of a file's bytes; of an array's type, shape and values."""
    if isinstance(raw, bytes):
        return sha256_of(raw)
    digest = hashlib.sha256(f"{raw.dtype.str}{raw.shape}".encode())
    digest.update(np.ascontiguousarray(raw).data)
    return digest.hexdigest()


def _allocate(count: int, size_px: int) -> np.ndarray:
    try:
        return np.empty((count, size_px, size_px), np.uint8)
    except MemoryError as error:
        raise MachineError(
            f"{count} images at {size_px} px need {count * size_px**2 / 1e9:.1f} GB of memory; "
            "use a smaller data.image_size, or data.limit"
        ) from error


def _in_colour(grey: np.ndarray, count: int) -> np.ndarray:
    """(N, S, S) -> (N, S, S, 3), of which only the first `count` are filled yet."""
    colour = np.empty((*grey.shape, 3), np.uint8)
    for channel in range(3):
        colour[:count, ..., channel] = grey[:count]
    return colour


def _manifest(
    items: Sequence[Item], rows: Sequence[tuple[str, int, int, str] | None]
) -> pd.DataFrame:
    records = [
        (item.path, item.label, item.split, item.patient, item.patient, *row)
        for item, row in zip(items, rows, strict=True)
        if row is not None
    ]
    manifest = pd.DataFrame(records, columns=list(COLUMNS))
    whole = {"width": "int64", "height": "int64"}
    return manifest.astype({name: whole.get(name, "str") for name in COLUMNS})


def _list_unreadable(unreadable: Sequence[tuple[str, str]], total: int) -> str:
    lines = [f"  {path}: {reason}" for path, reason in unreadable[:_NAMED]]
    if len(unreadable) > _NAMED:
        lines.append(f"  … and {len(unreadable) - _NAMED} more")
    return (
        f"{len(unreadable)} of {total} images cannot be read; mend or remove them, "
        "or go on without them with data.skip_unreadable=true:\n" + "\n".join(lines)
    )
