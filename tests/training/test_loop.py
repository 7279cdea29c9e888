"""The training loop: it learns, it resumes exactly, and it leads by one metric."""

from __future__ import annotations

import copy
import dataclasses
import sys
from typing import Any

import pytest
import torch

from braintumor import progress
from braintumor.data.tensors import Augment
from braintumor.errors import ConfigError, TrainingError
from braintumor.training.loop import fit, steps_per_epoch
from braintumor.training.recipe import EarlyStoppingSettings, Phase
from braintumor.training.state import BestCheckpoint, check_recipe
from small_fit import AUGMENT, CLASSES, TRAIN, VAL, new_state, recipe, run


def weights_equal(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_training_learns() -> None:
    plan = recipe((Phase(20, "all", 1e-2),))
    plain = dataclasses.replace(AUGMENT, mixup=0.0, erasing=0.0)
    records = run(new_state(plan), plan, plain)
    assert [r.epoch for r in records] == list(range(1, 21))
    assert max(r.val_accuracy for r in records) > 0.8
    assert records[-1].train_loss < records[0].train_loss


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.9},
        {"imbalance": "class_weights"},
        {"phases": (Phase(2, "head", 1e-2), Phase(2, 1), Phase(1, "all"))},
    ],
    ids=["plain", "ema", "class_weights", "phases"],
)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_resume_equals_uninterrupted_bit_for_bit(changes: dict[str, Any], cut: int) -> None:
    plan = recipe(**{"phases": (Phase(4),), **changes})
    whole = new_state(plan)
    expected = run(whole, plan)

    first = new_state(plan)
    epochs = fit(first, TRAIN, VAL, plan, Augment(AUGMENT, CLASSES))
    seen = [next(epochs) for _ in range(cut)]
    saved = copy.deepcopy(first.state_dict())
    torch.manual_seed(999)  # another process has another generator state

    second = new_state(plan)
    seen += run(second, plan, resume_from=saved)
    assert weights_equal(whole.model.state_dict(), second.model.state_dict())
    assert weights_equal(whole.best.weights, second.best.weights)
    for a, b in zip(expected, seen, strict=True):
        for name in ("train_loss", "val_loss", "lr", "is_best"):
            assert getattr(a, name) == getattr(b, name)


def test_resume_of_plateau_keeps_the_lowered_rate() -> None:
    plan = dataclasses.replace(
        recipe((Phase(6),)),
        scheduler={
            "name": "plateau",
            "warmup_epochs": 0.0,
            "patience": 0,
            "factor": 0.1,
            "min_factor": 1e-6,
        },
        optimizer={**recipe().optimizer, "lr": 10.0},  # far too large, so that it must fall
    )  # fmt: skip
    expected = run(new_state(plan), plan)
    assert len({r.lr for r in expected}) > 1
    first = new_state(plan)
    epochs = fit(first, TRAIN, VAL, plan, Augment(AUGMENT, CLASSES))
    for _ in range(4):
        next(epochs)
    second = new_state(plan)
    rest = run(second, plan, resume_from=copy.deepcopy(first.state_dict()))
    assert [r.lr for r in rest] == [r.lr for r in expected[4:]]


def test_best_checkpoint_is_the_epoch_that_early_stopping_counts_from() -> None:
    plan = recipe((Phase(30),), early_stopping=EarlyStoppingSettings("val_macro_f1", 3, 0.0))
    state = new_state(plan)
    records = run(state, plan)
    first_best = max(records, key=lambda r: (r.val_macro_f1, -r.epoch))
    assert state.best.epoch == first_best.epoch
    assert [r.epoch for r in records if r.is_best][-1] == state.best.epoch
    assert len(records) == min(30, state.best.epoch + 3)


def test_a_phase_that_begins_with_a_loss_has_time_to_make_up_for_it() -> None:
    """As one that trains more layers: its patience counts from its own best epoch."""
    best, model = BestCheckpoint(EarlyStoppingSettings("val_loss", 2, 0.0)), torch.nn.Linear(1, 1)
    assert best.observe(0.3, 1, model)
    best.begin_phase()
    for epoch, cost in enumerate((0.6, 0.5, 0.4, 0.35, 0.36), 2):
        assert not best.observe(cost, epoch, model)
        assert not best.should_stop
    assert not best.observe(0.37, 7, model)
    assert best.should_stop
    assert best.epoch == 1


def test_patience_begins_anew_with_a_phase() -> None:
    """A second phase that moves nothing is as good as the best from its first epoch on."""
    plan = dataclasses.replace(
        recipe(
            (Phase(2), Phase(9, "head", 0.0)),
            early_stopping=EarlyStoppingSettings("val_loss", 3, 0.0),
        ),
        scheduler={"name": "constant", "warmup_epochs": 0.0},
    )
    assert len(run(new_state(plan), plan)) == 2 + 1 + 3


def test_next_phase_starts_from_the_best_weights() -> None:
    """The second phase moves nothing, so its figures are those of the weights it began with."""
    plan = dataclasses.replace(
        recipe((Phase(2), Phase(2, "all", 30.0), Phase(1, "head", 0.0))),
        scheduler={"name": "constant", "warmup_epochs": 0.0},
    )
    *before, last = run(new_state(plan), plan)
    best = min(record.val_loss for record in before)
    assert before[-1].val_loss > 2 * best  # such a rate destroys what was learnt
    assert last.val_loss == pytest.approx(best, rel=1e-6)


