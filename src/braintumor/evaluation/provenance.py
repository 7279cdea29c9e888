"""Where the figures of an evaluation come from: the model, its training, its data and its patients.

What may be said of patients is no more than the data name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from braintumor.data.manifest import KNOWN, Patients, count_patients, read_manifest
from braintumor.errors import some
from braintumor.runs.folder import RunFolder
from braintumor.runs.history import read_history

if TYPE_CHECKING:
    from braintumor.runs.checkpoint import Card

_LONE = "image or set of copies"  # counts as one where no patient is known


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where the figures come from. What is None or empty is not known, and a report leaves it out.

    command: text, or the list of its words.  settings: resolved.  images: split -> count, of the
    data set of the training.  best_epoch: a text names that of each fold.
    longer: words of the commands that gave more epochs later.  tested: how often test had been
    evaluated before one of them.
    data_name: of what is evaluated.  learnt_from: of the training's data set, where it is another.
    members: models that answer together.
    history: metrics.csv of the training.  pictures: title -> PNG file, of the data set.
    """

    model_name: str = ""
    data_name: str = ""
    learnt_from: str = ""
    created: str = ""
    command: str | Sequence[str] = ""
    longer: Sequence[Sequence[str]] = ()
    tested: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None
    best_epoch: int | str | None = None
    trained_on: str | None = None
    parameters: int | None = None
    images: Mapping[str, int] | None = None
    folds: int | None = None
    members: int = 1
    seed: int | None = None
    history: pd.DataFrame | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)

    @property
    def training_data(self) -> str:
        """What to call the data set of the training."""
        return self.learnt_from or self.data_name

    @property
    def is_refit(self) -> bool:
        """Whether the model was trained again, on validation images too."""
        return bool((self.settings.get("train") or {}).get("refit"))


def read_provenance(run: RunFolder, card: Card) -> Provenance:
    """What a run and the card of its checkpoint tell; what is gone from the folder is left out."""
    known = run.read_environment()
    counts = {}
    if run.manifest.is_file():
        found = read_manifest(run.manifest)["split"].value_counts()
        counts = {str(split): int(count) for split, count in found.items()}
    return Provenance(
        model_name=card.model_name,
        data_name=data_title(card.data_name, card.settings["data"]),
        created=f"{datetime.now():%Y-%m-%d %H:%M}",
        command=known.pop("command", []),
        longer=known.pop("longer", []),
        tested=known.pop("tested", 0),
        settings=card.settings,
        environment=known,
        run=run.path.name,
        best_epoch=card.epoch,
        trained_on="train and val (refit)" if card.settings["train"]["refit"] else "train",
        parameters=card.parameters,
        images=counts,
        history=read_history(run.history) if run.history.is_file() else None,
    )


def data_title(data_name: str, data: Mapping[str, Any]) -> str:
    """What to call a data set, of its kind and where it lies. data: the section of the settings.

    >>> data_title("folder", {"root": "scans/nickparvar"})
    'folder-nickparvar'
    """
    root = data.get("root")
    return f"{data_name}-{Path(root).stem}".rstrip("-.") if root else data_name


@dataclass(frozen=True)
class KnownPatients:
    """What is known of the patients behind an evaluation.

    trained: of the training and validation images.
    together: of these and of those evaluated; None where they are of two data sets.
    all_seen: every image evaluated is known from training, so its patient is too.
    """

    evaluated: Patients
    trained: Patients
    together: Patients | None
    all_seen: bool = False

    @property
    def are_compared(self) -> bool:
        """Whether it is known of every image if its patient is in training too."""
        return self.together is not None and self.together.are_known

    @property
    def unit(self) -> str:
        """What intervals count as one."""
        # among images of another data set than its own, nobody has searched for copies
        lone = "image" if self.together is None else _LONE
        if self.evaluated.are_known:
            return lone.replace("image", "patient")
        return f"patient, other {lone}" if self.evaluated.known else lone

    @property
    def units(self) -> str:
        """The same of several."""
        return re.sub("(patient|image|set)", r"\1s", self.unit)


def patients_within(manifest: pd.DataFrame, is_evaluated: pd.Series) -> KnownPatients:
    """Of the chosen rows (bool) of the data set that the model was trained on."""
    is_trained = manifest["split"].isin(KNOWN)
    rows = (is_evaluated, is_trained, is_evaluated | is_trained)
    evaluated, trained, together = (count_patients(manifest[chosen]) for chosen in rows)
    return KnownPatients(evaluated, trained, together)


def patients_elsewhere(rows: pd.DataFrame, trained: Mapping[str, int]) -> KnownPatients:
    """Of rows of another data set. trained: what the card says of the patients of training."""
    return KnownPatients(count_patients(rows), Patients(**trained), None)


def patients_unknown(images: int) -> KnownPatients:
    """Where nobody said anything of patients."""
    none = Patients(images, 0, 0)
    return KnownPatients(none, none, none)


def about_training(known: KnownPatients) -> str:
    """What is not known of patients that are in training too; empty where all are known."""
    if known.are_compared or known.all_seen:
        return ""
    if known.together is not None:
        words, others = known.together.words, known.together.others
        return (
            f"{words[0].upper()}{words[1:]}: {others}images of one patient may be both in training "
            "and among those evaluated."
        )
    trained, named = known.trained, "the training data name none"
    if trained.known:
        part = "" if trained.are_known else f" for {trained.known:,} of {trained.images:,} images"
        named = f"the training data name {some(trained.patients, 'patient')}{part}"
    return (
        f"Whether patients evaluated here were in training too is not known: {named}, and patients "
        "of two data sets cannot be compared."
    )


def about_intervals(known: KnownPatients) -> str:
    """What intervals count where patients are not known; empty where all are."""
    evaluated, counted = known.evaluated, "as a patient of its own and may be too narrow."
    if evaluated.are_known:
        return ""
    if not evaluated.known:
        return f"Intervals count each {known.unit} {counted}"
    return f"Among those evaluated {evaluated.words}: intervals count each of the others {counted}"


def about_fit(known: KnownPatients) -> str:
    """What thresholds fitted on validation counted; empty where all patients are known."""
    if known.trained.are_known:
        return ""
    each = "each of the others" if known.trained.known else f"each {_LONE}"
    return (
        f"In training and validation {known.trained.words}: {each} counted as a patient of its "
        "own, so for new patients the targets are less sure than stated."
    )


def about_patients(known: KnownPatients) -> str:
    """What is not known, in training and in the intervals; empty where all is known."""
    return " ".join(filter(None, (about_training(known), about_intervals(known))))
