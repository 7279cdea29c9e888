"""A second training without validation: its length, and the weights it ends with."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd
import pytest
import torch

from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment
from braintumor.errors import ConfigError
from braintumor.training.loop import fit
from braintumor.training.recipe import Phase, refit_recipe
from braintumor.training.state import FitState, check_recipe
from small_fit import AUGMENT, CLASSES, TRAIN, VAL, new_state, recipe, run


def history(*rows: tuple[int, bool]) -> pd.DataFrame:
    """One row an epoch: its phase, and whether it was the best so far."""
    table = pd.DataFrame(rows, columns=["phase", "is_best"])
    return table.assign(epoch=range(1, len(rows) + 1))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1, True), (1, True), (1, False)], [2]),
        ([(1, True), (1, False), (2, False), (2, True), (2, False)], [1, 2]),
        ([(1, True), (1, True), (2, False), (2, False)], [2]),
        ([(1, True), (2, False), (3, True)], [1, 1]),
    ],
    ids=["one phase", "two", "the second brought nothing", "the second of three"],
)
def test_a_phase_is_as_long_as_it_took_to_its_best(
    rows: list[tuple[int, bool]], expected: list[int]
) -> None:
    phases = tuple(Phase(9, name) for name in ("head", "last_block", "all"))
    got = refit_recipe(recipe(phases), history(*rows)).train.phases
    assert [phase.epochs for phase in got] == expected
    kept = [phase.trainable for phase in got]
    assert kept == [phases[n - 1].trainable for n in sorted({p for p, is_best in rows if is_best})]


@pytest.mark.parametrize(
    ("scheduler", "length", "expected"),
    [("cosine", 4, 4), ("onecycle", 4, 4), ("constant", 4, 2), ("cosine", 9, 2)],
    ids=["cosine", "onecycle", "a rate that does not fall", "stopped before the end"],
)
def test_a_phase_whose_rate_fell_to_its_end_is_repeated_whole(
    scheduler: str, length: int, expected: int
) -> None:
    plan = dataclasses.replace(recipe((Phase(length),)), scheduler={"name": scheduler})
    rows = history((1, True), (1, True), (1, False), (1, False))
    (phase,) = refit_recipe(plan, rows).train.phases
    assert phase.epochs == expected


def fit_without_validation(train: ImageSplit, epochs: int) -> FitState:
    plan = recipe((Phase(epochs),), ema_decay=0.9)
    state = new_state(plan)
    records = list(fit(state, train, None, plan, Augment(AUGMENT, CLASSES)))
    assert [r.epoch for r in records] == list(range(1, epochs + 1))
    assert all(math.isnan(r.val_loss) and math.isnan(r.val_auroc) for r in records)
    return state


def test_without_validation_the_last_epoch_is_kept() -> None:
    state = fit_without_validation(TRAIN, 3)
    assert state.best.epoch == 3
    last = state.evaluated.state_dict()
    assert all(torch.equal(state.best.weights[name], last[name]) for name in last)


def test_validation_does_not_touch_the_weights() -> None:
    plan = recipe((Phase(3),), ema_decay=0.9)
    validated = new_state(plan)
    run(validated, plan)
    seen, unseen = validated.model.state_dict(), fit_without_validation(TRAIN, 3).model.state_dict()
    assert all(torch.equal(seen[name], unseen[name]) for name in seen)


def test_images_of_validation_are_learnt_from() -> None:
    both = ImageSplit(
        torch.cat([TRAIN.images, VAL.images]),
        torch.cat([TRAIN.labels, VAL.labels]),
        TRAIN.paths + VAL.paths,
    )
    one, other = fit_without_validation(TRAIN, 2), fit_without_validation(both, 2)
    names = one.best.weights
    assert any(not torch.equal(names[name], other.best.weights[name]) for name in names)


def test_a_schedule_that_follows_validation_is_refused() -> None:
    plan = dataclasses.replace(
        recipe(refit=True),
        scheduler={
            "name": "plateau", "warmup_epochs": 0.0, "patience": 1, "factor": 0.5,
            "min_factor": 0.1,
        },
    )  # fmt: skip
    with pytest.raises(ConfigError, match="scheduler=onecycle"):
        check_recipe(plan, new_state(plan).model)
    allowed = dataclasses.replace(plan, train=dataclasses.replace(plan.train, refit=False))
    check_recipe(allowed, new_state(allowed).model)


def test_the_second_training_is_as_long_as_the_best_epoch_whatever_train_epochs_said() -> None:
    plan = recipe((Phase(9),), epochs=4)
    plan = dataclasses.replace(plan, scheduler={"name": "constant", "warmup_epochs": 0})
    again = refit_recipe(plan, history((1, True), (1, True), (1, False), (1, False)))
    assert [phase.epochs for phase in again.train.planned] == [2]
