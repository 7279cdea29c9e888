"""Folds and seeds: every part an ordinary run, one folder, one summary; all of it resumable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from braintumor.comparison.leaderboard import runs_table
from braintumor.comparison.read import read_runs
from braintumor.data.manifest import COLUMNS, Patients, write_manifest
from braintumor.errors import (
    BraintumorError,
    CheckpointError,
    ConfigError,
    DataError,
    TrainingError,
)
from braintumor.evaluation.record import Evaluation, Leakage, assess
from braintumor.records import Predictions
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import EVALUATION, RUN
from braintumor.runs.ownership import hold
from braintumor.workflows import summary
from braintumor.workflows import train as repeats
from braintumor.workflows.arguments import Request
from braintumor.workflows.compose import compose
from braintumor.workflows.train import has_trials, list_trials
from support import TINY, train

_WHOLE = compose("train", ("data=table", "data.table=some.csv"), {}).settings
SETTINGS: dict[str, Any] = {
    "seed": 0, "split": "grouped", "folds": None, "seeds": None, "fold": None, "device": "auto",
    "run_dir": "parent", "overwrite": False, "resume": None,
    "data": _WHOLE["data"], "augment": {}, "optimizer": {"name": "adamw"},
    "scheduler": {"name": "constant"}, "loss": {"name": "focal"},
    "model": {
        "backbone": {"name": "cnn", "image_size": 32, "lr_scale": 1.0},
        "attention": {"name": "se"}, "head": {},
    },
    "train": _WHOLE["train"], "features": {}, "eval": {}, "decision": {},
}  # fmt: skip
OVERRIDES = ("split=grouped", "folds=3")
ABOUT = SimpleNamespace(model_name="m", data_name="d", epoch=1, parameters=1, settings=SETTINGS)


def names_of(**settings: Any) -> list[str]:
    return [part.name for part in list_trials(SETTINGS | settings)]


class Trainings:
    """Stands in for training: notes what it was called with, and leaves what a run leaves."""

    def __init__(self) -> None:
        self.calls: list[Request] = []
        self.prepared: list[Any] = []
        self.errors: dict[str, BaseException] = {}

    @property
    def names(self) -> list[str]:
        return [Path(own["run_dir"]).name for own in (call.settings for call in self.calls)]

    def __call__(self, request: Request, prepared: Any) -> None:
        self.calls.append(request)
        self.prepared.append(prepared)
        own = request.settings
        run = RunFolder(Path(own["run_dir"]))
        with hold(run.path, RUN, "replace"), hold(run.evaluation("test"), EVALUATION, "replace"):
            self.leave(run, own)

    def leave(self, run: RunFolder, own: dict[str, Any]) -> None:
        if run.path.name in self.errors:
            raise self.errors[run.path.name]
        run.config.write_text(yaml.safe_dump(own))
        folder = run.evaluation("test")
        paths = [f"{own['fold']}/{i}.png" for i in range(4)]
        right = min(4, 2 + (own["fold"] or 0))
        answers = ["a"] * right + ["b"] * (4 - right)
        table = pd.DataFrame(
            {"path": paths, "true": "a", "pred": answers, "prob_a": 0.9, "prob_b": 0.1}
        )
        table.to_csv(folder / "predictions.csv", index=False)
        images = [f"{fold}/{i}.png" for fold in range(own["folds"] or 1) for i in range(4)]
        manifest = pd.DataFrame({"path": images}, columns=COLUMNS)
        # the first two images of a fold belong together, the others stand alone
        groups = [path[0] if path[2] in "01" else None for path in images]
        write_manifest(run.manifest, manifest.assign(group=groups, width=1, height=1))
        figures = {"accuracy": right / 4, "n": 4}
        (folder / "metrics.json").write_text(json.dumps({"all": figures, "clean": None}))
        run.set_status("completed", best_epoch=1)


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """Commands run in tmp_path; training, its checks and the evidence are stood in for."""

    found: dict[str, Any] = {}

    def write_names(evaluation: Evaluation, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "groups.txt").write_text(" ".join(map(str, found["groups"])))
        (folder / "paths.txt").write_text("\n".join(evaluation.predictions.paths))

    def measured(predictions: Predictions, split: str, leakage: Leakage) -> Evaluation:
        assert leakage.patients is not None and leakage.groups is not None
        patients = Patients(images=len(predictions), known=0, patients=0)
        assert leakage.patients.evaluated == patients
        found["groups"] = leakage.groups
        figures = {"n": len(predictions), "accuracy": 0.75}
        return Evaluation(split, predictions, figures, assess(predictions, Leakage()))

    monkeypatch.chdir(tmp_path)
    stand_in = Trainings()
    monkeypatch.setattr(repeats, "train_one", stand_in)
    monkeypatch.setattr(repeats, "setup", lambda settings, data_name: (settings["fold"], data_name))
    monkeypatch.setattr(summary, "read_card", lambda path: ABOUT)
    monkeypatch.setattr(summary, "write", write_names)
    monkeypatch.setattr(summary, "measure", measured)
    return stand_in


def start(sweep_folder: Path | None = None, **settings: Any) -> Path:
    asked = SETTINGS | {"folds": 3} | settings
    repeats.cross_validate(Request(asked, {"data": "table"}, OVERRIDES, sweep_folder))
    return sweep_folder or Path("parent")


def resume(path: str = "parent", *overrides: str, **settings: Any) -> None:
    asked = SETTINGS | {"resume": path} | settings
    repeats.cross_validate(Request(asked, {"data": "phantom"}, (f"resume={path}", *overrides)))


def status_of(folder: Path) -> dict[str, Any]:
    return RunFolder(folder).read_status()


def pooled_paths(folder: Path) -> list[str]:
    return (folder / "paths.txt").read_text().split("\n")


def test_parts_are_the_folds_of_each_seed() -> None:
    assert names_of(folds=2) == ["fold_0", "fold_1"]
    assert names_of(seeds=[3, 0]) == ["seed_3", "seed_0"]
    assert names_of(folds=2, seeds=[3, 0]) == [
        "seed_3_fold_0", "seed_3_fold_1", "seed_0_fold_0", "seed_0_fold_1",
    ]  # fmt: skip
    parts = list_trials(SETTINGS | {"folds": 2, "seeds": [3, 0]})
    assert [(part.seed, part.fold) for part in parts] == [(3, 0), (3, 1), (0, 0), (0, 1)]
    assert [part.seed for part in list_trials(SETTINGS | {"folds": 2, "seed": 7})] == [7, 7]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "`folds=1` should be 2 or more"),
        ({"folds": True}, "folds=True"),
        ({"folds": "five"}, "folds=five"),
        ({"seeds": []}, r"seeds=\[\] should be whole numbers"),
        ({"seeds": 3}, r"such as seeds=\[0,1,2\]"),
        ({"seeds": [0, 1.5]}, "seeds="),
        ({"seeds": [0, 1, 0]}, r"seeds=\[0, 1, 0\] should be whole numbers, each once"),
        ({"seeds": [0, 1], "fold": 0, "folds": 2}, "fold=0 is one run"),
    ],
)
def test_folds_and_seeds_that_make_no_sense_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        list_trials(SETTINGS | settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, False), ({"folds": 3}, True), ({"seeds": [0]}, True), ({"folds": 3, "fold": 1}, False),
     ({"seeds": [0], "folds": 3, "fold": 1}, True)],
)  # fmt: skip
def test_a_run_that_names_its_fold_is_an_ordinary_run(
    tmp_path: Path, settings: dict[str, Any], expected: bool
) -> None:
    assert has_trials(SETTINGS | settings) == expected
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(SETTINGS | settings))
    assert has_trials(SETTINGS | {"resume": str(tmp_path)}) == expected


def test_each_fold_is_a_run_of_its_own_and_all_are_pooled(trainings: Trainings) -> None:
    parent = start()
    assert trainings.names == ["fold_0", "fold_1", "fold_2"]
    assert trainings.prepared == [(0, "table"), None, None]  # read once
    for i, call in enumerate(trainings.calls):
        own = call.settings
        assert (own["folds"], own["fold"], own["seeds"], own["resume"]) == (3, i, None, None)
        assert (call.choices, call.overrides) == ({"data": "table"}, OVERRIDES)
    assert pooled_paths(parent / "eval/pooled") == [
        f"{f}/{i}.png" for f in range(3) for i in range(4)
    ]
    summary = json.loads((parent / "summary.json").read_text())
    assert summary["mean"]["accuracy"] == pytest.approx(0.75)  # of 0.5, 0.75 and 1
    assert summary["std"]["accuracy"] == pytest.approx(0.25)
    assert summary["pooled"] == pytest.approx({**summary["pooled"], "n": 12, "accuracy": 0.75})
    assert status_of(parent)["status"] == "completed"
    assert yaml.safe_load((parent / "config.yaml").read_text())["folds"] == 3


def test_pooled_figures_know_which_images_belong_together(trainings: Trainings) -> None:
    folder = start() / "eval" / "pooled"
    assert pooled_paths(folder)[:4] == ["0/0.png", "0/1.png", "0/2.png", "0/3.png"]
    assert (folder / "groups.txt").read_text() == "0 0 1 2 3 3 4 5 6 6 7 8"
    assert "Patients are not known: " in (folder.parents[1] / "summary.md").read_text()


def test_seeds_are_summarised_and_not_pooled(trainings: Trainings) -> None:
    parent = start(folds=None, seeds=[4, 2])
    assert [call.settings["seed"] for call in trainings.calls] == [4, 2]
    assert [call.settings["fold"] for call in trainings.calls] == [None, None]
    assert not (parent / "eval").exists()
    assert "pooled" not in json.loads((parent / "summary.json").read_text())


def test_folds_are_pooled_within_each_seed(trainings: Trainings) -> None:
    parent = start(folds=2, seeds=[4, 2])
    for seed in (4, 2):
        assert len(pooled_paths(parent / f"eval/pooled_seed_{seed}")) == 8


def test_a_failing_fold_does_not_end_the_others_and_nothing_is_pooled(
    trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings.errors = {"fold_0": DataError("no"), "fold_1": RuntimeError("a bug")}
    with pytest.raises(
        TrainingError, match=r"2 of 3 parts failed \(fold_0, fold_1\).*resume=parent"
    ):
        start()
    parent = Path("parent")
    assert trainings.names == ["fold_0", "fold_1", "fold_2"]
    assert status_of(parent / "fold_0")["why"] == "DataError: no"
    assert not (parent / "fold_0/traceback.txt").exists()
    assert "a bug" in (parent / "fold_1/traceback.txt").read_text()
    assert status_of(parent)["status"] == "failed"
    assert not (parent / "eval").exists()
    summary = json.loads((parent / "summary.json").read_text())
    assert summary["parts"]["fold_0"]["accuracy"] is None
    assert summary["mean"]["accuracy"] == pytest.approx(1.0)
    assert "fold_0, fold_1" in summary["notes"][-1]

    trainings.errors, trainings.calls = {}, []
    resume()
    assert trainings.names == ["fold_0", "fold_1"]
    assert len(pooled_paths(parent / "eval/pooled")) == 12
    assert status_of(parent)["status"] == "completed"


def test_all_parts_failing_is_one_sentence(trainings: Trainings) -> None:
    trainings.errors = {f"fold_{i}": DataError("no") for i in range(3)}
    with pytest.raises(TrainingError, match="3 of 3 parts failed"):
        start()


def test_resume_runs_what_is_missing_as_the_first_command_would_have(trainings: Trainings) -> None:
    parent = start()
    shutil.rmtree(parent / "fold_1")
    trainings.calls = []
    resume("parent", "device=cpu", device="cpu")
    assert trainings.names == ["fold_1"]
    (call,) = trainings.calls
    own = call.settings
    assert (own["fold"], own["resume"], own["device"]) == (1, None, "cpu")
    assert (call.choices, call.overrides) == ({"data": "table"}, OVERRIDES)
    assert len(pooled_paths(parent / "eval/pooled")) == 12


def test_an_interrupted_part_is_resumed_and_a_torn_start_begins_anew(trainings: Trainings) -> None:
    trainings.errors = {"fold_1": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        start()
    parent = Path("parent")
    assert status_of(parent)["status"] == "interrupted"
    assert not (parent / "summary.csv").exists()
    trainings.errors, trainings.calls = {}, []
    with hold(parent / "fold_1", RUN):
        (parent / "fold_1/last.ckpt").touch()  # some epochs were done
    with hold(parent / "fold_2", RUN):
        (parent / "fold_2/config.yaml").touch()  # none was
    resume()
    first, second = trainings.calls
    one, two = first.settings, second.settings
    assert (one["run_dir"], one["resume"]) == ("parent/fold_1", "parent/fold_1")
    assert first.overrides == ("resume=parent",)  # which take_over lets pass
    assert (two["run_dir"], two["resume"]) == ("parent/fold_2", None)


def test_a_complete_parent_has_nothing_to_resume(trainings: Trainings) -> None:
    start()
    with pytest.raises(CheckpointError, match=r"complete.*parent/summary\.md"):
        resume()
    assert status_of(Path("parent"))["status"] == "completed"


def test_resume_with_other_settings_is_refused(trainings: Trainings) -> None:
    trainings.errors = {"fold_1": DataError("no")}
    with pytest.raises(TrainingError):
        start()
    trainings.calls = []
    with pytest.raises(ConfigError, match="folds=4 would be ignored"):
        resume("parent", "folds=4")
    assert not trainings.calls


def test_refused_input_leaves_everything_as_it_was(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settings: dict[str, Any], data_name: str) -> None:
        raise DataError("no images")

    monkeypatch.setattr(repeats, "setup", refuse)
    with pytest.raises(DataError, match="no images"):
        start()
    with pytest.raises(DataError, match="no images"):
        start(run_dir=None)
    assert not list(Path().iterdir())


def test_a_new_start_replaces_the_former_parts_and_keeps_foreign_files(
    trainings: Trainings,
) -> None:
    parent = start(folds=4)
    (parent / "notes").mkdir()
    (parent / "summary.docx").touch()
    trainings.calls = []
    with pytest.raises(ConfigError, match=r"parent holds .*\(completed\).*overwrite=true"):
        start(folds=2)
    assert not trainings.calls
    start(folds=2, overwrite=True)
    assert trainings.names == ["fold_0", "fold_1"]
    assert sorted(path.name for path in parent.glob("fold_*")) == ["fold_0", "fold_1"]
    assert (parent / "notes").is_dir()
    assert (parent / "summary.docx").is_file()


def test_the_parent_is_the_job_folder_of_a_sweep_or_named_for_its_parts(
    trainings: Trainings, tmp_path: Path
) -> None:
    start(tmp_path / "sweep" / "0", run_dir=None)
    assert [call.settings["run_dir"] for call in trainings.calls] == [
        str(tmp_path / "sweep" / "0" / f"fold_{i}") for i in range(3)
    ]
    start(run_dir=None, seeds=[0, 1])
    (made,) = Path("runs").iterdir()
    assert made.name.endswith("_table_cnn_se_2seeds_3fold")


def test_a_seed_beside_seeds_is_refused(trainings: Trainings) -> None:
    words = ("seed=3", "seeds=[0,1]")
    with pytest.raises(BraintumorError, match="leaves seed=… without use"):
        repeats.cross_validate(Request(SETTINGS | {"seeds": [0, 1]}, {"data": "table"}, words))


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_two_folds_from_data_to_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Trained, one part deleted, resumed to the same predictions, and compared."""
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO"):
        train(*TINY, "split=grouped", "folds=2", "eval.examples=0", "run_dir=parent")
    parent = tmp_path / "parent"
    assert caplog.messages[-1] == "report: parent/eval/pooled/report.html"
    pooled = pd.read_csv(parent / "eval/pooled/predictions.csv")
    manifest = pd.read_csv(parent / "fold_0/manifest.csv")
    assert sorted(pooled["path"]) == sorted(manifest["path"])  # every image once
    parts = [json.loads((parent / f"fold_{i}/eval/test/metrics.json").read_text()) for i in (0, 1)]
    whole = json.loads((parent / "eval/pooled/metrics.json").read_text())
    counts = [part["n"] for part in parts]
    expected = np.average([part["all"]["accuracy"] for part in parts], weights=counts)
    assert whole["all"]["accuracy"] == pytest.approx(expected)
    assert whole["n"] == sum(counts) == len(manifest)
    floors = [pd.read_csv(parent / f"fold_{i}/eval/test/floors.csv", index_col=0) for i in (0, 1)]
    right = sum(floor["accuracy"] * count for floor, count in zip(floors, counts, strict=True))
    best = (right / sum(counts)).max()
    assert whole["floor"]["accuracy"] == pytest.approx(best)
    errors = pd.read_csv(parent / "eval/pooled/errors.csv")
    assert len(errors) == (pooled["true"] != pooled["pred"]).sum() > 0
    group = manifest.set_index("path")["group"]
    assert errors["group"].tolist() == group[errors["path"]].tolist()
    assert "best floor" in (parent / "eval/pooled/report.html").read_text()

    shutil.rmtree(parent / "fold_1")
    train("resume=parent")
    table = pd.read_csv(parent / "eval/pooled/predictions.csv")
    pd.testing.assert_frame_equal(table, pooled)
    table = runs_table(read_runs([parent], "pooled"))
    assert table["accuracy"].tolist() == pytest.approx([expected])
    runs = read_runs([parent / "fold_0", parent / "fold_1"], "test")
    assert runs_table(runs)["n"].tolist() == counts
