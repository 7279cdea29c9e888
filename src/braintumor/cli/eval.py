"""bt-eval: a checkpoint on its own data set, or on any other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.cli.shell import Job, Settings, command

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from braintumor.data.dataset import Dataset
    from braintumor.runs.checkpoint import Card


def main() -> None:
    """Entry point of `bt-eval`."""
    command("eval", run)


def run(settings: Settings, job: Job) -> None:
    """Evaluate one checkpoint on one split and write the evidence."""
    from braintumor.runs.checkpoint import find_checkpoint, load_classifier, read_card
    from braintumor.runs.folder import RunFolder
    from braintumor.runtime import choose_device, choose_precision, keep_big_blocks

    path = find_checkpoint(settings["ckpt"])
    card = read_card(path)
    keep_big_blocks()
    from braintumor.cli.evaluate import evaluate
    from braintumor.cli.inputs import explored, labels_of
    from braintumor.cli.recording import about_run

    device = choose_device(settings["device"])
    data, data_name = _data_for(card, settings, job)
    split, rows = _rows_of(data.manifest, settings["split"])
    labels = labels_of(data, card.classes)
    model, card = load_classifier(path, device)
    run = RunFolder(path.parent)
    own = not settings.get("data")
    name = split if own else f"{data_name}_{split}"
    named = settings["run_dir"]
    folder = job.sweep_folder or (Path(named).expanduser() if named else run.evaluation(name))
    evaluate(
        model,
        card.classes,
        data,
        labels,
        rows,
        folder,
        split=split,
        about=about_run(run, card) | {"data_name": data_name},
        history=run.read_history() if run.history.is_file() else None,
        pictures=explored(run.path) if own else {},
        device=device,
        dtype=choose_precision(settings["precision"], device),
        batch_size=settings["batch_size"],
        views=settings["eval"]["views"],
        examples=settings["eval"]["examples"],
    )


def _data_for(card: Card, settings: Settings, job: Job) -> tuple[Dataset, str]:
    """The data set the user named, as the checkpoint wants its pictures; else its own."""
    from braintumor.cli.console import describe_data, log
    from braintumor.cli.inputs import read_data
    from braintumor.data.dataset import read_dataset
    from braintumor.data.manifest import class_table
    from braintumor.errors import ConfigError

    options: dict[str, Any] | None = settings.get("data")
    if not options:
        return read_data(card.settings, card.image_size, card.data_name), card.data_name
    if options["image_size"] not in (None, card.image_size):
        raise ConfigError(
            f"data.image_size={options['image_size']}, but the checkpoint was trained at "
            f"{card.image_size} px; leave data.image_size out"
        )
    options = options | {"fit": card.fit, "binary": card.binary}
    data = read_dataset(options, card.image_size, progress=True)
    name = job.choices["data"]
    log.info("%s: %d images at %d px", name, len(data.manifest), card.image_size)
    describe_data(class_table(data.manifest), data.ignored, len(data.unreadable))
    return dataclasses.replace(data, classes=card.classes), name


def _rows_of(manifest: pd.DataFrame, wanted: str | None) -> tuple[str, np.ndarray]:
    """The split's name and its row numbers."""
    import numpy as np

    from braintumor.errors import ConfigError, DataError

    splits = manifest["split"]
    split = wanted or ("test" if (splits == "test").any() else "all")
    if split not in ("train", "val", "test", "all"):
        raise ConfigError(f"split={split} is not one of train, val, test, all")
    rows = np.arange(len(manifest)) if split == "all" else np.flatnonzero(splits == split)
    if not len(rows):
        raise DataError(f"the data has no {split} split; use split=all for all its images")
    return split, rows


if __name__ == "__main__":
    main()
