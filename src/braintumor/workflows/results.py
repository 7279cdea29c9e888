"""What a workflow gives back: folders on disk, whose tables are read when they are asked for."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from braintumor.errors import CheckpointError, DataError, some
from braintumor.files import read_json
from braintumor.report.texts import rate
from braintumor.runs.folder import RunFolder
from braintumor.runs.history import read_history
from braintumor.runs.kinds import EvaluationFile, TuningFile
from braintumor.runs.metrics_file import read_metrics

if TYPE_CHECKING:
    from braintumor.models.ensemble import Network

_SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc")


@dataclass(frozen=True)
class _OnDisk:
    """What a workflow has left in a folder."""

    folder: Path


class EvaluationResult(_OnDisk):
    """One evaluation on disk. folder: eval/<split> of a run, or another."""

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: "all" (every image), "clean" (without copies in training), and more."""
        return read_metrics(self.folder)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv: a row an image with path, true, pred, prob_<class> and decisions."""
        return _read(self.folder / EvaluationFile.PREDICTIONS, texts=("path", "true", "pred"))

    @property
    def report(self) -> Path:
        """The page for people, one file."""
        return self.folder / EvaluationFile.REPORT

    def __repr__(self) -> str:
        known = {k: v for k, v in self.metrics["all"].items() if k in _SHOWN and v is not None}
        parts = [f"{name} {rate(known[name])}" for name in _SHOWN if name in known]
        return f"{self.folder}: {self.metrics['split']}, n={self.metrics['n']}: {', '.join(parts)}"

    def _repr_html_(self) -> str:
        """For a notebook: figures over all and over clean images, and where the report is."""
        rows = {"all images": self.metrics["all"], "without copies": self.metrics["clean"]}
        table = pd.DataFrame(
            {
                name: {"n": figures.get("n", self.metrics["n"])} | {k: figures[k] for k in _SHOWN}
                for name, figures in rows.items()
                if figures
            }
        ).T.astype({"n": int})
        text = table.to_html(float_format=rate, na_rep="–")
        return f"{text}<p>report: <code>{html.escape(str(self.report))}</code></p>"


class Run(_OnDisk):
    """One training on disk, or several of them: the folds and seeds of one command."""

    @property
    def _paths(self) -> RunFolder:
        return RunFolder(self.folder)

    @property
    def status(self) -> dict[str, Any]:
        """status.json: how it ended, with model, data and seed."""
        return self._paths.read_status()

    @property
    def trials(self) -> list[Run]:
        """The runs of its folds and seeds, in order; [] when it is one run."""
        return [Run(part.path) for part in self._paths.parts]

    @property
    def summary(self) -> pd.DataFrame:
        """Of several trials: each figure of each trial, their mean and standard deviation.

        Raises DataError where there is one run, or not all of them have ended.
        """
        path = self.folder / "summary.csv"
        if not path.is_file():
            raise DataError(f"{self.folder} has no summary; figures of one run are in .metrics")
        return _read(path)

    @property
    def evaluation(self) -> EvaluationResult:
        """On the test split; of folds, all of them pooled.

        Raises DataError where there is none.
        """
        for path in map(self._paths.evaluation, ("test", "pooled")):
            if (path / EvaluationFile.METRICS).is_file():
                return EvaluationResult(path)
        status = self.status.get("status", "unknown")
        if status != "completed":
            raise DataError(f"{self.folder} has no evaluation; it is {status}")
        if self.trials:
            raise DataError(
                f"{self.folder} holds {some(len(self.trials), 'trial')}, each with figures of "
                "its own; see .summary, or .trials[0].metrics"
            )
        raise DataError(f"{self.folder} has no evaluation: the data has no test split")

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json of its evaluation: metrics["all"]["accuracy"]."""
        return self.evaluation.metrics

    @property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv of its evaluation: a row an image."""
        return self.evaluation.predictions

    @property
    def report(self) -> Path:
        """report.html of its evaluation."""
        return self.evaluation.report

    @property
    def history(self) -> pd.DataFrame:
        """metrics.csv: a row an epoch."""
        if self.trials:
            raise DataError(
                f"{self.folder} holds {some(len(self.trials), 'trial')}; see .trials[0].history"
            )
        if not self._paths.history.is_file():
            raise CheckpointError(f"{self.folder} has no metrics.csv: no epoch of it has ended")
        return read_history(self._paths.history)

    def model(self) -> Network:
        """The network with its best weights, in evaluation mode on the CPU; of folds, of all."""
        import torch  # which tables do not need

        from braintumor.runs.checkpoint import find_checkpoint
        from braintumor.runs.ensemble import load_network

        return load_network(find_checkpoint(self.folder), torch.device("cpu"))[0]

    def __repr__(self) -> str:
        status = self.status
        about = f"{status.get('model_name')} on {status.get('data_name')}, {status.get('status')}"
        trials = f", {some(len(self.trials), 'trial')}" if self.trials else ""
        return f"Run({str(self.folder)!r}): {about}{trials}"

    def _repr_html_(self) -> str:
        try:
            shown = self.evaluation._repr_html_()
        except DataError as error:
            shown = f"<p>{html.escape(str(error))}</p>"
        return f"<p>{html.escape(repr(self))}</p>{shown}"


class TuningResult(_OnDisk):
    """A search for settings on disk."""

    @property
    def trials(self) -> pd.DataFrame:
        """trials.csv: a row a trial, with its settings and what they scored on validation."""
        return _read(self.folder / TuningFile.TRIALS)

    @cached_property
    def best(self) -> dict[str, Any]:
        """The best trial: trial, metric, value, settings (key -> value) and the command."""
        return read_json(self.folder / TuningFile.BEST)

    @property
    def page(self) -> Path:
        """The page for people, one file."""
        return self.folder / TuningFile.PAGE

    @property
    def run(self) -> Run | None:
        """The training with the best settings, of tune.final=true."""
        run = Run(self.folder / TuningFile.FINAL)
        return run if run.status else None


class ComparisonResult(_OnDisk):
    """A comparison on disk."""

    @property
    def leaderboard(self) -> pd.DataFrame:
        """leaderboard.csv: a row a configuration, its seeds taken together, the best first."""
        return _read(self.folder / "leaderboard.csv")

    @property
    def runs(self) -> pd.DataFrame:
        """comparison.csv: a row a run."""
        return _read(self.folder / "comparison.csv")

    @property
    def pairs(self) -> pd.DataFrame:
        """pairs.csv: a row a pair of configurations, with differences and p values."""
        return _read(self.folder / "pairs.csv")

    @property
    def page(self) -> Path:
        """The page for people, one file."""
        return self.folder / "comparison.html"


class CrossDatasetResult(_OnDisk):
    """A matrix of checkpoints and data sets on disk."""

    @property
    def table(self) -> pd.DataFrame:
        """matrix.csv: a row a pair of checkpoint and data set."""
        return _read(self.folder / "matrix.csv")


def _read(table: Path, texts: Sequence[str] = ()) -> pd.DataFrame:
    """Only what is empty is missing, and of texts nothing: a class may be called NA, or 0.

    Raises CheckpointError where it is missing or damaged.
    """
    dtype, missing = dict.fromkeys(texts, str), None if texts else [""]
    try:
        return pd.read_csv(table, dtype=dtype, keep_default_na=False, na_values=missing)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{table} cannot be read ({error}); write it again") from error
