"""docs/run_folder.md explains each column and key of what commands write, and no other."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from support import QUICK, Command

PAGE = Path(__file__).parents[2] / "docs" / "run_folder.md"
_PART = r"(clean_|val_)?"  # before a name, and behind it
_ENDS = r"(_low|_high|_ci)?"
_FIGURE = "(accuracy|balanced_accuracy|macro_f1|mcc|auroc|auprc|loss|brier|ece)"
_ANY = {"<figure>": _FIGURE, "<class>": "[a-z_]+", "<floor>": ".+"}
# of split=official_clean; and where a network has learnt too little for a threshold
RARE = {
    "excluded",
    "set",
    "answered",
    "tumor_prob",
    "is_tumor",
    "outlier_score",
    "foreign",
    "upside_down",
}


def explained() -> dict[str, dict[str, re.Pattern[str]]]:
    """File -> name as the page has it -> what it stands for."""
    found: dict[str, dict[str, re.Pattern[str]]] = defaultdict(dict)
    for first, names in re.findall(r"^\| (?:`([\w.]+)`)? ?\| (`.+?`) \|", PAGE.read_text(), re.M):
        file = first or file  # noqa: F821 (of the row above)
        for name in re.findall("`(.+?)`", names):
            pattern = re.escape(name)
            for mark, meant in _ANY.items():
                pattern = pattern.replace(re.escape(mark), meant)
            found[file][name] = re.compile(f"{_PART}{pattern}{_ENDS}")
    return found


def names_in(path: Path) -> list[str]:
    if path.suffix == ".json":
        return [*json.loads(path.read_text())]
    with path.open(newline="") as file:
        return next(csv.reader(file))


@pytest.fixture(scope="module")
def written(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """File -> its columns or keys, over all commands."""
    folder = tmp_path_factory.mktemp("columns")
    quick = [*QUICK, "train.max_epochs=1"]
    bt("train", *quick, "seeds=[0,1]", "run_dir=run", cwd=folder, code=0)
    bt("eval", "ckpt=run/seed_0", "on=[phantom]", "run_dir=matrix", cwd=folder, code=0)
    bt("compare", "runs=[run/seed_0,run/seed_1]", "run_dir=both", cwd=folder, code=0)
    plots = folder / "run/seed_0/plots"
    (plots / "bad.png").write_text("x")
    words = [f"input={plots}", "skip_unreadable=true", "run_dir=answers"]
    bt("predict", "ckpt=run/seed_0", *words, cwd=folder, code=0)
    search = ["tune.trials=1", "tune.space={optimizer.lr: [1e-3]}", "run_dir=search"]
    bt("tune", *quick, *search, cwd=folder, code=0)
    found: dict[str, set[str]] = defaultdict(set)
    for path in folder.rglob("*"):
        if path.suffix in (".csv", ".json") and path.name in explained():
            found[path.name].update(names_in(path))
    return found


@pytest.mark.slow
def test_every_column_is_explained(written: dict[str, set[str]]) -> None:
    known = explained()
    settings = {"optimizer.lr"}  # of trials.csv, a column each
    unknown = {
        f"{file}: {name}"
        for file, names in written.items()
        for name in names - settings
        if not any(pattern.fullmatch(name) for pattern in known[file].values())
    }
    assert unknown == set()
    missing = {
        f"{file}: {name}"
        for file, names in written.items()
        for name, pattern in known[file].items()
        if name not in RARE and not any(map(pattern.fullmatch, names))
    }
    assert missing == set()
    assert known.keys() - written.keys() <= {"jobs.csv", "floors.csv", "floor_answers.csv"}
