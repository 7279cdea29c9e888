"""The table of benchmarks/truth_cpu.md, from the runs that scripts/truth.sh leaves.

python scripts/truth_table.py RUNS > table.md
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from braintumor.runs.folder import RunFolder

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")


def main(root: Path) -> None:
    """Print the figures of every part, their means, and the floors."""
    print("| `split=` | part | trained on | all | n | clean | n | clean, by class: recall (n) |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        parts = sorted(path.parents[2] for path in folder.glob("*/eval/test/metrics.json"))
        evaluated = [(part.name, RunFolder(part)) for part in parts]
        for name, run in evaluated:
            print(_row(folder.name, name, _metrics(run, "test"), _trained_on(run)))
        _print_means(folder.name, [_metrics(run, "test") for _, run in evaluated])
        for pooled in sorted(folder.glob("eval/pooled*")):
            print(_row(folder.name, pooled.name, _metrics(RunFolder(folder), pooled.name), None))
    print()
    print("| `split=` | floor | all | clean | clean, balanced |")
    print("|---|---|---:|---:|---:|")
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        tables = [pd.read_csv(path) for path in sorted(folder.glob("*/eval/test/floors.csv"))]
        if tables:
            _print_floors(folder.name, pd.concat(tables))


def _metrics(run: RunFolder, evaluation: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.evaluation(evaluation) / "metrics.json").read_text())
    return content


def _trained_on(run: RunFolder) -> int:
    """Images that the evaluated model learnt from: with a refit those of validation too."""
    parts = ["train", "val"] if run.selected.is_file() else ["train"]
    return int(pd.read_csv(run.manifest)["split"].isin(parts).sum())


def _row(split: str, part: str, metrics: dict[str, Any], trained_on: int | None) -> str:
    clean = metrics["clean"] or metrics["all"]
    by_class = ", ".join(
        f"{name} {clean['per_class'][name]['recall']:.3f} ({clean['per_class'][name]['n']})"
        for name in CLASSES
        if clean["per_class"][name]["n"]
    )
    images = f"{trained_on:,}" if trained_on else ""
    return (
        f"| `{split}` | {part} | {images} | {metrics['all']['accuracy']:.3f} | {metrics['n']:,} | "
        f"{clean['accuracy']:.3f} | {clean['n']:,} | {by_class} |"
    )


def _print_means(split: str, parts: Sequence[dict[str, Any]]) -> None:
    if len(parts) < 2:
        return
    figures = [
        [part["all"]["accuracy"] for part in parts],
        [(part["clean"] or part["all"])["accuracy"] for part in parts],
    ]
    of_all, of_clean = (
        f"**{statistics.mean(values):.3f}** ± {statistics.stdev(values):.3f}" for values in figures
    )
    print(f"| `{split}` | mean ± sd of {len(parts)} | | {of_all} | | {of_clean} | | |")


def _print_floors(split: str, floors: pd.DataFrame) -> None:
    names = ["accuracy", "clean_accuracy", "clean_balanced_accuracy"]
    for name, row in floors.groupby("floor", sort=False)[names].mean().iterrows():
        print(f"| `{split}` | {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
