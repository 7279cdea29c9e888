"""A figure that stands in several places is the same in each: console, files, pages, tables."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from support import Command, noise_pictures

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "auroc": "AUROC",
}
pytestmark = pytest.mark.usefixtures("no_drawings")


def words_of(page: Path) -> str:
    text = re.sub(r"<(style|script|svg).*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def figures_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text("utf-8"))["all"]


def check_report(folder: Path) -> None:
    figures, said = figures_of(folder), words_of(folder / "report.html")
    for key, title in TITLES.items():
        low, high = figures[f"{key}_ci"]
        assert f"{title} {figures[key]:.4f} {low:.4f}–{high:.4f}" in said
    low, high = (f"{100 * end:.1f}" for end in figures["accuracy_ci"])
    whole = f"{100 * figures['accuracy']:.1f} % (95 % CI {low} to {high} %)"
    assert f"classified correctly: accuracy {whole}" in said  # on top
    assert f"Result Accuracy {whole}" in said  # of the model card
    report = (folder / "classification_report.txt").read_text("utf-8")
    assert f"{figures['macro_f1']:.2f}" in re.search(r"macro avg.*", report)[0].split()
    with (folder / "predictions.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    right = sum(row["pred"] == row["true"] for row in rows)
    assert right / len(rows) == pytest.approx(figures["accuracy"])


def check_console(folder: Path, said: str) -> None:
    figures = figures_of(folder)
    for key, word in {"accuracy": "accuracy", "macro_f1": "macro F1", "auroc": "AUROC"}.items():
        assert f" {word} {figures[key]:.3f}" in said


def test_with_classes_that_are_absent(bt: Command, trained: Path, tmp_path: Path) -> None:
    noise_pictures(tmp_path / "mri", ("glioma", "no_tumor"), count=10)
    words = [f"ckpt={trained}", "data=folder", "data.root=mri", "eval.heatmaps=0", "run_dir=out"]
    done = bt("eval", *words, "split=all", cwd=tmp_path, code=0)
    check_report(tmp_path / "out")
    check_console(tmp_path / "out", done.stdout)


def test_of_a_training_and_in_the_leaderboard(bt: Command, trained: Path, tmp_path: Path) -> None:
    folder = trained / "eval/test"
    figures = figures_of(folder)
    check_report(folder)
    bt("compare", f"runs=[{trained}]", "run_dir=out", cwd=tmp_path, code=0)
    with (tmp_path / "out/leaderboard.csv").open(encoding="utf-8") as table:
        (row,) = csv.DictReader(table)
    latex = (tmp_path / "out/leaderboard.tex").read_text("utf-8")
    pages = [(tmp_path / "out/comparison.md").read_text("utf-8")]
    pages.append(words_of(tmp_path / "out/comparison.html"))
    for key in TITLES:
        low, high = figures[f"{key}_ci"]
        read = [float(row[name]) for name in (key, f"{key}_low", f"{key}_high")]
        assert read == pytest.approx([figures[key], low, high])
        assert f" {figures[key]:.4f} " in latex
        assert f"({low:.4f}--{high:.4f})" in latex
        for page in pages:
            assert f"{figures[key]:.4f} ({low:.4f}–{high:.4f})" in page


def test_answers_are_ordered_by_doubt_on_the_page_as_in_the_table(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    """A black picture is foreign: the first, however sure its answer looks."""
    noise_pictures(tmp_path, ("new",), count=9, px=64)
    Image.new("L", (64, 64)).save(tmp_path / "new/black.png")
    bt("predict", f"ckpt={trained}", "input=new", "run_dir=out", cwd=tmp_path, code=0)
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    probability = table.filter(regex="^prob_").max(axis=1)
    is_void = table["foreign"] | table["upside_down"]
    assert table["doubt"].to_numpy() == pytest.approx(np.where(is_void, 1.0, 1 - probability))
    ordered = table.sort_values("doubt", ascending=False, kind="stable")
    page = (tmp_path / "out/predictions.html").read_text("utf-8")
    rows = re.findall(r'<tr><th scope="row" title="([^"]+)">.*?</tr>', page)
    shown = re.findall(r'class="file" title="([^"]+)"', page)
    assert rows == shown == ordered["path"].tolist()
    said = re.findall(r">doubt ([\d.]+)", page)
    assert said == [f"{100 * doubt + 1e-9:.1f}" for doubt in ordered["doubt"]]
