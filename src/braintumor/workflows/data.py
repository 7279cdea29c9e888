"""From the settings to images with labels and splits, and what is told of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from braintumor.config import checked
from braintumor.data.audit import audit_images, describe_pairs, write_audit
from braintumor.data.dataset import Dataset, check_options, read_dataset
from braintumor.data.images import Fit
from braintumor.data.manifest import class_numbers, class_table, read_manifest, size_table
from braintumor.data.moved import Found, as_before, find_images
from braintumor.data.sources import require_root
from braintumor.data.split import assign_splits, check_kind, check_listed
from braintumor.errors import CheckpointError, DataError, some
from braintumor.files import write_atomic
from braintumor.places import as_path
from braintumor.progress import waiting
from braintumor.ranges import PictureSide
from braintumor.runs.commands import repeat_command
from braintumor.runs.folder import RunFolder
from braintumor.workflows.console import log
from braintumor.workflows.describe import describe_data, five_lines, warn_of_formulas, warn_of_lacks


def read_data(settings: Mapping[str, Any], image_size: int, label: str) -> Dataset:
    """The data set that `settings["data"]` names: decoded, labelled, audited, divided.

    settings: needs data, split and seed.  image_size: px.  label: what messages call the data.
    """
    options, kind, folds = settings["data"], settings["split"], settings.get("folds")
    check_options(options)
    check_kind(kind, folds, settings.get("fold"))
    data = read_dataset(options, image_size, check=lambda seen: check_listed(seen, kind, folds))
    data = _audited(data)
    manifest, kind = assign_splits(
        data.manifest,
        kind,
        settings["seed"],
        options["val_fraction"],
        options["test_fraction"],
        folds=folds,
        fold=settings.get("fold"),
    )
    own = data.manifest["split"].dropna().unique()
    data = dataclasses.replace(data, manifest=manifest)
    count = some(len(manifest), "image")
    log.info("%s: %s at %d px, split %s", label, count, image_size, kind)
    if len(own) and not kind.startswith("official"):
        log.info("  divided anew: its own split (%s) is not used", ", ".join(sorted(own)))
    _describe(data, options["fit"])
    return data


def size_of(settings: Mapping[str, Any]) -> int:
    """The side of the pictures that a model sees, px: data.image_size, else the backbone's."""
    section = settings["data"]
    where = "data"
    if section.get("image_size") is None:
        section, where = settings["model"]["backbone"], "model.backbone"
    return int(checked(section["image_size"], PictureSide, f"{where}.image_size"))


def read_again(
    settings: Mapping[str, Any], image_size: int, run: RunFolder, elsewhere: str
) -> Dataset:
    """The data set of a run in its order and with its splits, wherever the images lie now.

    elsewhere: the command that says where, for errors.
    Raises DataError when images are not those that the run began with, naming some.
    """
    options = settings["data"]
    try:
        before = read_manifest(run.manifest)
    except DataError as error:
        raise CheckpointError(
            f"{run.manifest}, the images and splits of the run, is missing or damaged ({error}); "
            f"copy it back, or start again with: {repeat_command(run, in_place=True)}"
        ) from error
    try:  # a healthy class may have another name in a run that was begun earlier
        data = read_dataset(options, image_size, tuple(sorted(before["label"].unique())))
    except DataError as error:
        places = [Path(options[key]).expanduser() for key in ("root", "table") if options.get(key)]
        if all(place.exists() for place in places):
            raise
        words = f"{error}; if the images lie elsewhere now, say where: {elsewhere}"
        raise DataError(words) from error
    found = find_images(before, data.manifest)
    if found.differences:
        raise DataError(
            f"the images changed since {run.path} began, or its manifest.csv or config.yaml did: "
            f"{found.differences}; restore them, or name the data set as it is now: a new "
            "`bt-train`, or `bt-eval` with data=…"
        )
    what = f"{some(len(before), 'image')} at {image_size} px"
    return restore(data, before, found, what, options["fit"])


def restore(data: Dataset, before: pd.DataFrame, found: Found, what: str, fit: Fit) -> Dataset:
    """The images of a run's manifest with its splits. what: they are, for the console."""
    data = _audited(as_before(data, before, found.rows))
    log.info("%s, splits as the run had them", what)
    _describe(data, fit)
    return data


def _audited(data: Dataset) -> Dataset:
    audit = audit_images(data.manifest, data.fingerprints)
    manifest = data.manifest.assign(group=audit.group)
    return dataclasses.replace(data, manifest=manifest, audit=audit)


def _describe(data: Dataset, fit: Fit) -> None:
    describe_data(data)
    warn_of_lacks(data)
    columns = (data.manifest[name].dropna() for name in ("path", "label", "patient"))
    warn_of_formulas(chain.from_iterable(columns))
    log.info("  %s", data.reading)
    if data.audit:
        for line in five_lines(data.audit_summary, fit):
            log.info("%s", line)


def require_place(options: Mapping[str, Any]) -> None:
    """Raises DataError where data.root is not there: before weights are fetched for it."""
    if options["name"] in ("folder", "npz") and (root := options.get("root")):
        require_root(as_path(root, "data.root"))


def write_tables(data: Dataset, folder: Path) -> None:
    """Classes, sizes and copies: classes.csv, image_sizes.csv, audit.json, duplicates.csv."""
    write_atomic(folder / "classes.csv", class_table(data.manifest).to_csv())
    write_atomic(folder / "image_sizes.csv", size_table(data.manifest).to_csv(index=False))
    if data.audit:
        write_audit(folder, data.manifest, data.audit, data.audit_summary)


@waiting("drawing the data")
def draw_data(data: Dataset, folder: Path) -> None:
    """The same as pictures, with samples of each class, under plots/; takes seconds."""
    # matplotlib, for which the first step would wait
    from braintumor.report.plots import pictures
    from braintumor.report.plots.style import to_png

    labels = class_numbers(data.manifest["label"], data.classes)
    figures = {
        "class_balance": pictures.draw_class_balance(data.manifest),
        "image_sizes": pictures.draw_image_sizes(data.manifest),
        "samples": pictures.draw_samples(data.pixels, labels, data.classes),
    }
    if data.audit:
        pairs = pictures.choose_pairs(describe_pairs(data.manifest, data.audit.pairs))
        figures["copies"] = pictures.draw_copies(data.pixels, data.manifest, pairs)
    for name, figure in figures.items():
        write_atomic(folder / "plots" / f"{name}.png", to_png(figure))


def drawn(folder: Path) -> dict[str, Path]:
    """The pictures that `draw_data` left in a folder: title -> file."""
    titles = {
        "class_balance": "Images by class and split",
        "samples": "Samples of each class",
        "copies": "Copies found",
    }
    files = {title: folder / "plots" / f"{name}.png" for name, title in titles.items()}
    return {title: file for title, file in files.items() if file.is_file()}
