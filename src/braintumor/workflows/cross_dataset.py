"""bt-eval on=[…]: every checkpoint on every data set, one table, nothing trained anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.comparison import cross_dataset as matrix
from braintumor.comparison.read import run_names
from braintumor.config import did_you_mean, options_of
from braintumor.data.dataset import Dataset, read_dataset
from braintumor.data.manifest import choose_rows
from braintumor.errors import BraintumorError, ConfigError, DataError, some
from braintumor.evaluation.leakage import leakage_by_hashes
from braintumor.places import as_path
from braintumor.records import Predictions
from braintumor.runs.checkpoint import Card, find_checkpoint
from braintumor.runs.ensemble import read_model_card, run_of
from braintumor.runs.folder import once
from braintumor.runs.kinds import MATRIX
from braintumor.runs.ownership import remove_own
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log, log_table
from braintumor.workflows.guesses import preset_of
from braintumor.workflows.outputs import check_output, held_output, of_now
from braintumor.workflows.results import CrossDatasetResult


@dataclass(frozen=True)
class _Checkpoint:
    name: str
    path: Path
    card: Card


def evaluate_across(request: Request) -> CrossDatasetResult:
    """Write matrix.csv, matrix.md and matrix.png, and print the table.

    request: the settings of configs/eval.yaml, with on.

    Raises ConfigError when data sets are named in another way too, DataError when no pair at all
    could be evaluated.
    """
    settings = request.settings
    if settings.get("data"):
        raise ConfigError("data= and on=[…] both name data sets; add the one to on=[…]")
    if (share := settings.get("prevalence")) is not None:
        raise ConfigError(
            f"prevalence={share} changes no figure of a matrix; leave it out, or evaluate one "
            "checkpoint on one data set: data=folder data.root=DIR"
        )
    if not settings["on"]:
        raise ConfigError(
            "several checkpoints need the data sets to evaluate them on: "
            "bt-eval 'ckpt=[runs/A,runs/B]' 'on=[FOLDER,FILE.npz,phantom]'"
        )
    check_output(request, MATRIX, "matrix")
    sets = data_sets(_listed(settings["on"]))
    checkpoints = _checkpoints(_listed(settings["ckpt"]))
    cells = [
        {"ckpt": checkpoint.name, "data": named.name, **cell}
        for named in sets
        for checkpoint, cell in _cells_on(named, checkpoints, settings)
    ]
    places = {checkpoint.name: place for place, checkpoint in enumerate(checkpoints)}
    table = matrix.matrix_table(sorted(cells, key=lambda cell: places[cell["ckpt"]]))
    if not table["n"].any():
        raise DataError(f"no pair could be evaluated; the first reason: {table['note'].iloc[0]}")
    with held_output(request, MATRIX, of_now("matrix")) as folder:
        remove_own(folder, MATRIX)
        matrix.write_matrix(folder, table)
    log.info("balanced accuracy without copies in training, n (over all images):")
    log_table(matrix.short_table(table).to_string())
    log.info("matrix: %s", folder / "matrix.md")
    return CrossDatasetResult(folder)


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _checkpoints(given: list[str]) -> list[_Checkpoint]:
    """All cards read, before the first image is."""
    paths = once(map(find_checkpoint, given))
    names = run_names([run_of(path).path for path in paths])
    if len(set(names)) < len(names):  # two files of one folder
        names = [str(path) for path in paths]
    pairs = zip(names, paths, strict=True)
    return [_Checkpoint(name, path, read_model_card(path)) for name, path in pairs]


def _cells_on(
    named: Named, checkpoints: list[_Checkpoint], settings: Settings
) -> Iterator[tuple[_Checkpoint, dict[str, Any]]]:
    """The cells of one data set, which is read once for every size of picture needed."""
    by_size: dict[tuple[int, str], list[_Checkpoint]] = {}
    for checkpoint in checkpoints:
        key = checkpoint.card.image_size, checkpoint.card.fit
        by_size.setdefault(key, []).append(checkpoint)
    for (size_px, fit), group in by_size.items():
        options = named.options | {"fit": fit, "binary": False}
        try:
            # one class only is enough to evaluate on, which naming classes says
            data = read_dataset(options, size_px, classes=("any",))
            split, rows = choose_rows(data.manifest, settings["split"])
        except DataError as error:  # one unreadable set is a reason in its cells, not the end
            log.warning("%s: %s", named.name, error)
            yield from ((checkpoint, matrix.empty(str(error))) for checkpoint in group)
            continue
        count = some(len(rows), "image")
        log.info("%s: %s, split %s, at %d px", named.name, count, split, size_px)
        for checkpoint in group:
            yield checkpoint, {"split": split} | _figures(checkpoint, data, rows, settings)


def _figures(
    checkpoint: _Checkpoint, data: Dataset, rows: np.ndarray, settings: Settings
) -> dict[str, Any]:
    leakage = leakage_by_hashes(data, rows, checkpoint.card, settings["copy_bits"])
    contaminated = np.asarray(leakage.contaminated)  # hashes always tell
    try:
        predictions, calls = _predict(checkpoint, data, rows, settings)
        labels = data.manifest["label"].iloc[rows].tolist()
        figures = matrix.score(predictions, labels, contaminated, leakage.groups, calls)
    except BraintumorError as error:
        figures = matrix.empty(str(error))
    note, clean = figures["note"], f"{figures['clean_n']} of {some(len(rows), 'image')} clean"
    said = f"{clean} ({note})" if note and figures["n"] else note or clean
    log.info("  %s: %s", checkpoint.name, said)
    return figures


def _predict(
    checkpoint: _Checkpoint, data: Dataset, rows: np.ndarray, settings: Settings
) -> tuple[Predictions, matrix.TumorCalls | None]:
    """Answers of the checkpoint for the chosen images; their labels are not read."""
    # torch, once what was asked has been accepted
    from braintumor.workflows.load import Use, load

    how = Use(
        settings["device"], settings["precision"], settings["batch_size"], settings["eval"]["views"]
    )
    model = load(checkpoint.path, how)
    paths = tuple(data.manifest["path"].iloc[rows])
    predictions, decided = model.classify_pixels(paths, data.pixels[rows])
    fitted = model.postprocessing
    if fitted is None or fitted.decisions.threshold is None:
        return predictions, None
    return predictions, matrix.TumorCalls(
        np.asarray(decided["is_tumor"]), fitted.decisions.threshold
    )


@dataclass(frozen=True)
class Named:
    """A data set by its short name, and the `data` section that reads it."""

    name: str
    options: dict[str, Any]


def data_sets(items: Sequence[str]) -> list[Named]:
    """One for each item, in order, under names that tell them apart.

    An item is a path, the name of a preset in configs/data, or name:ROOT, where ROOT stands for
    its data.root (data.table for `table`).
    Raises ConfigError when an item is none of these or comes twice.
    """
    places = [Path(item).expanduser().resolve() for item in items]
    if twice := [item for n, item in enumerate(items) if places[n] in places[:n]]:
        raise ConfigError(f"on=[…] names {twice[0]} twice; leave one out")
    sets = [_named(item) for item in items]
    names = [data.name for data in sets]
    return [
        data if names.count(data.name) == 1 else Named(item, data.options)
        for item, data in zip(items, sets, strict=True)
    ]


def _named(item: str) -> Named:
    preset, colon, given = item.partition(":")
    root = as_path(given, f"on={preset}") if colon else None
    if preset in options_of("data"):
        name = preset if root is None else f"{preset}:{Path(given).name}"
    else:
        root = Path(item).expanduser()
        if not root.exists():
            raise ConfigError(
                f"on=[{item}] is no file or folder, and no data set by name; "
                f"{did_you_mean(preset, options_of('data'))}"
            )
        kind, name = preset_of(root), root.resolve().name
        if kind is None:
            raise ConfigError(
                f"on=[{root}] is a file of another kind; give a folder, a zip or tar file, a .npz, "
                "or a .csv table of path and label"
            )
        preset = kind
    options = compose("data", [f"data={preset}"], {}).settings["data"]
    place = {"table" if preset == "table" else "root": str(root)} if root is not None else {}
    return Named(name, options | place)
