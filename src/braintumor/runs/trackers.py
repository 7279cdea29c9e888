"""One adapter for each tracker that a run can be told to; runs/tracking.py decides which."""

from __future__ import annotations

import importlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol

import yaml

from braintumor.config import flat
from braintumor.runs.folder import RunFolder, State

_MOST_PARAMETERS = 100  # that MLflow takes at once
_LONGEST = 6000  # characters of a parameter there


class Tracker(Protocol):
    """One program; whatever it raises is a warning."""

    def epoch(self, figures: Mapping[str, float], number: int, part: str) -> None: ...

    def final(self, figures: Mapping[str, float], report: str) -> None: ...

    def end(self, state: State) -> None: ...


def _run_name(run: RunFolder) -> str:
    """With the folder around it: runs of a sweep are called 0, 1, 2, and of folds fold_0."""
    return "/".join(run.path.absolute().parts[-2:])


def _known_id(run: RunFolder, name: str) -> str | None:
    """What the tracker called the run before it was interrupted; None for a new one."""
    kept = run.read_status().get("tracker") or {}
    return kept["id"] if kept.get("name") == name else None


def _keep_id(run: RunFolder, name: str, own: str) -> None:
    run.set_status("running", tracker={"name": name, "id": own})


class _TensorBoard:
    """Event files in <run>/tensorboard, those of a refit in refit/tensorboard."""

    def __init__(self, run: RunFolder, project: str, settings: Mapping[str, Any]) -> None:
        self._run, self._settings, self._stack = run, settings, ExitStack()
        self._writers: dict[str, Any] = {}

    def _writer(self, part: str, epoch: int | None = None) -> Any:
        if part not in self._writers:
            from torch.utils.tensorboard import SummaryWriter  # torch, and only where it is wanted

            # what an interrupted run wrote from this epoch on is dropped
            writer = SummaryWriter(str(self._run.path / part / "tensorboard"), purge_step=epoch)
            self._writers[part] = self._stack.enter_context(writer)
            if not part:
                text = yaml.safe_dump(self._settings, sort_keys=False, allow_unicode=True)
                writer.add_text("settings", "".join(f"    {line}\n" for line in text.splitlines()))
        return self._writers[part]

    def epoch(self, figures: Mapping[str, float], number: int, part: str) -> None:
        writer = self._writer(part, number)
        for name, value in figures.items():
            writer.add_scalar(name, value, number)

    def final(self, figures: Mapping[str, float], report: str) -> None:
        writer = self._writer("")
        for name, value in figures.items():
            writer.add_scalar(name, value)
        writer.add_text("report", report)

    def end(self, state: State) -> None:
        self._stack.close()


class _WandbOrTrackio:
    """Two packages with the same functions."""

    def __init__(
        self, name: str, run: RunFolder, project: str, settings: Mapping[str, Any]
    ) -> None:
        known = _known_id(run, name)
        own = known or uuid.uuid4().hex[:8]
        config: dict[str, Any] = {"config": dict(settings), "project": project, "resume": "allow"}
        module = importlib.import_module(name)  # an extra
        if name == "wandb":
            # it would read what the commands print, and so lines of other runs
            config |= {"id": own, "settings": module.Settings(console="off")}
            config["name"] = _run_name(run)
        else:  # knows a run by its name
            config["name"] = f"{_run_name(run)} {own}"
        self._tracked = module.init(**config)
        self._last = int(getattr(self._tracked, "step", 0))
        if known is None:
            _keep_id(run, name, own)

    def epoch(self, figures: Mapping[str, float], number: int, part: str) -> None:
        at = f"{part}/" if part else ""
        # steps only grow: the epochs of a refit follow those before
        self._last = max(number, self._last + 1 if part else 0)
        self._tracked.log({f"{at}{k}": v for k, v in figures.items()}, step=self._last)

    def final(self, figures: Mapping[str, float], report: str) -> None:
        self._tracked.log({**figures, "report": report}, step=self._last)

    def end(self, state: State) -> None:
        self._tracked.finish()


class _MLflow:
    """A run of an experiment; settings are its parameters, the report's path a tag."""

    _STATES: Mapping[State, str] = {
        "completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED",
    }  # fmt: skip

    def __init__(self, run: RunFolder, project: str, settings: Mapping[str, Any]) -> None:
        # a server that is gone would hold up the training for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient, entities  # an extra

        self._client, self._entities, self._last = MlflowClient(), entities, 0
        if known := _known_id(run, "mlflow"):
            self._id = known
            self._client.update_run(known, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(project)
        experiment = found.experiment_id if found else self._client.create_experiment(project)
        self._id = self._client.create_run(experiment, run_name=_run_name(run)).info.run_id
        _keep_id(run, "mlflow", self._id)
        parameters = [entities.Param(k, str(v)[:_LONGEST]) for k, v in flat(settings)]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=parameters[start : start + _MOST_PARAMETERS])

    def epoch(self, figures: Mapping[str, float], number: int, part: str) -> None:
        self._last = number
        self._log(figures, number, f"{part}/" if part else "")

    def final(self, figures: Mapping[str, float], report: str) -> None:
        self._log(figures, self._last, "")
        self._client.set_tag(self._id, "report", report)

    def end(self, state: State) -> None:
        self._client.set_terminated(self._id, self._STATES[state])

    def _log(self, figures: Mapping[str, float], step: int, at: str) -> None:
        now = int(1000 * time.time())
        metrics = [self._entities.Metric(f"{at}{k}", v, now, step) for k, v in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)


ADAPTERS: dict[str, Callable[..., Tracker]] = {
    "tensorboard": _TensorBoard, "mlflow": _MLflow,
    "wandb": partial(_WandbOrTrackio, "wandb"), "trackio": partial(_WandbOrTrackio, "trackio"),
}  # fmt: skip
