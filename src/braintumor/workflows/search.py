"""What all workers of a search share, the images that they keep, and their processes here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna

from braintumor.config import typed
from braintumor.data.dataset import Dataset
from braintumor.data.manifest import KNOWN
from braintumor.errors import DataError
from braintumor.jobs.slots import Slot
from braintumor.privacy import set_privacy
from braintumor.tuning.space import Parameter, TuneSettings, read_space
from braintumor.tuning.study import Direction, open_study, search_by
from braintumor.workflows.arguments import Request
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log
from braintumor.workflows.data import read_data
from braintumor.workflows.setup import Experiment

_IMAGES = "images"  # attribute of the study
_MOST_DATA = 2  # data sets that a worker keeps, such as one of each picture size
_END_S = 60  # for a worker to put its trial back
_LOWER_IS_BETTER = "val_loss"


@dataclass(frozen=True)
class Search:
    """All that a worker has to know; the rest is in the study.

    words: of bt-train, for all trials.  tune: the section of the settings, its space as it is read.
    metric: of validation, which early stopping watches.  deadline: in seconds of time.time().
    """

    words: tuple[str, ...]
    tune: Mapping[str, Any]
    storage: str
    name: str
    metric: str
    seed: int
    deadline: float

    @property
    def settings(self) -> TuneSettings:
        return typed(TuneSettings, self.tune, "tune")

    @property
    def space(self) -> tuple[Parameter, ...]:
        return read_space(self.tune["space"])

    @property
    def direction(self) -> Direction:
        """Of the metric, in Optuna's words."""
        return "minimize" if self.metric == _LOWER_IS_BETTER else "maximize"

    def open(self) -> optuna.Study:
        """The study, begun where there is none."""
        study = open_study(self.storage, self.name, self.direction)
        search_by(study, self.settings, self.seed)
        return study

    def request(self, words: list[str]) -> Request:
        """The settings of one training."""
        request = compose("train", [*self.words, *words], {})
        set_privacy(request.settings)  # of a worker in a process of its own, too
        return request


class Images:
    """Data sets, read and audited once and kept for the next trials."""

    def __init__(self) -> None:
        self._kept: dict[str, Dataset] = {}

    def __call__(self, settings: Mapping[str, Any], size: int, label: str) -> Dataset:
        asked = [settings[key] for key in ("data", "split", "seed", "fold", "folds")]
        key = json.dumps([asked, size], sort_keys=True)
        if key not in self._kept:
            while len(self._kept) >= _MOST_DATA:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = read_data(settings, size, label)
        return self._kept[key]


def same_images(study: optuna.Study, experiment: Experiment) -> None:
    """All trials, on whatever machine, learn from and are judged on the same images.

    Raises DataError.
    """
    splits = {}
    for name in KNOWN:
        hashes = experiment.data.manifest["sha256"].iloc[experiment.rows(name)]
        splits[name] = hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
    kept = study.user_attrs.get(_IMAGES)
    if kept is None:
        study.set_user_attr(_IMAGES, splits)
    elif kept != splits:
        raise DataError(
            "the images are not those that the study was begun with, and trials on others cannot "
            "be compared; restore them, or begin a new study: another run_dir or tune.storage"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Within, only warnings: a search says of each trial one line."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def start_workers(search: Search, slots: Sequence[Slot]) -> Iterator[list[subprocess.Popen[str]]]:
    """A process on each slot that does trials, whose lines are ours; they end with us, however
    we end.
    """
    command = [sys.executable, "-m", "braintumor.workflows.trials"]
    about = dataclasses.asdict(search)
    processes: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for slot in slots:
            process = subprocess.Popen(  # noqa: S603 (ourselves)
                [*command, json.dumps(about | {"number": slot.number})],
                env=slot.environment(),
                stdin=subprocess.PIPE,  # which ends with us, where we are killed
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C comes to us alone, who pass it on
            )
            processes.append(process)
            readers.append(threading.Thread(target=_pass_on, args=(process,)))
            readers[-1].start()
        yield processes
    finally:
        for process in processes:
            process.terminate()  # at once where it has not yet begun, else once its trial is back
        for process in processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()  # type: ignore[union-attr]
        for reader in readers:
            reader.join()


def _pass_on(process: subprocess.Popen[str]) -> None:
    for line in process.stdout:  # type: ignore[union-attr]
        log.info("%s", line.rstrip())
