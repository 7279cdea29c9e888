"""bt-eval on=[…]: every checkpoint on every data set, one table, nothing trained anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.cli.console import log
from braintumor.cli.on import Named, data_sets
from braintumor.cli.outputs import check_output, held_output, of_now
from braintumor.cli.shell import Job, Settings
from braintumor.compare.compare import run_names
from braintumor.compare.cross_dataset import empty, matrix_table, score, short_table, write_matrix
from braintumor.data.dataset import Dataset, read_dataset
from braintumor.data.fingerprints import phashes
from braintumor.data.manifest import choose_rows
from braintumor.errors import BraintumorError, ConfigError, DataError
from braintumor.evaluation.contamination import find_contaminated
from braintumor.records import Predictions
from braintumor.runs.checkpoint import Card, find_checkpoint, load_classifier, read_card
from braintumor.runs.kinds import MATRIX
from braintumor.runs.ownership import remove_own
from braintumor.runtime import choose_device, choose_precision

# N images of a data set, M of the chosen split


@dataclasses.dataclass(frozen=True)
class _Checkpoint:
    name: str
    path: Path
    card: Card


@dataclasses.dataclass(frozen=True, eq=False)
class _Images:
    """The chosen split of a data set at one image size; mirrored: hashes of mirror images."""

    data: Dataset
    split: str
    rows: np.ndarray
    mirrored: np.ndarray


def run_matrix(settings: Settings, job: Job) -> None:
    """Write matrix.csv, matrix.md and matrix.png, and print the table.

    Raises ConfigError when data sets are named in another way too, DataError when no pair at all
    could be evaluated.
    """
    if settings.get("data"):
        raise ConfigError("data= and on=[…] both name data sets; add the one to on=[…]")
    if not settings["on"]:
        raise ConfigError(
            "several checkpoints need the data sets to evaluate them on: "
            "bt-eval 'ckpt=[runs/A,runs/B]' 'on=[FOLDER,FILE.npz,phantom]'"
        )
    check_output(settings, job, MATRIX)
    sets = data_sets(_listed(settings["on"]))
    checkpoints = _checkpoints(_listed(settings["ckpt"]))
    cells = [
        {"ckpt": checkpoint.name, "data": named.name, **cell}
        for named in sets
        for checkpoint, cell in _cells_on(named, checkpoints, settings)
    ]
    places = {checkpoint.name: place for place, checkpoint in enumerate(checkpoints)}
    table = matrix_table(sorted(cells, key=lambda cell: places[cell["ckpt"]]))
    if not table["n"].any():
        raise DataError(f"no pair could be evaluated; the first reason: {table['note'].iloc[0]}")
    with held_output(settings, job, MATRIX, of_now("matrix")) as folder:
        remove_own(folder, MATRIX)
        write_matrix(folder, table)
    log.info("balanced accuracy without copies in training, n (over all images):")
    for line in short_table(table).to_string().splitlines():
        log.info("  %s", line)
    log.info("matrix: %s", folder / "matrix.md")


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _checkpoints(given: list[str]) -> list[_Checkpoint]:
    """All cards read, before the first image is."""
    paths = list(dict.fromkeys(find_checkpoint(path) for path in given))
    names = run_names([path.parent for path in paths])
    if len(set(names)) < len(names):  # two files of one folder
        names = [str(path) for path in paths]
    pairs = zip(names, paths, strict=True)
    return [_Checkpoint(name, path, read_card(path)) for name, path in pairs]


def _cells_on(
    named: Named, checkpoints: list[_Checkpoint], settings: Settings
) -> Iterator[tuple[_Checkpoint, dict[str, Any]]]:
    """The cells of one data set, which is read once for every size of picture needed."""
    by_size: dict[tuple[int, str], list[_Checkpoint]] = {}
    for checkpoint in checkpoints:
        key = checkpoint.card.image_size, checkpoint.card.fit
        by_size.setdefault(key, []).append(checkpoint)
    for (size_px, fit), group in by_size.items():
        try:
            images = _read(named, size_px, fit, settings["split"])
        except DataError as error:  # one unreadable set is a reason in its cells, not the end
            log.warning("%s: %s", named.name, error)
            yield from ((checkpoint, empty(str(error))) for checkpoint in group)
            continue
        for checkpoint in group:
            yield checkpoint, _cell(checkpoint, images, settings)


def _read(named: Named, size_px: int, fit: str, split: str | None) -> _Images:
    options = named.options | {"fit": fit, "binary": False}
    # one class only is enough to evaluate on, which naming classes says
    data = read_dataset(options, size_px, progress=True, classes=("any",))
    found, rows = choose_rows(data.manifest, split)
    log.info("%s: %d images, split %s, at %d px", named.name, len(rows), found, size_px)
    return _Images(data, found, rows, phashes(data.thumbnails[rows][:, :, ::-1]))


def _cell(checkpoint: _Checkpoint, images: _Images, settings: Settings) -> dict[str, Any]:
    manifest = images.data.manifest.iloc[images.rows]
    contaminated = find_contaminated(
        manifest["sha256"].to_numpy(),
        images.data.phashes[images.rows],
        images.mirrored,
        checkpoint.card.training_hashes,
        checkpoint.card.training_phashes,
        settings["copy_bits"],
    )
    try:
        predictions = _predict(checkpoint, images, settings)
        figures = score(predictions, manifest["label"].tolist(), contaminated)
    except BraintumorError as error:
        figures = empty(str(error))
    note = f" ({figures['note']})" if figures["note"] else ""
    log.info(
        "  %s: %d of %d images clean%s", checkpoint.name, figures["clean_n"], len(manifest), note
    )
    return {"split": images.split, **figures}


def _predict(checkpoint: _Checkpoint, images: _Images, settings: Settings) -> Predictions:
    """Answers of the checkpoint for the chosen images; their labels are not read."""
    from braintumor.data.tensors import load_split
    from braintumor.evaluation.predict import predict

    device = choose_device(settings["device"])
    model, card = load_classifier(checkpoint.path, device)
    data, trained = images.data, card.settings
    nobody_knows = np.zeros(len(data.manifest), dtype=np.int64)
    chosen = load_split(
        data.pixels, nobody_knows, tuple(data.manifest["path"]), images.rows, device
    )
    predictions = predict(
        model,
        chosen,
        card.classes,
        batch_size=settings["batch_size"],
        dtype=choose_precision(settings["precision"] or trained["train"]["precision"], device),
        views=settings["eval"]["views"] or trained["eval"]["views"],
    )
    temperature = (card.decisions or {}).get("temperature", 1.0)
    return dataclasses.replace(predictions, temperature=temperature)
