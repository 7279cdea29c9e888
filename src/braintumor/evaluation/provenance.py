"""Where the figures of an evaluation come from: the model, its training and its data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from braintumor.data.manifest import read_manifest
from braintumor.runs.folder import RunFolder

if TYPE_CHECKING:
    from braintumor.runs.checkpoint import Card


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where the figures come from. What is None or empty is not known, and a report leaves it out.

    command: text, or the list of its words.  settings: resolved.  images: split -> count, of the
    data set of the training.  best_epoch: a text names that of each fold.
    history: metrics.csv of the training.  pictures: title -> PNG file, of the data set.
    """

    model_name: str = ""
    data_name: str = ""
    created: str = ""
    command: str | Sequence[str] = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None
    best_epoch: int | str | None = None
    trained_on: str | None = None
    parameters: int | None = None
    images: Mapping[str, int] | None = None
    folds: int | None = None
    seed: int | None = None
    history: pd.DataFrame | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_refit(self) -> bool:
        """Whether the model was trained again, on validation images too."""
        return bool((self.settings.get("train") or {}).get("refit"))


def read_provenance(run: RunFolder, card: Card) -> Provenance:
    """What a run and the card of its checkpoint tell; what is gone from the folder is left out."""
    known = json.loads(run.environment.read_text()) if run.environment.is_file() else {}
    command = known.pop("command", [])
    counts: dict[str, int] = {}
    if run.manifest.is_file():
        found = read_manifest(run.manifest)["split"].value_counts()
        counts = {str(split): int(count) for split, count in found.items()}
    return Provenance(
        model_name=card.model_name,
        data_name=data_title(card.data_name, card.settings["data"].get("root")),
        created=f"{datetime.now():%Y-%m-%d %H:%M}",
        command=command,
        settings=card.settings,
        environment=known,
        run=run.path.name,
        best_epoch=card.epoch,
        trained_on="train and val (refit)" if card.settings["train"]["refit"] else "train",
        parameters=card.parameters,
        images=counts,
        history=run.read_history() if run.history.is_file() else None,
    )


def data_title(data_name: str, root: str | None) -> str:
    """What to call a data set, of its kind and where it lies.

    >>> data_title("folder", "scans/nickparvar")
    'folder-nickparvar'
    """
    return f"{data_name}-{Path(root).stem}".rstrip("-.") if root else data_name
