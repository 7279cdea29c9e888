"""The card in the header of a checkpoint: what it says, and whether that can be true.

A checkpoint may be a stranger's, so all that is used later is checked here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from braintumor import limits
from braintumor.config import checked, setting, typed
from braintumor.errors import CheckpointError, ConfigError
from braintumor.models import ModelSections
from braintumor.ranges import AboveZero, Finite, NotNegativeInt, PictureSide, Views
from braintumor.runtime import Precision
from braintumor.statistics.decisions import Decisions


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself: enough to use it without its run folder.

    classes: fixed order of the logits.  image_size: px.  fit: how pictures are made square.
    model: options that rebuild the architecture; read_card gives weights "none", whatever the
        file says, and data.download false in the settings.
    settings: the whole resolved configuration.
    training_hashes, training_phashes: sha256 and perceptual hashes (256 bits, 64 hex characters)
        of the training and validation images; no picture can be made from them again.
    validation: figures of its epoch, as in metrics.csv.
    patients: the fields of data.manifest.Patients, of the training and validation images.
    decisions: temperature, thresholds and more, fitted on validation once training has ended: the
        fields of statistics.decisions.Decisions. None before.
    """

    version: str
    model_name: str
    data_name: str
    classes: tuple[str, ...]
    binary: bool
    image_size: PictureSide
    fit: Literal["stretch", "pad"]
    mean: tuple[Finite, ...]
    std: tuple[AboveZero, ...]
    model: dict[str, Any]
    settings: dict[str, Any]
    epoch: NotNegativeInt
    validation: dict[str, float | bool | None]
    parameters: NotNegativeInt
    training_hashes: tuple[str, ...]
    training_phashes: tuple[str, ...]
    patients: dict[str, int]
    decisions: dict[str, Any] | None = None


# of the settings on a card: what is used of them, beside what a training checks itself
_USED: dict[str, Any] = {
    "data": Mapping, "data.root": str | None, "data.name": str | None,
    "train.channels_last": bool, "train.precision": Precision, "train.refit": bool,
    "eval.views": Views, "eval.cam": str,
    "eval.cam_layer": str | int, "decision": Mapping, "decision.prevalence": float | None,
}  # fmt: skip


def card_of(values: Any, path: Path) -> Card:
    """The card that a file holds as JSON. Raises CheckpointError when it cannot be one."""
    if not isinstance(values, dict):
        raise CheckpointError(f"the card of {path} is no mapping; copy the file again")
    values = _without_downloads(values)
    names = [field.name for field in fields(Card)]
    if missing := sorted(set(names) - set(values)):
        raise CheckpointError(
            f"the card of {path} lacks {', '.join(missing)}: it is of another version; train "
            f"again, or use the version that wrote it ({values.get('version', 'unknown')})"
        )
    try:
        card = typed(Card, {name: values[name] for name in names}, "")
        _check(card)
    except ConfigError as error:
        raise CheckpointError(
            f"the card of {path} cannot be true: {error}; copy the file again, or train again"
        ) from error
    return card


def _check(card: Card) -> None:
    typed(ModelSections, card.model, "model")
    for key, kind in _USED.items():
        checked(setting(card.settings, key), kind, f"settings.{key}")
    if card.decisions is not None:
        typed(Decisions, card.decisions, "decisions")
    if not len(card.mean) == len(card.std) == 3:
        raise ConfigError("`mean` and `std` should have 3 values")
    if not 1 <= len(set(card.classes)) == len(card.classes) <= limits.CLASSES:
        raise ConfigError("`classes` should be names, each once")


def _without_downloads(card: dict[str, Any]) -> dict[str, Any]:
    """The card, of which nothing sends this machine to the network: a file may be a stranger's.

    The weights are in the file, so no pretrained ones are needed; a data set is named by the user.
    """
    if "model" in card:
        card["model"] = _without_weights(card["model"])
    settings = card.get("settings")
    data = settings.get("data") if isinstance(settings, dict) else None
    if isinstance(data, dict) and "download" in data:
        data["download"] = False
    return card


def _without_weights(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {k: "none" if k == "weights" else _without_weights(v) for k, v in section.items()}
