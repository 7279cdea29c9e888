"""best.safetensors (weights and card, no pickle) and last.ckpt (resume state)."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braintumor.errors import CheckpointError
from braintumor.files import write_atomic
from braintumor.runs.folder import RunFolder, folders_beside

if TYPE_CHECKING:
    import torch

    from braintumor.models.classifier import Classifier

log = logging.getLogger(__name__)

_CARD_KEY = "braintumor_card"


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself: enough to use it without its run folder.

    classes: fixed order of the logits.  image_size: px.  fit: how pictures are made square.
    model: options that rebuild the architecture, needing no download.
    settings: the whole resolved configuration.
    training_hashes, training_phashes: sha256 and perceptual hashes (256 bits, 64 hex characters)
        of the training and validation images; no picture can be made from them again.
    validation: figures of its epoch, as in metrics.csv.
    """

    version: str
    model_name: str
    data_name: str
    classes: tuple[str, ...]
    binary: bool
    image_size: int
    fit: Literal["stretch", "pad"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: dict[str, Any]
    settings: dict[str, Any]
    epoch: int
    validation: dict[str, float | None]
    parameters: int
    training_hashes: tuple[str, ...]
    training_phashes: tuple[str, ...]


def save_best(path: Path, weights: Mapping[str, torch.Tensor], card: Card) -> None:
    """Write weights with the card in the header, whole or not at all."""
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    metadata = {_CARD_KEY: json.dumps(dataclasses.asdict(card))}
    write_atomic(path, save(tensors, metadata))


def read_card(path: Path) -> Card:
    """The card of a best.safetensors, read without torch.

    Raises CheckpointError when the file is missing, torn, or not of this toolkit.
    """
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}; give a run folder or best.safetensors"
        )
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        raw = file.read(length) if 0 < length <= 100_000_000 else b""
    try:
        metadata = json.loads(raw).get("__metadata__", {})
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or it was cut short; train again or copy it again"
        ) from error
    if _CARD_KEY not in metadata:
        raise CheckpointError(
            f"{path} holds weights but no braintumor card; bare backbone weights go in with "
            f"`bt-train model.backbone.weights={path}`"
        )
    values = json.loads(metadata[_CARD_KEY])
    names = {field.name for field in dataclasses.fields(Card)}
    if not names <= set(values):
        missing = ", ".join(sorted(names - set(values)))
        raise CheckpointError(
            f"the card of {path} lacks {missing}: it is of another version; train again, or use "
            f"the version that wrote it ({values.get('version', 'unknown')})"
        )
    for name in ("classes", "mean", "std", "training_hashes", "training_phashes"):
        values[name] = tuple(values[name])
    return Card(**{name: values[name] for name in names})


def find_checkpoint(ckpt: str | Path | None) -> Path:
    """The weights file that `ckpt=` means: a run folder, its best.safetensors, or last.ckpt."""
    if not ckpt:
        raise CheckpointError("no checkpoint given; name a run folder with ckpt=runs/<run>")
    path = Path(ckpt).expanduser()
    if path.name == RunFolder(path).last.name:
        log.info("taking the best epoch of the run, not its last: best.safetensors")
        path = path.parent
    if path.is_dir():
        run = RunFolder(path)
        if not run.best.is_file():
            why = run.read_status().get("status")
            state = f" (its status is {why!r})" if why else ""
            raise CheckpointError(f"{path} has no best.safetensors{state}; give a finished run")
        return run.best
    if not path.exists():
        raise CheckpointError(f"there is no run folder or checkpoint {path}{folders_beside(path)}")
    return path


def load_classifier(path: Path, device: torch.device) -> tuple[Classifier, Card]:
    """The model of a best.safetensors, in evaluation mode on the device, and its card.

    Raises CheckpointError when weights and card do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from braintumor.models.classifier import build_model

    card = read_card(path)
    model = build_model(card.model, len(card.classes), card.image_size)
    try:
        model.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is cut short ({error}); copy it again") from error
    except RuntimeError as error:
        first = str(error).splitlines()[1:2]
        raise CheckpointError(
            f"the weights in {path} are not of the model on its card ({card.model_name}):"
            f"{' '.join(first)}; use the file that the run wrote"
        ) from error
    return model.to(device).eval(), card


def save_state(run: RunFolder, state: Mapping[str, Any]) -> None:
    """Write last.ckpt; the one before it stays as previous.ckpt."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    temporary = run.path / "next.ckpt"
    write_atomic(temporary, buffer.getvalue())
    if run.last.exists():
        run.last.replace(run.path / "previous.ckpt")
    temporary.replace(run.last)


def load_state(run: RunFolder, device: torch.device) -> dict[str, Any]:
    """The newest resume state that can be read; a torn last.ckpt falls back, saying so.

    Raises CheckpointError when there is none.
    """
    import torch

    for path in (run.last, run.path / "previous.ckpt"):
        if not path.is_file():
            continue
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read (%s); trying the one before it", path, error)
    raise CheckpointError(
        f"{run.path} has no last.ckpt to resume from; start again with `bt-train` and its settings"
    )
