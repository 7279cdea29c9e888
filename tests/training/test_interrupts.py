"""A signal in the middle of an epoch: what goes on from there is what nobody interrupted."""

from __future__ import annotations

import copy
import dataclasses
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from braintumor import interrupts
from braintumor.data.tensors import Augment
from braintumor.errors import CheckpointError
from braintumor.interrupts import deferred, listening
from braintumor.records import EpochRecord
from braintumor.training import loop
from braintumor.training.loop import fit
from braintumor.training.recipe import FeatureSettings, Phase, Recipe
from braintumor.training.state import FitState
from small_fit import AUGMENT, CLASSES, NONE, TRAIN, VAL, new_state, recipe, run

pytestmark = pytest.mark.usefixtures("one_thread")

PHASES = (Phase(2, "head"), Phase(2, "all", 1e-3))  # 4 steps an epoch
PLAN = recipe(PHASES, ema_decay=0.9)
PLANS = {
    "mixup and EMA": (PLAN, AUGMENT),
    "kept features": (dataclasses.replace(PLAN, features=FeatureSettings(1)), NONE),
}


def interrupted(
    plan: Recipe, augment: Any, at: int, saved: dict[str, Any] | None, how: signal.Signals
) -> tuple[FitState, list[EpochRecord], bool]:
    """Go on from `saved`, with a signal before the at-th check; whether that came."""
    state, records, count, check = new_state(plan), [], 0, interrupts.check
    images = Augment(augment, CLASSES)

    def counted() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), how)
        check()

    with pytest.MonkeyPatch.context() as patch, listening():
        patch.setattr(loop, "check", counted)
        patch.setattr(interrupts, "check", counted)
        try:
            with deferred():
                for record in fit(state, TRAIN, VAL, plan, images, resume_from=saved):
                    records.append(record)
                count = at  # the end of the block asks, too
        except KeyboardInterrupt:
            return state, records, True
    return state, records, False


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))


@pytest.mark.parametrize("name", PLANS)
def test_interrupts_at_random_steps_change_nothing(name: str) -> None:
    plan, augment = PLANS[name]
    whole = new_state(plan)
    expected = run(whole, plan, augment)
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGXCPU]
    rng = np.random.default_rng(0)
    saved, records, within = None, [], 0
    for how in signals:
        at = int(rng.integers(3, 6))
        state, some, is_cut = interrupted(plan, augment, at, saved, how)
        assert is_cut
        records += some
        if state.partial:
            saved, within = through_a_file(state.snapshot()), within + 1
        else:  # among features, with nothing done since the last epoch
            assert not some
    state = new_state(plan)
    records += run(state, plan, augment, resume_from=saved)
    assert within >= 3
    for one, other in ((state.model, whole.model), (state.evaluated, whole.evaluated)):
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    times = {"seconds": 0.0, "images_per_s": 0.0}
    assert [dataclasses.replace(r, **times) for r in records] == [
        dataclasses.replace(r, **times) for r in expected
    ]
    assert [row["epoch"] for row in state.history] == [1, 2, 3, 4]


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    """A state in the middle of the second epoch, as it comes from the disk."""
    state, _, is_cut = interrupted(PLAN, AUGMENT, 8, None, signal.SIGTERM)
    assert is_cut and state.partial and state.epoch == 1
    return through_a_file(state.snapshot())


ITEMS = [
    "phase", "phase_epoch", "epoch", "model", "optimizer", "schedule", "scaler", "best", "ema",
    "ema_steps", "partial", "history", "recipe", "optimizer/state", "optimizer/param_groups",
    "best/cost", "best/epoch", "best/phase_cost", "best/bad_epochs", "best/weights",
    "partial/losses", "partial/hits", "partial/generators", "partial/seconds",
    "schedule/factor", "model/mean_255",
    "best/weights/mean_255", "recipe/seed", "optimizer/state/0/exp_avg",
]  # fmt: skip


def copied(tree: Any) -> Any:
    return {k: copied(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ("model/head.3.bias", r"model: head\.3\.bias of \(7,\)"),
        ("best/weights/head.3.bias", r"best\.weights: head\.3\.bias of \(7,\)"),
        ("ema/head.3.bias", r"ema: head\.3\.bias of \(7,\)"),
        ("optimizer/state/0/exp_avg", r"optimizer\.state: exp_avg of another shape"),
    ],
)
def test_a_tensor_of_another_shape_is_refused_by_name(
    saved: dict[str, Any], item: str, named: str
) -> None:
    changed = inside = copied(saved)
    *parents, name = item.split("/")
    for parent in parents:
        inside = inside[int(parent) if parent.isdecimal() else parent]
    assert name in inside, sorted(inside)
    inside[name] = torch.zeros(7)
    with pytest.raises(CheckpointError, match=named):
        run(new_state(PLAN), PLAN, AUGMENT, resume_from=changed)


def test_moments_that_are_gone_are_refused(saved: dict[str, Any]) -> None:
    changed = copied(saved)
    changed["optimizer"]["state"] = {}
    with pytest.raises(CheckpointError, match=r"lacks optimizer\.state"):
        run(new_state(PLAN), PLAN, AUGMENT, resume_from=changed)


