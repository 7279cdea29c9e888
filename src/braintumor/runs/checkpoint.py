"""best.safetensors: weights and a card, no pickle.

Anybody's safetensors reads it. A SHA-256 stands in the header, so that a file that was cut, torn or
flipped is never taken.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braintumor.errors import CheckpointError
from braintumor.files import sha256_of, write_atomic
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder, folders_beside

if TYPE_CHECKING:
    import numpy as np
    import torch

    from braintumor.models.classifier import Classifier

log = logging.getLogger(__name__)

_CARD_KEY = "braintumor_card"
_DIGEST_KEY = "braintumor_sha256"
_BLANK = "braintumor-sha256".ljust(64, ".")  # stands there while the checksum is taken
_MOST_HEADER_BYTES = 100_000_000
_OUTLIERS = "outliers."  # begins the names of tensors that are no weights


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
    patients: dict[str, int]
    decisions: dict[str, Any] | None = None


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
    metadata = {_CARD_KEY: json.dumps(dataclasses.asdict(card)), _DIGEST_KEY: _BLANK}
    content = save(tensors, metadata)
    write_atomic(path, content.replace(_BLANK.encode(), sha256_of(content).encode(), 1))


def read_card(path: Path) -> Card:
    """The card of a best.safetensors, read without torch.

    Raises CheckpointError when the file is missing, torn, or not of this toolkit.
    """
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}; give a run folder or best.safetensors"
        )
    values = _without_downloads(json.loads(_read_metadata(path)[_CARD_KEY]))
    fields = [field.name for field in dataclasses.fields(Card)]
    if missing := sorted(set(fields) - set(values)):
        raise CheckpointError(
            f"the card of {path} lacks {', '.join(missing)}: it is of another version; train "
            f"again, or use the version that wrote it ({values.get('version', 'unknown')})"
        )
    for name in ("classes", "mean", "std", "training_hashes", "training_phashes"):
        values[name] = tuple(values[name])
    return Card(**{name: values[name] for name in fields})


def _read_metadata(path: Path) -> dict[str, Any]:
    """What the header says, of a file of which every byte is the one that was written."""
    content = path.read_bytes()
    length = min(int.from_bytes(content[:8], "little"), _MOST_HEADER_BYTES)
    try:
        metadata = dict(json.loads(content[8 : 8 + length]).get("__metadata__", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or it was cut short; train again or copy it again"
        ) from error
    if set(metadata) <= {"format"}:
        raise CheckpointError(
            f"{path} holds weights but no braintumor card; bare backbone weights go in with "
            f"`bt-train model.backbone.weights={path}`"
        )
    said = str(metadata.get(_DIGEST_KEY)).encode()
    if said.decode() != sha256_of(content.replace(said, _BLANK.encode(), 1)):
        raise CheckpointError(
            f"{path} is damaged or was cut short: its checksum is not that of its content; copy it "
            "again, or train again"
        )
    return metadata


def _without_downloads(card: dict[str, Any]) -> dict[str, Any]:
    """The card, of which nothing sends this machine to the network: a file may be a stranger's.

    The weights are in the file, so no pretrained ones are needed; a data set is named by the user.
    """
    if "model" in card:
        card["model"] = _without_weights(card["model"])
    data = (card.get("settings") or {}).get("data")
    if isinstance(data, dict) and "download" in data:
        data["download"] = False
    return card


def _without_weights(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {k: "none" if k == "weights" else _without_weights(v) for k, v in section.items()}


def find_checkpoint(ckpt: str | Path | None) -> Path:
    """The weights file that `ckpt=` means: a run folder, its best.safetensors, or last.ckpt.

    A folder of folds or seeds is given as it is: its models answer together (runs/ensemble.py).
    """
    if not ckpt:
        raise CheckpointError("no checkpoint given; name a run folder with ckpt=runs/<run>")
    path = Path(ckpt).expanduser()
    if path.name == "last.ckpt":
        log.info("taking the best epoch of the run, not its last: best.safetensors")
        path = path.parent
    if not path.exists():
        raise CheckpointError(f"there is no run folder or checkpoint {path}{folders_beside(path)}")
    if not path.is_dir():
        return path
    run = RunFolder(path)
    if run.best.is_file():
        return run.best
    if members_of(path):
        return path
    status = run.read_status()
    state = f" (its status is {status['status']!r})" if status.get("status") else ""
    raise CheckpointError(f"{path} has no best.safetensors{state}; give a finished run")


def members_of(path: Path) -> list[RunFolder]:
    """The runs of the folds and seeds in a folder, in order; [] where it is another.

    Raises CheckpointError where not all have ended: some would answer for all in silence.
    """
    parts = RunFolder(path).read_status().get("parts", [])
    members = [RunFolder(path / str(name)) for name in parts]
    is_ready = [m.best.is_file() and m.read_status().get("status") == "completed" for m in members]
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

    from braintumor.models.classifier import build_model

    card = read_card(path)
    model = build_model(card.model, len(card.classes), card.image_size)
    try:
        model.load_state_dict(load_weights(path))
    except RuntimeError as error:
        first = "".join(str(error).splitlines()[1:2])
        raise CheckpointError(
            f"the weights in {path} are not of the model on its card ({card.model_name}):{first}; "
            "use the file that the run wrote"
        ) from error
    if card.settings["train"]["channels_last"]:  # as it was trained
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device).eval(), card


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a best.safetensors by name, without the arrays beside them."""
    from safetensors.torch import load_file  # as above

    return {k: v for k, v in load_file(path).items() if not k.startswith(_OUTLIERS)}


def load_outliers(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `save_best` was given beside the weights."""
    from safetensors import safe_open  # as above

    with safe_open(path, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith(_OUTLIERS)]  # noqa: SIM118
        return {name.removeprefix(_OUTLIERS): file.get_tensor(name) for name in names}
