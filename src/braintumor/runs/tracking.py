"""Trackers: settings and figures of a run, told to other programs while it goes; never pictures.

A tracker never ends a run: one that fails is left out from then on, with a line of warning. Where
it sends what, its own variables say and no setting: a run folder may be a stranger's.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from braintumor.config import typed
from braintumor.errors import ConfigError
from braintumor.privacy import without_names
from braintumor.records import EpochRecord
from braintumor.runs.folder import RunFolder, State
from braintumor.runs.trackers import ADAPTERS, Tracker

log = logging.getLogger("braintumor")


@dataclass(frozen=True)
class TrackerSettings:
    """The `tracker` section. Documented in configs/tracker."""

    name: Literal["none", "tensorboard", "wandb", "trackio", "mlflow"] = "none"
    project: str = "braintumor"


@dataclass
class Trackers:
    """Those of one run that still work, by name."""

    working: dict[str, Tracker]

    def epoch(self, record: EpochRecord, part: str = "") -> None:
        """The figures of an epoch. part: of the run, such as "refit"."""
        figures = {
            re.sub(r"^(train|val)_(.*)", r"\2/\1", name): value
            for name, value in dataclasses.asdict(record).items()
            if isinstance(value, float) and not math.isnan(value)
        }
        self._each(lambda tracker: tracker.epoch(figures, record.epoch, part))

    def final(self, metrics: Mapping[str, Any], report: str) -> None:
        """What metrics.json holds, and where the report is."""
        figures, report = final_figures(metrics), without_names(report)
        self._each(lambda tracker: tracker.final(figures, report))

    def end(self, state: State) -> None:
        self._each(lambda tracker: tracker.end(state))
        self.working.clear()

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.working.items()):
            try:
                tell(tracker)
            except Exception as error:
                del self.working[name]
                _warn(name, error)


def final_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures over all images and over those without a copy in training, with their intervals.

    >>> final_figures({"split": "test", "all": {"mcc": 0.8, "mcc_ci": [0.7, 0.9]}, "clean": None})
    {'test/mcc': 0.8, 'test/mcc_low': 0.7, 'test/mcc_high': 0.9}
    """
    found: dict[str, float] = {}
    for images, at in (("all", ""), ("clean", "clean/")):
        for name, value in (metrics[images] or {}).items():
            key = f"{metrics['split']}/{at}{name}"
            if name.endswith("_ci") and value:
                low, high = value
                own = key.removesuffix("_ci")
                found |= {f"{own}_low": float(low), f"{own}_high": float(high)}
            elif isinstance(value, int | float) and not math.isnan(value):
                found[key] = float(value)
    return found


def check_tracker(section: Mapping[str, Any] | None) -> None:
    """Raises ConfigError on a tracker that does not exist or is not installed."""
    name = typed(TrackerSettings, section or {}, "tracker").name
    if name != "none" and find_spec(name) is None:
        raise ConfigError(
            f"tracker={name} needs the package {name}; install it: "
            f"pip install 'braintumor[{name}]', or leave it out: tracker=none"
        )


@contextmanager
def open_trackers(run: RunFolder, settings: Mapping[str, Any]) -> Iterator[Trackers]:
    """The trackers of a run: that of `tracker`, and event files under train.tensorboard.

    settings: all of the run, which they are told. A run that goes on goes on there too.
    """
    asked = typed(TrackerSettings, settings.get("tracker") or {}, "tracker")
    names = {asked.name} | ({"tensorboard"} if settings["train"]["tensorboard"] else set())
    trackers = Trackers({})
    for name in sorted(names - {"none"}):
        try:
            trackers.working[name] = ADAPTERS[name](run, asked.project, without_names(settings))
        except Exception as error:
            _warn(name, error)
    state: State = "failed"
    before = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        # of a full disk a tracker's thread tells who calls it next, too
        if not type(failed.thread).__module__.startswith("tensorboard"):
            before(failed)

    threading.excepthook = hook
    try:
        yield trackers
        state = "completed"
    except (KeyboardInterrupt, SystemExit):
        state = "interrupted"
        raise
    finally:
        trackers.end(state)
        threading.excepthook = before


def _warn(name: str, error: Exception) -> None:
    reason = " ".join(str(error).split()) or type(error).__name__
    log.warning("tracker %s has failed (%.200s); the run goes on without it", name, reason)