def test_head_phase_moves_no_backbone_weight_nor_statistic() -> None:
    plan = recipe((Phase(2, "head"),))
    state = new_state(plan)
    before = copy.deepcopy(state.model.backbone.state_dict())
    head_before = copy.deepcopy(state.model.head.state_dict())
    run(state, plan)
    assert weights_equal(before, state.model.backbone.state_dict())
    assert not weights_equal(head_before, state.model.head.state_dict())


def test_unfreezing_gives_the_optimizer_the_new_parameters() -> None:
    plan = recipe((Phase(1, "head"), Phase(1, "all")))
    state = new_state(plan)
    before = copy.deepcopy(state.model.backbone.state_dict())
    run(state, plan)
    assert not weights_equal(before, state.model.backbone.state_dict())


def test_ema_weights_are_the_ones_validated_and_kept() -> None:
    plan = recipe((Phase(1),), ema_decay=0.5)
    state = new_state(plan)
    run(state, plan)
    assert state.ema is not None
    assert weights_equal(state.best.weights, state.ema.model.state_dict())
    assert not weights_equal(state.best.weights, state.model.state_dict())


def test_ema_of_a_short_run_follows_the_weights() -> None:
    """Without warm-up a decay of 0.999 would still hold the first weights after eight steps."""
    plan = recipe((Phase(2),), ema_decay=0.999)
    state = new_state(plan)
    name = next(n for n, p in state.model.head.named_parameters() if p.ndim == 2)
    first = state.model.head.state_dict()[name].clone()
    run(state, plan)
    assert state.ema is not None
    last = state.model.head.state_dict()[name]
    average = state.ema.model.head.state_dict()[name]
    assert (average - last).norm() < (average - first).norm()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": (Phase(1), Phase(1, "lastblock"))}, "lastblock"),
        ({"phases": (Phase(1), Phase(1, 9))}, "trainable=9"),
        ({"phases": (Phase(1), Phase(1, "all", -1.0))}, r"train\.phases\[1\]\.lr=-1"),
    ],
)
def test_a_mistake_in_the_last_phase_is_found_before_the_first(
    changes: dict[str, Any], message: str
) -> None:
    plan = recipe(**changes)
    with pytest.raises(ConfigError, match=message):
        check_recipe(plan, new_state(plan).model)


def test_max_epochs_caps_every_phase() -> None:
    plan = recipe((Phase(5, "head"), Phase(5)), max_epochs=1)
    assert [r.phase for r in run(new_state(plan), plan)] == [1, 2]


@pytest.mark.parametrize(
    ("epochs", "cap", "expected"),
    [(None, None, 5), (2, None, 2), (7, None, 7), (4, 3, 3), (1, 3, 1)],
)
def test_epochs_says_how_long_a_training_of_one_phase_takes(
    epochs: int | None, cap: int | None, expected: int
) -> None:
    plan = recipe((Phase(5),), epochs=epochs, max_epochs=cap)
    assert len(run(new_state(plan), plan)) == expected


def test_epochs_of_several_phases_are_asked_for_one_by_one() -> None:
    phases = (Phase(10, "head"), Phase(20, 2, 1e-5))
    with pytest.raises(ConfigError) as refused:
        recipe(phases, epochs=30)
    listed = "trainable: head for 10 epochs, trainable: 2 for 20 epochs"
    assert f"this one has 2 phases ({listed})" in str(refused.value)
    setting = "'train.phases=[{epochs: 10, trainable: head},{epochs: 20, trainable: 2, lr: 1e-05}]'"
    assert str(refused.value).endswith(setting)


def test_a_loss_that_is_not_finite_stops_with_the_batch_named() -> None:
    plan = dataclasses.replace(recipe(clip_norm=None), optimizer={**recipe().optimizer, "lr": 1e30})
    state = new_state(plan)
    with pytest.raises(TrainingError, match=r"epoch \d+, batch \d+ of \d+ \(image\d+\.png"):
        run(state, plan)
    assert all(torch.isfinite(v.float()).all() for v in state.best.weights.values())


def test_validation_is_not_augmented() -> None:
    """With a rate of zero and frozen statistics, validation gives the same figures every epoch."""
    plan = recipe((Phase(3, "head", 0.0),))
    records = run(new_state(plan), plan)
    assert len({r.val_loss for r in records}) == 1


@pytest.mark.parametrize(("batch_size", "seen"), [(16, [16, 16, 16, 16]), (64, [50])])
def test_an_epoch_is_whole_batches(batch_size: int, seen: list[int]) -> None:
    """No last batch of another shape; a set smaller than a batch is one batch."""
    plan = recipe((Phase(1),), batch_size=batch_size, imbalance="none")
    state, sizes = new_state(plan), []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if module.training:
            sizes.append(len(inputs[0]))

    state.model.register_forward_pre_hook(note)
    run(state, plan)
    assert sizes == seen


def test_each_training_forgets_what_former_ones_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch compiles a piece of code eight times in a process, and then no more."""
    resets: list[str] = []
    monkeypatch.setattr(torch._dynamo, "reset", lambda: resets.append("reset"))
    for is_compiled in (False, True, True):
        plan = recipe((Phase(1),), compile=is_compiled)
        run(new_state(plan), plan)
    assert len(resets) == 2


def test_the_bar_says_what_it_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All batches of all epochs, and not those of the epoch that it names."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_DELAY_S", 0)
    plan = recipe((Phase(2),))
    batches = 2 * steps_per_epoch(plan, TRAIN)
    for _ in fit(new_state(plan), TRAIN, VAL, plan, Augment(AUGMENT, CLASSES), progress=True):
        pass
    said = capsys.readouterr().err
    assert "training, epoch 1 of 2:" in said
    assert f" of {batches} batches, " in said and " left" in said