def test_the_table_names_every_item(saved: dict[str, Any]) -> None:
    nested = {
        f"{name}/{inner}" for name in ("best", "partial", "optimizer") for inner in saved[name]
    }
    assert set(saved) | nested <= set(ITEMS)


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("how", ["drop", "add", "retype"])
def test_an_item_too_few_or_too_many_or_of_another_type_is_refused(
    saved: dict[str, Any], item: str, how: str
) -> None:
    changed = inside = copied(saved)
    *parents, name = item.split("/")
    for parent in parents:
        inside = inside[int(parent) if parent.isdecimal() else parent]
    if how == "drop":
        del inside[name]
    elif how == "add":
        inside[f"{name}_more"] = inside[name]
    else:
        inside[name] = "text"
    with pytest.raises(CheckpointError):
        run(new_state(PLAN), PLAN, AUGMENT, resume_from=changed)


NO_NUMBER = torch.tensor(float("nan"))
VALUES: list[tuple[str, Any]] = [
    ("history", []), ("history", [{"epoch": 1}]), ("history/0/epoch", 2), ("history/0/lr", "0.1"),
    ("history/0/is_best", 1), ("history/0/more", 1.0), ("epoch", 7), ("phase_epoch", 9),
    ("phase", 7), ("best/epoch", 5), ("best/epoch", 0), ("best/weights", {}),
    ("partial/losses", torch.zeros(2, 2)), ("partial/losses", torch.zeros(2, dtype=torch.long)),
    ("partial/losses", torch.zeros(99)), ("partial/hits", torch.zeros(3, dtype=torch.long)),
    ("partial/hits", NO_NUMBER), ("partial/generators", [torch.zeros(3)]),
    ("partial/generators", [torch.zeros(5000, dtype=torch.uint8)]),
    ("optimizer/param_groups/0/params", [[], []]), ("optimizer/param_groups/0/params", "ab"),
    ("optimizer/state/0/step", torch.zeros((), dtype=torch.long)),
    ("optimizer/state/0/exp_avg", "x"), ("scaler", {"scale": "x"}),
    ("recipe/seed", torch.zeros(3)), ("recipe/optimizer", {0: 1}),
]  # fmt: skip


def with_value(state: dict[str, Any], item: str, value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(state)
    inside = changed
    *parents, name = (int(part) if part.isdecimal() else part for part in item.split("/"))
    for parent in parents:
        inside = inside[parent]
    inside[name] = value
    return dict(changed)


@pytest.mark.parametrize(("item", "value"), VALUES)
def test_a_value_that_no_training_leaves_is_refused(
    saved: dict[str, Any], item: str, value: Any
) -> None:
    """As of another version, or by somebody who means harm: its checksum is right."""
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        run(new_state(PLAN), PLAN, AUGMENT, resume_from=with_value(saved, item, value))


@pytest.mark.parametrize(
    ("option", "value"),
    [("fused", "x"), ("betas", None), ("lr", NO_NUMBER), ("weight_decay", 1e30), ("base_lr", -1)],
)
def test_options_of_an_optimizer_are_those_of_the_recipe(
    saved: dict[str, Any], option: str, value: Any
) -> None:
    """Whatever the state says of them: the weights are those of nobody who changed it."""
    changed = with_value(saved, f"optimizer/param_groups/0/{option}", value)
    states = [new_state(PLAN) for _ in range(2)]
    for state, resume_from in zip(states, (saved, changed), strict=True):
        run(state, PLAN, AUGMENT, resume_from=resume_from)
    one, other = (state.model.state_dict().values() for state in states)
    assert all(map(torch.equal, one, other))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (recipe(PHASES, ema_decay=0.9, batch_size=8), "train.batch_size: 16 there, 8 here"),
        (recipe((PHASES[0], Phase(3, "all", 1e-3)), ema_decay=0.9), r"phases\[1\]\.epochs"),
        (recipe((PHASES[0], Phase(2, 1, 1e-3)), ema_decay=0.9), r"phases\[1\]\.trainable"),
        (recipe(PHASES[:1], ema_decay=0.9), r"phases\[1\]"),
        (recipe(PHASES), r"train\.ema_decay: 0\.9 there, 0\.0 here"),
    ],
)
def test_another_recipe_is_refused_by_name(
    saved: dict[str, Any], changed: Recipe, named: str
) -> None:
    with pytest.raises(CheckpointError, match=named):
        run(new_state(changed), changed, AUGMENT, resume_from=saved)


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with listening(), interrupts.before_leaving((tmp_path / "told").touch), deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert (tmp_path / "told").exists()


class Finalised:
    """The signal comes while it is being taken apart, where Python drops every exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_python_drops_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    for seconds_of_a_step in (0.0, 0.3):
        done, began = [], time.monotonic()
        with listening():
            with pytest.raises(KeyboardInterrupt):
                Finalised()
                with deferred():
                    time.sleep(seconds_of_a_step)
                    done.append("the step")
                time.sleep(20)
            assert interrupts.is_asked()
        assert done and time.monotonic() - began < 10
        assert not interrupts.is_asked()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_batch_systems_handler_is_called_once_the_step_is_saved(number: signal.Signals) -> None:
    """As submitit's, which puts the job back into the queue and leaves."""
    done: list[str] = []

    def requeue(*_: Any) -> None:
        done.append("requeued")
        sys.exit(144)

    before = signal.signal(number, requeue)
    try:
        with pytest.raises(SystemExit), listening():
            try:
                with deferred():
                    signal.raise_signal(number)
                    done.append("end of the step")
            except KeyboardInterrupt:
                done.append("saved")
                raise
        assert signal.getsignal(number) is requeue
    finally:
        signal.signal(number, before)
    assert done == ["end of the step", "saved", "requeued"]
