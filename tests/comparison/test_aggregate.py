"""Folds pooled into one set of predictions; mean and spread of parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braintumor.comparison.aggregate import (
    pool_baselines,
    pool_folds,
    read_own_metrics,
    summarise,
    summary_lines,
    write_summary,
)
from braintumor.errors import CheckpointError
from braintumor.records import Predictions
from braintumor.statistics.metrics import compute_metrics

MakePredictions = Callable[..., Predictions]


def write_fold(folder: Path, p: Predictions, prefix: str, seen: list[str] | None = None) -> Path:
    """predictions.csv by the contract: path,true,pred,prob_<class>…,[in_training]."""
    names = np.array(p.classes, dtype=object)
    table = pd.DataFrame(p.probs, columns=[f"prob_{name}" for name in p.classes])
    table.insert(0, "path", [prefix + path for path in p.paths])
    table.insert(1, "true", names[p.labels])
    table.insert(2, "pred", names[p.predicted])
    if seen is not None:
        table["in_training"] = seen
    folder.mkdir()
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.9g")
    return folder


def test_pooled_predictions_are_those_of_the_folds(
    tmp_path: Path, make_predictions: MakePredictions
) -> None:
    folds = [make_predictions(n, seed=n) for n in (30, 50)]
    folders = [write_fold(tmp_path / str(i), p, f"{i}/") for i, p in enumerate(folds)]
    pooled, seen = pool_folds(folders)
    assert seen is None
    assert pooled.classes == folds[0].classes
    assert pooled.paths == tuple(f"{i}/{path}" for i, p in enumerate(folds) for path in p.paths)
    assert pooled.labels.tolist() == [k for p in folds for k in p.labels]
    assert (pooled.labels.dtype, pooled.logits.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(pooled.probs, np.vstack([p.probs for p in folds]), atol=1e-6)
    # accuracy of the whole is the mean of the parts, weighted by their images
    own = [compute_metrics(p)["accuracy"] for p in folds]
    expected = (30 * own[0] + 50 * own[1]) / 80
    assert compute_metrics(pooled)["accuracy"] == pytest.approx(expected)


def test_a_probability_of_zero_stays_finite(tmp_path: Path) -> None:
    logits = np.array([[2000.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    p = Predictions(("a", "NA"), ("x", "y"), np.array([1, 1]), logits)
    pooled, _ = pool_folds([write_fold(tmp_path / "0", p, "")])
    assert pooled.probs[0].tolist() == pytest.approx([1.0, 0.0])
    assert np.isfinite(compute_metrics(pooled)["loss"])
    assert pooled.classes == ("a", "NA")  # a class of that name is no missing value


def test_seen_images_are_known_only_if_every_fold_knows(
    tmp_path: Path, make_predictions: MakePredictions
) -> None:
    one, two = make_predictions(2), make_predictions(3)
    folders = [
        write_fold(tmp_path / "0", one, "0", ["true", "false"]),
        write_fold(tmp_path / "1", two, "1", ["false", "false", "true"]),
        write_fold(tmp_path / "2", two, "2"),
    ]
    _, seen = pool_folds(folders[:2])
    assert seen is not None
    assert seen.tolist() == [True, False, False, False, True]
    assert pool_folds(folders)[1] is None


def test_floors_of_the_folds_are_pooled_image_by_image(tmp_path: Path) -> None:
    """A class called NA is a class; the order of the floors is that of the first fold."""
    answers = ({"one": ["a", "NA"], "two": ["a", "a"]}, {"two": ["NA"], "one": ["a"]})
    for i, fold in enumerate(answers):
        folder = tmp_path / str(i)
        folder.mkdir()
        table = pd.DataFrame(fold, index=[f"{i}/{row}" for row in range(len(fold["one"]))])
        table.to_csv(folder / "floor_answers.csv", index_label="path")
        seconds = pd.DataFrame({"seconds": 2.0}, index=list(fold))
        seconds.to_csv(folder / "floors.csv", index_label="floor")
    folders = [tmp_path / "0", tmp_path / "1"]
    found = pool_baselines(folders)
    assert found is not None
    assert found.answers.to_dict("list") == {"one": ["a", "NA", "a"], "two": ["a", "a", "NA"]}
    assert found.answers.index.tolist() == ["0/0", "0/1", "1/0"]
    assert found.seconds.to_dict() == {"one": 4, "two": 4}
    (folders[0] / "floor_answers.csv").unlink()
    assert pool_baselines(folders) is None


def test_an_image_in_two_folds_is_refused(
    tmp_path: Path, make_predictions: MakePredictions
) -> None:
    folders = [write_fold(tmp_path / str(i), make_predictions(4), "") for i in range(2)]
    with pytest.raises(CheckpointError, match="tested in more than one fold"):
        pool_folds(folders)


def test_folds_of_other_classes_are_refused(
    tmp_path: Path, make_predictions: MakePredictions
) -> None:
    one = write_fold(tmp_path / "0", make_predictions(4, classes=("a", "b")), "0")
    two = write_fold(tmp_path / "1", make_predictions(4, classes=("b", "a")), "1")
    with pytest.raises(CheckpointError, match=r"classes b, a, but .* a, b"):
        pool_folds([one, two])


@pytest.mark.parametrize(
    "content", ["", "path,true,pred\nx,a,a\n", "path,true,pred,prob_a\nx,b,a,1\n",
                "path,true,pred,prob_a\nx,a,a,much\n"],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions.csv").write_text(content)
    with pytest.raises(CheckpointError, match=r"predictions\.csv cannot be read"):
        pool_folds([tmp_path])
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"metrics\.json cannot be read"):
        read_own_metrics(tmp_path)
    with pytest.raises(CheckpointError, match=r"metrics\.json is not there"):
        read_own_metrics(tmp_path / "none")


def block(value: float, n: int) -> dict:
    return {"accuracy": value, "balanced_accuracy": value, "macro_f1": value, "auroc": None, "n": n}


PARTS = {
    "fold_0": {"all": block(0.8, 10), "clean": block(0.5, 4), "floor": {"accuracy": 0.4}},
    "fold_1": {"all": block(0.9, 10), "clean": None, "floor": None},
    "fold_2": {"all": block(1.0, 12), "clean": block(0.9, 6), "floor": {"accuracy": 0.6}},
    "fold_3": None,
}


def test_mean_and_spread_are_of_the_parts_that_have_figures() -> None:
    table = summarise(PARTS, {"pooled": {"all": block(0.91, 32), "clean": None}})
    assert table.index.tolist() == [*PARTS, "mean", "std", "min", "max", "pooled"]
    spread = table.loc[["mean", "std", "min", "max"]]
    assert spread["accuracy"].tolist() == pytest.approx([0.9, 0.1, 0.8, 1.0])
    assert spread["clean_accuracy"].tolist() == pytest.approx([0.7, np.sqrt(0.08), 0.5, 0.9])
    assert spread["floor_accuracy"].tolist() == pytest.approx([0.5, np.sqrt(0.02), 0.4, 0.6])
    assert spread[["n", "clean_n", "auroc"]].isna().all(axis=None)
    assert table.loc["fold_3"].isna().all()
    assert (table.loc["pooled", "n"], table.loc["pooled", "accuracy"]) == (32, 0.91)


def test_pooled_sets_of_several_seeds_have_a_mean_of_their_own() -> None:
    pooled = {f"pooled_seed_{s}": {"all": block(v, 20)} for s, v in ((0, 0.7), (1, 0.9))}
    table = summarise({"seed_0_fold_0": PARTS["fold_0"]}, pooled)
    own = table.loc[["pooled_mean", "pooled_std"], "accuracy"].tolist()
    assert own == pytest.approx([0.8, np.sqrt(0.02)])
    assert np.isnan(table.loc["std", "accuracy"])  # one part has no spread


def test_the_summary_says_the_same_in_three_forms(tmp_path: Path) -> None:
    table = summarise(PARTS, {"pooled": {"all": block(0.91, 32)}})
    write_summary(tmp_path, table, list(PARTS), ["four folds"])
    read = pd.read_csv(tmp_path / "summary.csv", index_col="part")
    pd.testing.assert_frame_equal(read, table.astype("float64"), check_dtype=False)
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content["notes"] == ["four folds"]
    assert list(content["parts"]) == list(PARTS)
    assert content["parts"]["fold_0"]["n"] == 10
    assert content["parts"]["fold_3"]["accuracy"] is None
    assert content["mean"]["accuracy"] == pytest.approx(0.9)
    assert content["pooled"]["n"] == 32
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert lines[0] == "four folds"
    assert any(line.startswith("| fold_0 | 10 | 0.8000 |") for line in lines)


def test_lines_say_mean_spread_and_pooled_of_all_and_clean() -> None:
    lines = summary_lines(summarise(PARTS, {"pooled": {"all": block(0.91, 32)}}), ["pooled"])
    figures = (
        "all 0.900 ± 0.100 (0.800–1.000), pooled 0.910 | "
        "clean 0.700 ± 0.283 (0.500–0.900), pooled –"
    )
    assert [" ".join(line.split()) for line in lines] == [
        f"accuracy {figures}", f"balanced accuracy {figures}", f"macro F1 {figures}", "AUROC –",
        "best floor all 0.500 ± 0.141 (0.400–0.600), pooled –",
    ]  # fmt: skip
    assert summary_lines(summarise({"fold_0": None}, {}), [])[0].split() == ["accuracy", "–"]
