"""best.safetensors: weights and a card, no pickle.

Anybody's safetensors reads it. A SHA-256 stands in the header, so that a file that was cut, torn or
flipped is never taken.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from braintumor.errors import CheckpointError
from braintumor.files import atomic_file, parse_json, sha256_of
from braintumor.places import as_path
from braintumor.runs.card import Card as Card  # which most of its readers want from here
from braintumor.runs.card import card_of
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder, folders_beside, run_around
from braintumor.runs.header import BLANK, DIGEST_KEY, around, read_header

if TYPE_CHECKING:
    import numpy as np
    import torch

    from braintumor.models.classifier import Classifier

log = logging.getLogger(__name__)

_CARD_KEY = "braintumor_card"
_OUTLIERS = "outliers."  # begins the names of tensors that are no weights


def save_best(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    card: Card,
    outliers: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write weights with the card in the header, whole or not at all.

    outliers: arrays of statistics.input_checks.Outliers, kept beside the weights.
    """
    import torch  # a card is read without torch
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    for name, array in (outliers or {}).items():
        tensors[_OUTLIERS + name] = torch.as_tensor(array).contiguous()
    metadata = {_CARD_KEY: json.dumps(dataclasses.asdict(card)), DIGEST_KEY: BLANK}
    content = save(tensors, metadata)
    before, after = around(content, BLANK.encode())
    with atomic_file(path) as file:
        for part in (before, sha256_of(content).encode(), after):
            file.write(part)


def read_card(path: Path) -> Card:
    """The card of a best.safetensors, read without torch.

    Raises CheckpointError when the file is missing, torn, or not of this toolkit.
    """
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}; give a run folder or best.safetensors"
        )
    try:
        values = parse_json(read_header(path)[_CARD_KEY])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has no card that can be read ({error})") from error
    return card_of(values, path)


def find_checkpoint(ckpt: str | Path | None) -> Path:
    """The weights file that `ckpt=` means: a run folder, its best.safetensors, or a file in it.

    A folder of folds or seeds is given as it is: its models answer together (runs/ensemble.py).
    """
    if not ckpt:
        raise CheckpointError("no checkpoint given; name a run folder with ckpt=runs/<run>")
    path = as_path(ckpt, "ckpt")
    if path.suffix != ".safetensors" and (around := run_around(path)) != path:
        log.info("its best epoch answers, not its last: best.safetensors")
        path = around
    if not path.exists():
        raise CheckpointError(f"there is no run folder or checkpoint {path}{folders_beside(path)}")
    if not path.is_dir():
        return path
    run = RunFolder(path)
    if run.best.is_file():
        return run.best
    if members_of(path):
        return path
    state = f" (its status is {run.state!r})" if run.state else ""
    jobs = folders_beside(path / "0") if not state else ""
    raise CheckpointError(f"{path} has no best.safetensors{state}; give a finished run{jobs}")


def members_of(path: Path) -> list[RunFolder]:
    """The runs of the folds and seeds in a folder, in order; [] where it is another.

    Raises CheckpointError where not all have ended: some would answer for all in silence.
    """
    members = RunFolder(path).parts
    is_ready = [member.best.is_file() and member.is_complete for member in members]
    if all(is_ready):
        return members
    absent = ", ".join(m.path.name for m, ok in zip(members, is_ready, strict=True) if not ok)
    ready = [str(m.path) for m, ok in zip(members, is_ready, strict=True) if ok]
    alone = f", or give one that has ended alone: {ready[0]}" if ready else ""
    raise CheckpointError(
        f"the models in {path} answer together, and not all of them have ended ({absent}); go on "
        f"with `{resume_command(path)}`{alone}"
    )


def load_classifier(path: Path, device: torch.device) -> tuple[Classifier, Card]:
    """The model of a best.safetensors, in evaluation mode on the device, and its card.

    Raises CheckpointError when weights and card do not belong together.
    """
    import torch  # as above

    from braintumor.eager import shapes_alone
    from braintumor.models.classifier import build_model

    card, weights = read_card(path), load_weights(path)
    try:
        with shapes_alone():  # a card may ask for any net
            model = build_model(card.model, len(card.classes), card.image_size)
    except Exception as error:  # of options that no training would have let through
        raise CheckpointError(
            f"the model on the card of {path} cannot be built ({error}); copy the file again"
        ) from error
    wanted = sum(tensor.numel() for tensor in model.state_dict().values())
    if wanted != sum(tensor.numel() for tensor in weights.values()):
        raise CheckpointError(
            f"the weights in {path} are not of the model on its card ({card.model_name}), which "
            f"has {wanted:,} values; use the file that the run wrote"
        )
    if _has_more(model):
        model = build_model(card.model, len(card.classes), card.image_size)
    made = model.state_dict()
    # copies: those read are of the file's memory, and may be of another type
    own = {k: v.to(made[k].dtype, copy=True) if k in made else v for k, v in weights.items()}
    try:
        model.load_state_dict(own, assign=True)  # the model was made without values
    except RuntimeError as error:
        first = "".join(str(error).splitlines()[1:2])
        raise CheckpointError(
            f"the weights in {path} are not of the model on its card ({card.model_name}):{first}; "
            "use the file that the run wrote"
        ) from error
    if card.settings["train"]["channels_last"]:  # as it was trained
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device).eval(), card


def _has_more(model: Classifier) -> bool:
    """Whether the model computes with tensors that no file holds, such as an index of positions."""
    import torch  # as above

    saved = model.state_dict().keys()
    attributes = [value for module in model.modules() for value in vars(module).values()]
    return any(name not in saved for name, _ in model.named_buffers()) or any(
        isinstance(value, torch.Tensor) for value in attributes
    )


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a best.safetensors by name, without the arrays beside them."""
    from safetensors import SafetensorError  # as above
    from safetensors.torch import load_file  # as above

    try:
        held = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} holds no weights ({error}); copy it again") from error
    weights = {k: v for k, v in held.items() if not k.startswith(_OUTLIERS)}
    broken = [k for k, v in weights.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} holds values that are no numbers; train again")
    return weights


def load_outliers(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `save_best` was given beside the weights."""
    from safetensors import safe_open  # as above

    with safe_open(path, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith(_OUTLIERS)]  # noqa: SIM118
        return {name.removeprefix(_OUTLIERS): file.get_tensor(name) for name in names}
