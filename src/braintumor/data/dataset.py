"""A data set, read once: the manifest and every image at the size that the model sees."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.config import checked, did_you_mean, find_builder, typed
from braintumor.data.audit import Audit
from braintumor.data.audit_summary import summarise
from braintumor.data.images import Fit, resize
from braintumor.data.labels import collapse_to_binary, harmonise_all, name_numbers, refuse_mapping
from braintumor.data.manifest import DTYPES
from braintumor.data.reading import Fingerprints, Reading, read_images
from braintumor.data.sources import Item, KnowsLesions, Source, build_source
from braintumor.data.sources._look import ask_a_table
from braintumor.errors import ConfigError, DataError, listed_by_reason, some
from braintumor.ranges import Count, PictureSide, ShareWithin

# N images, S side of the square in pixels


@dataclass(frozen=True)
class DataSettings:
    """What every data set is asked, whatever its format; configs/data/_common.yaml has units."""

    name: str
    image_size: PictureSide | None
    fit: Fit
    class_names: None | list[str]  # noqa: RUF036
    binary: bool
    skip_unreadable: bool
    limit: Count | None
    val_fraction: ShareWithin
    test_fraction: ShareWithin


@dataclass(frozen=True, eq=False)
class Dataset:
    """All readable images of a data set.

    manifest: N rows in natural order of the path, index 0 to N-1; columns as in `manifest`,
        split being the data set's own (NaN where it has none).
    pixels: uint8 (N, S, S) when all images are grey, else (N, S, S, 3); row i is manifest row i.
        Read-only: mostly a memory map that all processes of the machine share.
    classes: sorted. joined: class -> the names that became it, where several did, and of all that
        data.class_names names, also without an image.
    ignored: noise, name -> count. unreadable: (path, reason), skipped on demand.
    fingerprints: of each image, in the order of the rows.  reading: how they came, in words.
    lesion_mask: manifest path -> where the lesion is on the pixels, bool (S, S), all False without
        one; None when the source does not know.
    audit: once there was one.
    """

    manifest: pd.DataFrame
    pixels: np.ndarray
    classes: tuple[str, ...]
    ignored: Mapping[str, int]
    joined: Mapping[str, Sequence[str]]
    unreadable: list[tuple[str, str]]
    fingerprints: Fingerprints
    reading: str
    lesion_mask: Callable[[str], np.ndarray] | None
    audit: Audit | None = None

    @functools.cached_property
    def phashes(self) -> np.ndarray:
        """Perceptual hashes of 256 bits as hex: str (N,)."""
        # scipy's filters, for which a start would wait
        from braintumor.data.duplicates import phashes

        return self.audit.phashes if self.audit else phashes(self.fingerprints.thumbnails)

    @functools.cached_property
    def audit_summary(self) -> dict[str, Any]:
        """The content of audit.json; empty where there was no audit."""
        return summarise(self.manifest, self.audit) if self.audit else {}


def read_dataset(
    data: Mapping[str, Any],
    image_size: int,
    classes: tuple[str, ...] | None = None,
    check: Callable[[pd.DataFrame], None] | None = None,
) -> Dataset:
    """List, label, decode and resize the images of the configuration's `data` section.

    data: the keys of DataSettings and the options of the source that `data.name` says.
    image_size: S in pixels.
    classes: those of a model that will be evaluated; the data may then have one class only.
    check: gets path, label, split and patient of every image before any is read, and may raise.
    Raises ConfigError on a wrong key, DataError when images cannot be read (all are listed),
    there is one class only, or a class is left with no image.
    """
    settings, options = check_options(data)
    checked(image_size, PictureSide, "data.image_size")
    source = build_source(settings.name, options)
    items, joined = _labelled(source.items, settings, classes or ())
    found = tuple(sorted({item.label for item in items}))
    if len(found) < (1 if classes else 2):
        ways, root = "each in its own folder or with its own label", str(options.get("root"))
        if settings.name == "folder" and Path(root).is_dir():
            ways = f"each in its own folder; or {ask_a_table((), root, is_folder=True)}"
        raise DataError(
            f"data={settings.name} has {some(len(items), 'image')} of one class only "
            f"({', '.join(found) or 'none'}); a classifier needs two, {ways}"
        )
    if check:
        listed = [(item.path, item.label, item.split, item.patient) for item in items]
        check(pd.DataFrame(listed, columns=["path", "label", "split", "patient"]))
    read = read_images(source, items, image_size, settings.fit)
    bad = {path for path, _ in read.unreadable}
    good = [item for item in items if item.path not in bad]
    _refuse_unfit(read, items, good, settings)
    rows = [
        (item.path, item.label, item.split, item.patient, item.patient, sha256, *facts[:3])
        for item, sha256, facts in zip(good, read.sha256, read.facts, strict=True)
    ]
    manifest = pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)
    return Dataset(
        manifest=manifest,
        pixels=read.pixels,
        classes=classes or found,
        ignored=source.ignored,
        joined=joined,
        unreadable=read.unreadable,
        fingerprints=read.fingerprints,
        reading=read.summary,
        lesion_mask=_lesion_mask(source, good, manifest, image_size, settings.fit),
    )


def _refuse_unfit(
    read: Reading, items: Sequence[Item], good: Sequence[Item], settings: DataSettings
) -> None:
    """Raises DataError on what cannot be read, and where nothing is in the pictures, or of a class.

    good: the items that could be read.
    """
    if read.unreadable and not settings.skip_unreadable:
        without = ", or go on without them with data.skip_unreadable=true" if good else ""
        counts = f"{len(read.unreadable)} of {some(len(items), 'image')} cannot be read"
        raise DataError(
            f"{counts}; mend or remove them{without}:\n{listed_by_reason(read.unreadable)}"
        )
    if items and all("blank" in flags for flags in read.fingerprints.quality_flags):
        raise DataError(
            f"all {len(items)} images are blank: of one grey level, or nearly; were values of 0-1 "
            "made whole numbers, or are they outlines? Save pictures of 0-255, or floats of 0-1"
        )
    if lost := {item.label for item in items} - {item.label for item in good}:
        raise DataError(
            f"no image of class {', '.join(sorted(lost))} can be read; the first reason: "
            f"{read.unreadable[0][0]}: {read.unreadable[0][1]}"
        )


def check_options(data: Mapping[str, Any]) -> tuple[DataSettings, dict[str, Any]]:
    """The common settings of a `data` section, and the options of its source, not yet checked.

    Raises ConfigError on an unknown name, key or value; nothing is opened.
    """
    common = {field.name for field in dataclasses.fields(DataSettings)}
    name = str(data.get("name"))
    build = find_builder("braintumor.data.sources", name, "data.name")
    known = common | set(inspect.signature(build).parameters)
    for key in data:
        if key not in known:
            raise ConfigError(f"`data.{key}` is not an option; {did_you_mean(str(key), known)}")
    refuse_mapping(data.get("class_names"))
    settings = typed(DataSettings, {k: v for k, v in data.items() if k in common}, "data")
    return settings, {k: v for k, v in data.items() if k not in common}


def _labelled(
    items: Sequence[Item], settings: DataSettings, known: Sequence[str]
) -> tuple[list[Item], dict[str, list[str]]]:
    """Items with canonical labels, at most `limit` of each class and split; and joined.

    known: the classes of a model that will be evaluated.
    """
    labels = [item.label for item in items]
    if settings.class_names:
        labels = name_numbers(labels, settings.class_names)
    named = settings.class_names or ()
    canonical = harmonise_all({*labels, *named}, known)
    labels = [canonical[label] for label in labels]
    if settings.binary:
        labels = collapse_to_binary(labels)
    joined: dict[str, list[str]] = defaultdict(list)
    for found, label in sorted(set(zip((item.label for item in items), labels, strict=True))):
        joined[label].append(found)
    for name in () if settings.binary else named:
        joined.setdefault(canonical[name], [])
    kept = [dataclasses.replace(i, label=label) for i, label in zip(items, labels, strict=True)]
    kept = _drawn(kept, settings.limit) if settings.limit else kept
    return kept, {label: names for label, names in joined.items() if len(names) > 1 or named}


def _drawn(items: Sequence[Item], limit: int) -> list[Item]:
    """At most `limit` of each class and split, in order; the first by name may be one patient's.

    Drawn by their places alone: all commands and seeds get the same, wherever the files lie.
    """
    places = defaultdict(list)
    for place, item in enumerate(items):
        places[item.label, item.split].append(place)
    drawn = (np.random.default_rng(0).permutation(p)[:limit].tolist() for p in places.values())
    return [items[place] for place in sorted(itertools.chain.from_iterable(drawn))]


def _lesion_mask(
    source: Source, items: Sequence[Item], manifest: pd.DataFrame, size_px: int, fit: Fit
) -> Callable[[str], np.ndarray] | None:
    """As Dataset.lesion_mask: a mask goes the way of its picture, so that the two lie together."""
    if not isinstance(source, KnowsLesions):
        return None
    sizes = zip(manifest["height"], manifest["width"], strict=True)
    known = {item.path: (item, size) for item, size in zip(items, sizes, strict=True)}

    def lesion_mask(path: str) -> np.ndarray:
        item, (height, width) = known[path]
        mask = source.mask(item)
        if mask.shape != (height, width):
            raise DataError(
                f"the lesion mask of {path} is {mask.shape[1]} x {mask.shape[0]} px, its picture "
                f"{width} x {height}; the source must give both of one size"
            )
        # where half of a pixel belongs to the lesion, all of it does; what is padded does not
        return resize(255 * mask.astype(np.uint8), size_px, fit) >= 128

    return lesion_mask
