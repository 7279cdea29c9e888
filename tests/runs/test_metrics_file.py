"""metrics.json at its door: figures, or a sentence with the name of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from braintumor.comparison.read import read_runs
from braintumor.errors import CheckpointError
from braintumor.runs.metrics_file import read_metrics
from braintumor.workflows.results import Run

FIGURES = {"accuracy": 0.5, "accuracy_ci": [0.4, 0.6], "auroc": None, "n": 4, "per_class": {}}


def write(folder: Path, metrics: Any) -> Path:
    """A run whose evaluation on test has these figures."""
    evaluation = folder / "eval/test"
    evaluation.mkdir(parents=True)
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    (folder / "status.json").write_text('{"status": "completed"}')
    return evaluation


def test_figures_that_are_not_defined_are_null(tmp_path: Path) -> None:
    metrics = {"all": FIGURES, "clean": None, "floor": {"name": "rim", "accuracy": 0.4}, "n": 4}
    assert read_metrics(write(tmp_path, metrics)) == metrics
    assert read_runs([tmp_path], "test")[0].metrics == metrics


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([], "mapping"),
        ({"all": [1]}, "all is no mapping"),
        ({"clean": "x"}, "clean is no mapping"),
        ({"floor": 0.9}, "floor is no mapping"),
        ({"all": {"accuracy": "0.5"}}, "all.accuracy is '0.5'"),
        ({"all": {"accuracy": True}}, "all.accuracy is 'True'"),
        ({"all": {"accuracy": [0.5]}}, r"all.accuracy is '\[0.5\]'"),
        ({"all": {"n": 10**30}}, "all.n is"),
        ({"clean": {"accuracy_ci": 0.5}}, "clean.accuracy_ci is '0.5'"),
        ({"clean": {"accuracy_ci": [0.5]}}, "clean.accuracy_ci is"),
        ({"clean": {"accuracy_ci": [0.5, None]}}, "clean.accuracy_ci is"),
        ({"floor": {"accuracy": {}}}, "floor.accuracy is"),
    ],
)
def test_what_is_no_figure_is_named_by_every_reader(
    metrics: Any, said: str, tmp_path: Path
) -> None:
    write(tmp_path, metrics)
    for read in (lambda: read_runs([tmp_path], "test"), lambda: Run(tmp_path).metrics):
        with pytest.raises(CheckpointError, match=rf"metrics\.json cannot be read \(.*{said}"):
            read()


@pytest.mark.parametrize("config", ["seed: [1]", "fold: {a: 1}", "data: phantom", "seed: x"])
def test_settings_that_none_has_are_no_bug(config: str, tmp_path: Path) -> None:
    write(tmp_path, {"all": FIGURES})
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(CheckpointError, match=r"config\.yaml cannot be read"):
        read_runs([tmp_path], "test")


def test_tables_from_python_are_named_when_they_are_damaged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (write(tmp_path, {"all": FIGURES}) / "predictions.csv").write_bytes(b"path,true\n\xff,a\n")
    with pytest.raises(CheckpointError, match=r"predictions\.csv cannot be read"):
        _ = run.predictions
    (tmp_path / "metrics.csv").touch()
    assert run.history.empty and "val_loss" in run.history
