"""A new run that begins with the weights of another: fine-tuning from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from braintumor.errors import ConfigError, some
from braintumor.models.classifier import Classifier
from braintumor.quoting import pasteable
from braintumor.runs.checkpoint import Card, find_checkpoint, load_weights, members_of, read_card
from braintumor.runs.folder import RunFolder
from braintumor.workflows.console import log

# what the weights need, whatever the command says of them
_WITH_WEIGHTS = ("mean", "std", "pad_type", "bn_eps")
# of the backbone's section: what may differ where the weights are the same
_FREE = ("label", "image_size", "lr_scale", "weights", "dropout", *_WITH_WEIGHTS)


@dataclass(frozen=True, eq=False)
class Start:
    """The checkpoint that a run begins with. name: as the user gave it."""

    name: str
    path: Path
    card: Card


def find_start(init: Any, before: RunFolder | None) -> Start | None:
    """What init= names; of a run that goes on, the copy in its folder.

    Raises CheckpointError where there is none, or it is damaged.
    """
    if not init:
        return None
    has_copy = before is not None and before.init.is_file()
    path = before.init if before and has_copy else find_checkpoint(init)
    if path.is_dir():
        one = pasteable("init", str(members_of(path)[0].path))
        raise ConfigError(f"init={init} holds several models; give one of them, such as {one}")
    return Start(str(init), path, read_card(path))


def with_start(model: dict[str, Any], start: Start | None) -> dict[str, Any]:
    """The model section, whose backbone is to be as the weights of the start need it.

    Raises ConfigError where they are of another backbone.
    """
    if start is None:
        return model
    there, here = start.card.model["backbone"], model["backbone"]
    for key in sorted(set(there) - set(_FREE), key=lambda key: (key != "name", key)):
        if here.get(key) != there[key]:
            raise ConfigError(
                f"init={start.name} is a {start.card.model_name}, whose backbone is another one: "
                f"model.backbone.{key}={there[key]} there, {here.get(key)} here; give "
                f"model={start.card.model_name} and the options of its backbone, or leave init out"
            )
    needed = {key: there[key] for key in _WITH_WEIGHTS if key in there and key in here}
    return model | {"backbone": here | needed | {"weights": "none"}}


def take_weights(model: Classifier, start: Start, classes: tuple[str, ...]) -> None:
    """Put the weights of the start into the model, part by part, and say which.

    The backbone is taken whole; attention and head where all shapes agree, and the head where the
    classes do too.
    Raises ConfigError where the backbone does not fit.
    """
    tensors, own, card = load_weights(start.path), model.state_dict(), start.card
    taken, left = {}, []
    for part in ("backbone", "attention", "head"):
        ours, theirs = (
            {name: tensor.shape for name, tensor in weights.items() if name.startswith(f"{part}.")}
            for weights in (own, tensors)
        )
        if ours != theirs and part == "backbone":
            raise ConfigError(
                f"init={start.name} does not fit: its backbone was built for pictures of "
                f"{card.image_size} px or with other options; give "
                f"data.image_size={card.image_size}"
            )
        if part == "head" and classes != card.classes:
            left.append(f"head (its classes are {', '.join(card.classes)})")
        elif ours != theirs:
            left.append(f"{part} (other shapes)")
        elif ours:
            taken[part] = {name: tensors[name] for name in ours}
    buffers = {name: tensors[name] for name in ("mean_255", "std_255")}
    merged = {name: tensor for part in taken.values() for name, tensor in part.items()}
    model.load_state_dict(merged | buffers, strict=False)
    model.backbone.mean, model.backbone.std = card.mean, card.std
    anew = f"; begins anew: {', '.join(left)}" if left else ""
    about = f"{card.model_name} of {card.data_name}, epoch {card.epoch}"
    log.info("init: %s of %s (%s)%s", ", ".join(taken), start.name, about, anew)


def warn_of_known(start: Start, manifest: pd.DataFrame) -> None:
    """Say how many images of validation and test the start has seen, file by file."""
    is_known = manifest["sha256"].isin(start.card.training_hashes)
    counts = {split: int(is_known[manifest["split"] == split].sum()) for split in ("val", "test")}
    if any(counts.values()):
        names = {"val": "validation image", "test": "test image"}
        log.warning(
            "init: %s had %s of this run in its own training or validation%s",
            start.name, " and ".join(some(n, names[split]) for split, n in counts.items() if n),
            "; the evaluation counts test images of these as known" * (counts["test"] > 0),
        )  # fmt: skip
