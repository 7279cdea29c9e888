"""Files of a run that were edited, damaged or mixed up: a sentence with the file, or no difference.

Never another result in silence.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from braintumor.comparison.aggregate import read_own_metrics
from braintumor.comparison.leaderboard import runs_table
from braintumor.comparison.read import read_runs
from braintumor.data.manifest import read_manifest, write_manifest
from braintumor.errors import BraintumorError, CheckpointError
from braintumor.ranges import Within
from braintumor.runs.folder import RunFolder
from braintumor.runs.history import read_rows
from braintumor.workflows import fit
from support import QUICK, Command, cut, train


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunFolder:
    """A copy of a complete run."""
    return RunFolder(Path(shutil.copytree(trained, tmp_path / "run")))


def edit(run: RunFolder, key: str, value: Any = None, *, remove: bool = False) -> None:
    """Another value in config.yaml, or none."""
    settings = yaml.safe_load(run.config.read_text())
    *above, name = key.split(".")
    section = settings
    for each in above:
        section = section[each]
    if remove:
        del section[name]
    else:
        section[name] = value
    run.config.write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize(
    "key", ["train.batch_size", "eval.views", "model.backbone.lr_scale", "data.fit", "train.phases"]
)
def test_a_setting_that_is_gone_is_named_with_its_file(run: RunFolder, key: str) -> None:
    cut(run.path, epochs=True)
    edit(run, key, remove=True)
    with pytest.raises(BraintumorError, match=rf"`{key}` is not set.*config\.yaml|config\.yaml"):
        train(f"resume={run.path}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("model.head.dropout", 0.9), ("data.image_size", 16), ("data.fit", "pad"), ("seeds", [1, 2]),
     ("folds", 2), ("seed", 5), ("eval.cam", "x"), ("data.root", 5)],
)  # fmt: skip
def test_a_run_goes_on_under_no_other_settings(run: RunFolder, key: str, value: object) -> None:
    """Model and images too: each would have given another result without a word."""
    cut(run.path, epochs=True)
    edit(run, key, value)
    with pytest.raises(BraintumorError, match=r"config\.yaml"):
        train(f"resume={run.path}")


def move(run: RunFolder, split: str, other: str) -> None:
    """The first image of a split into another one, in manifest.csv."""
    table = read_manifest(run.manifest)
    table.loc[table.index[table["split"] == split][0], "split"] = other
    write_manifest(run.manifest, table)


@pytest.mark.parametrize(("split", "other"), [("test", "train"), ("train", "test")])
def test_splits_that_were_edited_are_refused(
    run: RunFolder, split: str, other: str, bt: Command, tmp_path: Path
) -> None:
    """Else images of the training would pass for test images, or test images be trained on."""
    move(run, split, other)
    said = bt("eval", f"ckpt={run.path}", cwd=tmp_path, code=2).stderr
    assert "manifest.csv has other training images" in said
    cut(run.path, epochs=True)
    with pytest.raises(CheckpointError, match=r"images\.train.*manifest\.csv"):
        train(f"resume={run.path}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", "x"), ("seed", [1]), ("seed", 10**19), ("seed", 10**400), ("parameters", "x"),
     ("seconds", "x"), ("best_epoch", 1.5)],
)  # fmt: skip
def test_a_status_of_another_kind_is_refused(run: RunFolder, key: str, value: object) -> None:
    """A comparison would put it into a table of numbers."""
    run.status.write_text(json.dumps(run.read_status() | {key: value}))
    with pytest.raises(CheckpointError, match=rf"status\.json is damaged.*{key}"):
        run.read_status()


@pytest.mark.parametrize(
    ("key", "value"), [("command", None), ("command", [1]), ("versions", []),
                       ("working_directory", 5)],
)  # fmt: skip
def test_an_environment_of_another_kind_is_refused(run: RunFolder, key: str, value: object) -> None:
    """A report would put it into its command."""
    run.environment.write_text(json.dumps(run.read_environment() | {key: value}))
    with pytest.raises(CheckpointError, match=rf"environment\.json is damaged.*{key}"):
        run.read_environment()


def _swapped(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"val_accuracy": "images_per_s", "images_per_s": "val_accuracy"})


@pytest.mark.parametrize("change", [_swapped, lambda table: table.assign(val_accuracy=7.0)])
def test_shares_that_are_none_are_no_history(
    run: RunFolder, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    change(pd.read_csv(run.history)).to_csv(run.history, index=False)
    with pytest.raises(CheckpointError, match=r"metrics\.csv is damaged.*val_accuracy"):
        read_rows(run.history)


def _cell(table: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    table.loc[0, column] = value
    return table


_OTHER = {"no_tumor": "glioma"}
EDITS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "an answer": lambda t: _cell(t, "pred", _OTHER.get(t["pred"][0], "no_tumor")),
    "a class": lambda t: _cell(t, "true", _OTHER.get(t["true"][0], "no_tumor")),
    "a probability": lambda t: _cell(t, f"prob_{t['true'][0]}", 0.5001),
    "a row less": lambda t: t.iloc[1:],
    "known from training": lambda t: _cell(t, "in_training", "true"),
}


@pytest.mark.parametrize("what", EDITS)
def test_predictions_that_were_edited_are_compared_with_nobodys(run: RunFolder, what: str) -> None:
    path = run.evaluation("test") / "predictions.csv"
    EDITS[what](pd.read_csv(path, dtype={"in_training": str})).to_csv(path, index=False)
    with pytest.raises(CheckpointError, match=r"predictions\.csv does not belong to metrics\.json"):
        _ = read_runs([run.path], "test")[0].evaluated
    with pytest.raises(CheckpointError, match=r"bt-eval ckpt=.* split=test overwrite=true"):
        read_own_metrics(run.evaluation("test"))


@pytest.mark.parametrize(
    ("block", "name"),
    [("all", "accuracy"), ("all", "n"), ("all", "loss"), ("all", "mcc"), ("clean", "macro_f1")],
)
def test_figures_that_were_edited_are_no_row_of_a_leaderboard(
    run: RunFolder, block: str, name: str
) -> None:
    path = run.evaluation("test") / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics[block][name] += 0.001
    path.write_text(json.dumps(metrics))
    with pytest.raises(
        CheckpointError, match=rf"{block}\.{name} is .* there, and .* of these rows"
    ):
        _ = read_runs([run.path], "test")[0].evaluated


def test_a_history_that_is_not_that_of_the_weights_ranks_no_run(run: RunFolder) -> None:
    runs_table(read_runs([run.path], "test"))
    table = pd.read_csv(run.history)
    table.assign(val_macro_f1=table["val_macro_f1"] / 2 + 0.01).to_csv(run.history, index=False)
    with pytest.raises(CheckpointError, match=r"metrics\.csv .*val_macro_f1 of the best epoch"):
        runs_table(read_runs([run.path], "test"))


def test_an_evaluation_asks_no_former_one(
    bt: Command, run: RunFolder, tmp_path: Path, no_drawings: None
) -> None:
    """Whatever was made of its files, the checkpoint answers for itself."""
    written = (run.evaluation("test") / "predictions.csv").read_bytes()
    for name in ("predictions.csv", "metrics.json", "floor_answers.csv"):
        (run.evaluation("test") / name).write_text("edited")
    bt("eval", f"ckpt={run.path}", "run_dir=out", "eval.heatmaps=0", cwd=tmp_path, code=0)
    assert (tmp_path / "out/predictions.csv").read_bytes() == written


def test_a_completed_state_and_status_in_a_run_that_was_cut_off_end_it_well(
    run: RunFolder, trained: Path
) -> None:
    """Whoever put them there: it is not complete until it has been evaluated."""
    cut(run.path, epochs=True)
    run.set_status("completed")
    assert run.is_complete and not run.is_over
    train(f"resume={run.path}")
    assert run.is_over
    one, other = (
        folder.evaluation("test") / "predictions.csv" for folder in (run, RunFolder(trained))
    )
    assert one.read_bytes() == other.read_bytes()


def test_parts_are_not_taken_for_one_run(run: RunFolder) -> None:
    cut(run.path, epochs=True)
    run.set_status("interrupted", parts=["fold_0", "fold_1"])
    with pytest.raises(CheckpointError, match=r"config\.yaml asks for one run"):
        train(f"resume={run.path}")


def test_a_number_of_any_length_is_compared() -> None:
    assert 10**400 not in Within(0, 5)
    assert 10**400 in Within()


WORDS = [
    *QUICK,
    "train.phases=[{epochs: 2, trainable: all}]",
    "train.epochs=2",
    "train.max_epochs=2",
    "run_dir=run",
]


@pytest.mark.parametrize("moved", [True, False])
def test_a_run_that_is_moved_while_it_trains_says_so_and_is_whole_there(
    moved: bool, bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_drawings: None
) -> None:
    """Nothing is written into a second folder of its name, and metrics.csv is not called damaged.

    A metrics.csv that is removed comes back.
    """
    tell = fit.describe_epoch

    def then(*given: Any) -> None:
        tell(*given)
        if given[0].epoch == 1 and moved:
            (tmp_path / "run").rename(tmp_path / "there")
        elif given[0].epoch == 1:
            (tmp_path / "run" / "metrics.csv").unlink()

    with monkeypatch.context() as patch:
        patch.setattr(fit, "describe_epoch", then)
        said = bt("train", *WORDS, cwd=tmp_path, code=3 if moved else 0).stderr
    if moved:
        assert "run has been moved or removed" in said and not (tmp_path / "run").exists()
        bt("train", "resume=there", cwd=tmp_path, code=0)
    assert len(read_rows(tmp_path / ("there" if moved else "run") / "metrics.csv")) == 2
