"""From the settings to images with labels and splits: the first half of bt-train and bt-data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.cli.console import describe_data, log
from braintumor.data.dataset import Dataset, read_dataset
from braintumor.data.manifest import class_table
from braintumor.data.split import assign_splits
from braintumor.errors import DataError
from braintumor.runs.checkpoint import Card


def read_data(settings: Mapping[str, Any], image_size: int, label: str) -> Dataset:
    """The data set that `settings["data"]` names, decoded, labelled, and with splits assigned.

    settings: needs data, split and seed.  image_size: px.  label: what messages call the data.
    """
    options = settings["data"]
    data = read_dataset(options, image_size, progress=True)
    manifest, kind = assign_splits(
        data.manifest,
        settings["split"],
        settings["seed"],
        options["val_fraction"],
        options["test_fraction"],
    )
    data = dataclasses.replace(data, manifest=manifest)
    log.info("%s: %d images at %d px, split %s", label, len(manifest), image_size, kind)
    describe_data(class_table(manifest), data.ignored, len(data.unreadable))
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


def explore(data: Dataset, folder: Path) -> dict[str, Path]:
    """Class and size tables as CSV, pictures of both and of samples under plots/: title -> file."""
    from braintumor.data.manifest import class_table, size_table
    from braintumor.evaluation.plots.class_balance import draw_class_balance
    from braintumor.evaluation.plots.image_sizes import draw_image_sizes
    from braintumor.evaluation.plots.samples import draw_samples
    from braintumor.evaluation.plots.style import to_png
    from braintumor.files import write_atomic

    write_atomic(folder / "classes.csv", class_table(data.manifest).to_csv())
    write_atomic(folder / "image_sizes.csv", size_table(data.manifest).to_csv(index=False))
    labels = labels_of(data, data.classes)
    figures = {
        "class_balance": draw_class_balance(data.manifest),
        "image_sizes": draw_image_sizes(data.manifest),
        "samples": draw_samples(data.pixels, labels, data.classes),
    }
    for name, figure in figures.items():
        write_atomic(folder / "plots" / f"{name}.png", to_png(figure))
    return explored(folder)


def explored(folder: Path) -> dict[str, Path]:
    """The pictures that `explore` left in a folder: title -> file."""
    titles = {"class_balance": "Images by class and split", "samples": "Samples of each class"}
    files = {title: folder / "plots" / f"{name}.png" for name, title in titles.items()}
    return {title: file for title, file in files.items() if file.is_file()}


def warn_of_training_images(hashes: pd.Series, card: Card, split: str) -> dict[str, str]:
    """Say how many of these images the model was trained on, byte for byte; for the report too.

    hashes: sha256 of the images to be evaluated. Mirrored or re-encoded copies are not seen.
    """
    known = int(hashes.isin(card.training_hashes).sum())
    if not known or split == "train":
        return {}
    share = f"{known:,} of {len(hashes):,} images"
    log.warning("  %s are byte for byte images that the model was trained on", share)
    return {"byte-identical to a training image": share}
