"""Whether a search is worth its epochs: TPE and successive halving against random search.

    python scripts/tuning.py budget --out FILE      ten searches of each kind, at equal epochs
    python scripts/tuning.py curves --out CURVES    36 trainings: a grid of rates, widths, batches
    python scripts/tuning.py replay --curves CURVES many searches, whose trials are looked up there
    python scripts/tuning.py kill --out FILE        three workers, one of them killed

budget: the head of a frozen mobilenetv2_035 on phantoms of 64 px, a second a trial; BT_WEIGHTS may
name the file of its weights. Random search trains every trial to its end; the other, which is what
bt-tune does, may begin trials as long as it does not need more epochs in all. Both draw from the
same space, train with the same seed, and are judged by the best validation loss of a trial trained
to its end.
replay: the same rule, but a trial takes its losses from recorded trainings, between those of the
grid by linear interpolation: hundreds of searches in a minute say what ten cannot. Dropout, which
the grid has not, then changes nothing, as most settings of a space hardly do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.interpolate import interpn

from braintumor.config import typed
from braintumor.jobs.slots import make_slots
from braintumor.runtime import configure_process
from braintumor.training.loop import fit
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.tuning.space import TuneSettings, find_start, read_space
from braintumor.tuning.study import next_trials, search_by
from braintumor.tuning.trials import done, numbers
from braintumor.tuning.worker import begin_work
from braintumor.workflows import trials
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log_to_console
from braintumor.workflows.search import Images, Search, quiet, start_workers
from braintumor.workflows.setup import setup

_EPOCHS = 18  # of a trial that is trained to its end
_TRIALS = 8  # of random search
_SHORT_TRIALS = 40  # of the other at most
_SPACE = {
    "optimizer.lr": "log 1e-5..1e-1",
    "model.head.hidden": [16, 64, 256],
    "model.head.dropout": "0.0..0.5",
    "train.batch_size": [8, 16, 32, 64],
}
_GRID = {  # of the recorded trainings
    "optimizer.lr": [10 ** (power / 2) for power in range(-10, -1)],
    "model.head.hidden": [16, 256],
    "train.batch_size": [8, 64],
}
_HOW: dict[str, dict[str, Any]] = {
    "as bt-tune has it": {},
    "without the first trial of bt-tune": {"starts": False},
    "the same, tune.min_epochs=3": {"starts": False, "min_epochs": 3},
    "the same, tune.min_epochs=6": {"starts": False, "min_epochs": 6},
    "the same, tune.reduction=2": {"starts": False, "reduction": 2},
    "the same, tune.reduction=4": {"starts": False, "reduction": 4},
    "the same, tune.sampler=random": {"starts": False, "sampler": "random"},
    "the same, tune.pruner=none": {"starts": False, "pruner": "none"},
}
_WEIGHTS = os.environ.get("BT_WEIGHTS", "imagenet")
_WORDS = (
    "data=phantom", "data.patients=60", "data.slices_per_patient=2", "data.image_size=64",
    "model=mobilenetv2_035", f"model.backbone.weights={_WEIGHTS}", "augment=none",
    "scheduler=constant", f"train.phases=[{{epochs: {_EPOCHS}, trainable: head}}]",
    "train.early_stopping.metric=val_loss", "train.early_stopping.patience=null",
    "train.ema_decay=0", "device=cpu",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["budget", "curves", "replay", "kill"])
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--full", type=int, default=_TRIALS, help="trials of random search")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20, 30)))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    configure_process()
    log_to_console()
    works = {
        "budget": lambda: _budget(asked.seeds),
        "curves": lambda: json.dumps(_record(asked.seeds[0])),
        "replay": lambda: _replay(json.loads(asked.curves.read_text()), asked.seeds, asked.full),
        "kill": _kill,
    }
    text = works[asked.what]()
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


def _search(folder: str, seed: int, **how: Any) -> Search:
    section = compose("tune", [], {}).settings["tune"] | {"space": _SPACE, **how}
    storage = f"{folder}/study.journal"
    words = (*_WORDS, f"seed={seed}")
    return Search(words, section, storage, "bt-tune", "val_loss", seed, time.time() + 3600)


def _budget(seeds: list[int]) -> str:
    lines = [
        "| seed | random search: trials, epochs | best loss | TPE and halving: trials, epochs | "
        "best loss | better or equal |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    images, wins = Images(), 0
    with quiet():
        for seed in seeds:
            how = {"sampler": "random", "pruner": "none", "trials": _TRIALS}
            plain = _spend(seed, images, _TRIALS * _EPOCHS, **how)
            other = _spend(seed, images, plain[1], trials=_SHORT_TRIALS)
            wins += other[2] <= plain[2]
            said = "yes" if other[2] <= plain[2] else "no"
            lines.append(
                f"| {seed} | {plain[0]}, {plain[1]} | {plain[2]:.4f} | {other[0]}, {other[1]} | "
                f"{other[2]:.4f} | {said} |"
            )
            print(lines[-1], flush=True)
    return "\n".join([*lines, "", f"Better or equal in {wins} of {len(seeds)}."]) + "\n"


def _spend(seed: int, images: Images, budget: int, **how: Any) -> tuple[int, int, float]:
    """Trials, epochs and best loss of a search that takes no more epochs than the budget."""
    with tempfile.TemporaryDirectory() as folder:
        search = _search(folder, seed, **how)
        study = search.open()
        with begin_work(search.storage, 0) as worker:
            for _ in next_trials(study, worker, search.settings.trials, search.deadline):
                spent = sum(trial.user_attrs["epochs"] for trial in done(study))
                if spent + _EPOCHS > budget:
                    break
                trial = trials.Trial(study, worker, search, search.space, images)
                study.optimize(trial.run, n_trials=1)
        ended = done(study)
        return len(ended), sum(t.user_attrs["epochs"] for t in ended), study.best_value


def _record(seed: int) -> list[list[float]]:
    """Best losses so far after each epoch, of each point of the grid."""
    search, images, curves = _search("", seed), Images(), []
    with quiet():
        for values in itertools.product(*_GRID.values()):
            words = [f"{key}={value:.4g}" for key, value in zip(_GRID, values, strict=True)]
            request = search.request(words)
            experiment = setup(request.settings, request.choices["data"], read=images)
            recipe = experiment.recipe
            state = FitState(experiment.model, BestCheckpoint(recipe.train.early_stopping))
            splits = experiment.images("train"), experiment.images("val")
            records = fit(state, *splits, recipe, experiment.augment)
            curves.append([state.best.cost for _ in records])
    return curves


def _looked_up(trial: optuna.Trial, curves: np.ndarray, ends: list[np.ndarray]) -> float:
    """As a trial of bt-tune, whose losses lie between those of the grid."""
    lr = trial.suggest_float("optimizer.lr", 1e-5, 1e-1, log=True)
    hidden = trial.suggest_categorical("model.head.hidden", ["16", "64", "256"])
    trial.suggest_float("model.head.dropout", 0.0, 0.5)
    batch = trial.suggest_categorical("train.batch_size", ["8", "16", "32", "64"])
    point = [math.log(float(value)) for value in (lr, hidden, batch)]
    losses = interpn(ends, curves, point, bounds_error=False, fill_value=None)[0]
    for epoch, loss in enumerate(losses.tolist(), start=1):
        trial.report(loss, epoch)
        trial.set_user_attr("epochs", epoch)
        if epoch < _EPOCHS and trial.should_prune():
            raise optuna.TrialPruned
    return float(losses[-1])


def _replay(curves: list[list[float]], seeds: list[int], full: int) -> str:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ends = [np.log(values) for values in _GRID.values()]
    table = np.array(curves).reshape(*map(len, ends), _EPOCHS)
    section = compose("tune", [], {}).settings["tune"] | {"space": _SPACE, "trials": 5 * full}
    request = _search("", 0).request([])
    start = find_start(read_space(_SPACE), request.settings, request.choices)

    def best(seed: int, *, starts: bool = True, **how: Any) -> float:
        study = optuna.create_study()
        search_by(study, typed(TuneSettings, section | how, "tune"), seed)
        if starts:
            study.enqueue_trial(start)
        for _ in range(section["trials"]):
            if sum(t.user_attrs["epochs"] for t in done(study)) + _EPOCHS > full * _EPOCHS:
                break
            study.optimize(lambda trial: _looked_up(trial, table, ends), n_trials=1)
        return study.best_value

    random = {"starts": False, "sampler": "random", "pruner": "none"}
    plain = np.array([best(1000 + seed, **random) for seed in seeds])  # draws of its own
    lines = ["| search | better or equal | mean gain in the loss |", "|---|---:|---:|"]
    for name, how in _HOW.items():
        gain = plain - np.array([best(seed, **how) for seed in seeds])
        lines.append(f"| {name} | {(gain >= 0).mean():.0%} | {gain.mean():+.4f} |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, "", f"{len(seeds)} searches, {full * _EPOCHS} epochs each."]) + "\n"


def _kill() -> str:
    """Three workers do 12 trials; one is killed while it trains."""
    with tempfile.TemporaryDirectory() as folder:
        search = _search(folder, 0, trials=12)
        study, begun = search.open(), time.perf_counter()
        with start_workers(search, make_slots(3, device="cpu")) as processes:
            while len({t.user_attrs.get("worker") for t in study.get_trials()} - {None}) < 3:
                time.sleep(0.05)
            os.kill(processes[0].pid, signal.SIGKILL)
            codes = [process.wait() for process in processes]
        seconds = time.perf_counter() - begun
        lost = sum(trial.state.name == "RUNNING" for trial in study.trials)
        anew = sum(bool(trial.system_attrs.get("retry_history")) for trial in study.trials)
        numbered = sorted(numbers(study)[trial.number] for trial in done(study))
    return (
        f"Exit codes of the workers {codes}; {len(numbered)} of 12 trials done in {seconds:.0f} s, "
        f"numbered {numbered[0]} to {numbered[-1]}, {anew} taken up again, {lost} left without a "
        "worker.\n"
    )


if __name__ == "__main__":
    main()
