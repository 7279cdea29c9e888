"""From the settings to images with labels and splits: the first half of bt-train and bt-data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.data.audit import audit_images, describe_pairs, five_lines, summarise, write_audit
from braintumor.data.dataset import Dataset, read_dataset
from braintumor.data.manifest import class_table, size_table
from braintumor.data.split import assign_splits
from braintumor.errors import DataError
from braintumor.files import write_atomic
from braintumor.workflows.console import describe_data, log


def read_data(settings: Mapping[str, Any], image_size: int, label: str) -> Dataset:
    """The data set that `settings["data"]` names: decoded, labelled, audited, divided.

    settings: needs data, split and seed.  image_size: px.  label: what messages call the data.
    """
    options = settings["data"]
    data = read_dataset(options, image_size, progress=True)
    audit = audit_images(data.manifest, data.fingerprints)
    manifest, kind = assign_splits(
        data.manifest.assign(group=audit.group),
        settings["split"],
        settings["seed"],
        options["val_fraction"],
        options["test_fraction"],
        folds=settings.get("folds"),
        fold=settings.get("fold"),
    )
    data = dataclasses.replace(data, manifest=manifest, audit=audit)
    log.info("%s: %d images at %d px, split %s", label, len(manifest), image_size, kind)
    describe_data(class_table(manifest), data.ignored, len(data.unreadable))
    log.info("  %s", data.reading)
    for line in five_lines(summarise(manifest, audit)):
        log.info("%s", line)
    return data


def labels_of(data: Dataset, classes: tuple[str, ...]) -> np.ndarray:
    """Class numbers in the order of `classes`: int64 (N,).

    Raises DataError when the data has a class that the model does not know.
    """
    number = {name: i for i, name in enumerate(classes)}
    unknown = sorted(set(data.manifest["label"]) - set(number))
    if unknown:
        raise DataError(
            f"the data has classes that the model does not know: {', '.join(unknown)}; it knows "
            f"{', '.join(classes)}; rename the class folders to those, or leave the others out"
        )
    return data.manifest["label"].map(number).to_numpy(dtype=np.int64)


def write_tables(data: Dataset, folder: Path) -> None:
    """Classes, sizes and copies: classes.csv, image_sizes.csv, audit.json, duplicates.csv."""
    write_atomic(folder / "classes.csv", class_table(data.manifest).to_csv())
    write_atomic(folder / "image_sizes.csv", size_table(data.manifest).to_csv(index=False))
    if data.audit:
        write_audit(folder, data.manifest, data.audit)


def draw_data(data: Dataset, folder: Path) -> None:
    """The same as pictures, with samples of each class, under plots/; takes seconds."""
    # matplotlib, for which the first step would wait
    from braintumor.report.plots.data import (
        choose_pairs,
        draw_class_balance,
        draw_copies,
        draw_image_sizes,
    )
    from braintumor.report.plots.pictures import draw_samples
    from braintumor.report.plots.style import to_png

    labels = labels_of(data, data.classes)
    figures = {
        "class_balance": draw_class_balance(data.manifest),
        "image_sizes": draw_image_sizes(data.manifest),
        "samples": draw_samples(data.pixels, labels, data.classes),
    }
    if data.audit:
        pairs = choose_pairs(describe_pairs(data.manifest, data.audit.pairs))
        figures["copies"] = draw_copies(data.pixels, data.manifest["path"], pairs)
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
