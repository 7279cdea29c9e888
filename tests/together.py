"""What each process of torchrun does for test_distributed.py; the first one writes results.pt."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from braintumor.data.host_images import HostImages, ImageSplit
from braintumor.data.tensors import Augment, AugmentSettings
from braintumor.errors import TrainingError
from braintumor.models.classifier import build_model
from braintumor.records import EpochRecord
from braintumor.training.distributed import team
from braintumor.training.loop import fit
from braintumor.training.recipe import FeatureSettings, Phase, Recipe
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.training.watch import joined
from small_fit import AUGMENT, CLASSES, MODEL, NONE, SIDE, TRAIN, new_state, recipe, split

TWO_PHASES = (Phase(1, "head", 1e-2), Phase(2, "all"))
VAL = split(31, 2)
# by name: augmentation, changes of the recipe; without chance in the network all are as in one
# process
CASES: dict[str, tuple[AugmentSettings, dict[str, Any]]] = {
    "pictures as they are": (NONE, {}),
    "mixup and class weights": (AUGMENT, {"imbalance": "class_weights"}),
    "features": (NONE, {"phases": (Phase(2, "head", 1e-2),)}),
    "average": (AUGMENT, {"ema_decay": 0.9, "phases": TWO_PHASES, "clip_norm": None}),
}


def state_without_chance(plan: Recipe) -> FitState:
    """A network without batch norm, dropout and noise."""
    torch.manual_seed(0)
    head = MODEL["head"] | {"noise": 0.0, "dropout": 0.0}
    backbone = MODEL["backbone"] | {"dropout": 0.0}
    model = build_model(MODEL | {"head": head, "backbone": backbone}, CLASSES, SIDE)
    for block in model.backbone.blocks:
        block[1] = nn.Identity()
    return FitState(model, BestCheckpoint(plan.train.early_stopping))


def plan_of(name: str) -> tuple[Recipe, AugmentSettings]:
    augment, changes = CASES[name]
    views = FeatureSettings(1 if name == "features" else 0)
    return Recipe(**vars(recipe(**changes)) | {"features": views}), augment


def on_host(images: ImageSplit) -> ImageSplit:
    """The same as they lie in a memory map."""
    host = HostImages(images.images[:, 0], torch.arange(len(images)))
    return ImageSplit(host, images.labels, images.paths)


def epochs_of(state: FitState, plan: Recipe, augment: AugmentSettings, **more: Any) -> Iterator:
    return fit(state, on_host(TRAIN), on_host(VAL), plan, Augment(augment, CLASSES), **more)


def fitted(name: str) -> tuple[dict[str, Tensor], list[EpochRecord]]:
    """The weights and records of one of the cases, in however many processes."""
    plan, augment = plan_of(name)
    state = state_without_chance(plan)
    records = list(epochs_of(state, plan, augment))
    return state.evaluated.state_dict(), records


def digest(state: FitState) -> str:
    """Of all that is trained, averaged and counted by batch norm."""
    found = hashlib.sha256()
    for model in (state.model, state.evaluated):
        for name, tensor in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def with_chance() -> tuple[list[list[str]], FitState, FitState]:
    """Digests of each epoch in each process; a state at the end, and that of a resumed one."""
    plan = recipe(phases=TWO_PHASES, ema_decay=0.9)
    state, digests, saved = new_state(plan), [], {}
    for record in epochs_of(state, plan, AUGMENT):
        digests.append(_of_all(digest(state)))
        if record.epoch == 2:
            saved = state.snapshot()
    resumed = new_state(plan)
    list(epochs_of(resumed, plan, AUGMENT, resume_from=saved))
    return digests, state, resumed


def not_finite() -> list[str]:
    """What each process says of a training that runs away."""
    plan = recipe(phases=(Phase(3, "all", 1e30),), clip_norm=None)
    try:
        list(epochs_of(new_state(plan), plan, NONE))
    except TrainingError as error:
        return _of_all(str(error))
    return _of_all("")


def mean_norms(rank: int) -> list[list[float]]:
    """What batch norm and its moving average have once 0 and 2, 1 and 4 were made one."""
    models = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    for model, statistics in zip(models, ((0.0, 2.0), (1.0, 4.0)), strict=True):
        model.running_mean.fill_(statistics[rank])
    team().average_norms(nn.Sequential(models[0]), nn.Sequential(models[1]))
    return [model.running_mean.tolist() for model in models]


def _of_all(said: str) -> list[str]:
    heard: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(heard, said)
    return heard


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined():
        results: dict[str, Any] = {name: fitted(name)[0] for name in CASES}
        results["records"] = {name: [vars(r) for r in fitted(name)[1]] for name in CASES}
        digests, state, resumed = with_chance()
        results |= {
            "digests": digests,
            "not finite": not_finite(),
            "norms": mean_norms(team().rank),
        }
        results |= {"whole": state.model.state_dict(), "resumed": resumed.model.state_dict()}
        if team().rank == 0:
            torch.save(results, folder / "results.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
