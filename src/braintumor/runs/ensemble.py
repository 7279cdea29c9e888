"""What `ckpt=` names: one checkpoint, or a folder of folds or seeds, whose models answer as one.

Of the second kind the card is that of all: every image that any of them knows is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from braintumor.data.manifest import Patients, count_patients, read_manifest
from braintumor.errors import CheckpointError
from braintumor.runs.checkpoint import Card, load_classifier, members_of, read_card
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder

if TYPE_CHECKING:
    import torch

    from braintumor.models.ensemble import Network


def run_of(path: Path) -> RunFolder:
    """The run folder of what `find_checkpoint` gave."""
    return RunFolder(path if path.is_dir() else path.parent)


def read_model_card(path: Path) -> Card:
    """The card of what `find_checkpoint` gave. Raises CheckpointError."""
    if not path.is_dir():
        return read_card(path)
    members = members_of(path)
    return _joined([read_card(member.best) for member in members], members)


def load_network(path: Path, device: torch.device) -> tuple[Network, Card]:
    """The network of what `find_checkpoint` gave, in evaluation mode on the device, and its card.

    Raises CheckpointError when weights and card do not belong together, or members to each other.
    """
    if not path.is_dir():
        return load_classifier(path, device)
    from braintumor.models.ensemble import Ensemble  # torch, which a card does not need

    members = members_of(path)
    loaded = [load_classifier(member.best, device) for member in members]
    cards = [card for _, card in loaded]
    card = _joined(cards, members)
    temperatures = [_temperature(own, member) for own, member in zip(cards, members, strict=True)]
    return Ensemble([network for network, _ in loaded], temperatures).eval(), card


def _temperature(card: Card, member: RunFolder) -> float:
    if card.decisions is None:
        raise CheckpointError(
            f"{member.best} has no temperature yet, so it cannot answer with others; go on with "
            f"`{resume_command(member.path)}`"
        )
    return float(card.decisions["temperature"])


def _joined(cards: Sequence[Card], members: Sequence[RunFolder]) -> Card:
    """One card for all. What was fitted on validation is for each alone, and left out."""
    first = cards[0]
    for card, member in zip(cards, members, strict=True):
        for name in ("classes", "image_size", "fit"):
            own, wanted = getattr(card, name), getattr(first, name)
            if own != wanted:
                raise CheckpointError(
                    f"the models in {member.path.parent} cannot answer together: {name} is "
                    f"{own} in {member.path.name} and {wanted} in {members[0].path.name}; put "
                    "back the runs that were trained together, or give one of them"
                )
    hashes = sorted({text for card in cards for text in card.training_hashes})
    patients = Patients(len(hashes), 0, 0)  # a card counts patients, and who is in two is not known
    if members[0].manifest.is_file():
        manifest = read_manifest(members[0].manifest)
        patients = count_patients(manifest[manifest["sha256"].isin(hashes)])
    return dataclasses.replace(
        first,
        model_name=f"ensemble of {len(cards)} models ({first.model_name})",
        settings=first.settings | {"fold": None},
        validation={},
        parameters=sum(card.parameters for card in cards),
        training_hashes=tuple(hashes),
        training_phashes=tuple(sorted({text for card in cards for text in card.training_phashes})),
        patients=dataclasses.asdict(patients),
        decisions=None,
    )
