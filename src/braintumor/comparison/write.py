"""A comparison as text: for the console, tables, comparison.md and comparison.html.

As report.html the page runs no script and loads nothing, and Jinja2 escapes every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from braintumor.comparison.compare import TESTED, Comparison
from braintumor.comparison.latex import leaderboard_table
from braintumor.comparison.leaderboard import as_rows, figure_of
from braintumor.comparison.pairs import LEVEL, TIE, differences
from braintumor.errors import some
from braintumor.files import write_atomic
from braintumor.privacy import without_names
from braintumor.report.page import Chart, as_markdown, draw_chart, environment
from braintumor.report.plots.comparison import draw_comparison, draw_pareto
from braintumor.report.texts import isolated, number

_NAMES = {
    "val_macro_f1": "val macro F1", "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "auroc": "AUROC",
    "clean_accuracy": "accuracy without copies", "floor_accuracy": "best floor",
}  # fmt: skip
_TESTS = {"mcnemar_holm": "McNemar p", "delong_holm": "DeLong p"}
_DIFFERENCES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
_ABOUT = ("run", "data", "overrides", "status")  # the name of a run begins with its model
_RUN_COLUMNS = (
    "run", "folder", "seed", "status", "n", "val_macro_f1", "accuracy", "macro_f1",
    "auroc", "clean_accuracy", "best_epoch", "seconds", "why",
)  # fmt: skip


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the tables, the pictures, comparison.md and comparison.html.

    comparison.csv: a row a run. leaderboard.csv and .tex: a row a configuration. pairs.csv: a row
    a pair.
    """
    board, pairs, runs = comparison.board, comparison.pairs, comparison.runs
    for name, table in {"comparison": runs, "leaderboard": board, "pairs": pairs}.items():
        shown = table.assign(**{k: table[k].map(without_names) for k in table if k == "folder"})
        write_atomic(folder / f"{name}.csv", str(shown.to_csv(index=False)))
    write_atomic(folder / "leaderboard.tex", leaderboard_table(comparison, _NAMES))
    write_atomic(folder / "comparison.md", _markdown(comparison))
    ranking = draw_chart(
        "Ranking",
        "The leaderboard; its figures stand in the table.",
        draw_comparison(board, by=comparison.by),
    )
    cost = draw_chart(
        "Speed and size",
        "Accuracy against images/s and against parameters.",
        draw_pareto(board),
    )
    write_atomic(folder / "comparison.png", ranking.png)
    write_atomic(folder / "pareto.png", cost.png)
    page = _render(comparison, {"ranking": ranking, "cost": cost})
    write_atomic(folder / "comparison.html", page)


def _render(comparison: Comparison, charts: Mapping[str, Chart]) -> str:
    board, runs, pairs = comparison.board, comparison.runs, comparison.pairs
    jinja = environment()
    formats = {"figure": figure_of, "difference": _difference, "p_value": _p_value, "seeds": _seeds}
    jinja.filters |= {"breakable": _breakable, "whole": _whole, "verdict": _verdict, **formats}
    return jinja.get_template("comparison.html.j2").render(
        by=comparison.by,
        split=comparison.split,
        configurations=len(board),
        runs=len(runs),
        against_first={
            "all images": board["against_first"].iloc[1:].dropna().tolist(),
            "images without a copy in training": board["against_first_clean"]
            .iloc[1:]
            .dropna()
            .tolist(),
        },
        ranking=comparison.notes[0],
        cautions=comparison.notes[1:],
        columns={name: words for name, words in _NAMES.items() if board[name].notna().any()},
        board=as_rows(board),
        has_intervals=bool(board["accuracy_low"].notna().any()),
        has_spread=bool(board["accuracy_std"].notna().any()),
        pairs={kind: own.to_dict("records") for kind, own in pairs.groupby("images")},
        differences={name: _NAMES[name] for name in _DIFFERENCES},
        tie=TIE,
        tests=_TESTS,
        level=LEVEL,
        tested=TESTED,
        run_columns=[_NAMES.get(name, name.replace("_", " ")) for name in _RUN_COLUMNS],
        run_rows=[[_run_cell(k, row[k]) for k in _RUN_COLUMNS] for _, row in runs.iterrows()],
        charts=charts,
    )


def _markdown(comparison: Comparison) -> str:
    parts = ["# Leaderboard\n", as_markdown(board_lines(comparison), comparison.notes)]
    if len(comparison.pairs):
        parts += ["# Pairs\n", as_markdown(_pair_lines(comparison.pairs), [TESTED])]
    if len(comparison.runs) > len(comparison.board):
        parts += ["# Runs\n", as_markdown(comparison.runs)]
    return "\n".join(parts)


def board_lines(comparison: Comparison) -> pd.DataFrame:
    """The leaderboard as text, a row a configuration; columns that say nothing are left out."""
    rows = []
    for rank, row in enumerate(as_rows(comparison.board), start=1):
        cells = {"": rank, **{name: row[name] for name in _ABOUT}}
        cells |= {"seeds": _seeds(row), "n": row["n"]}
        for name, words in _NAMES.items():
            shown = " ".join(filter(None, figure_of(row, name)))
            cells[words] = "" if row[name] is None else shown
        cells["against the first"] = row["against_first"]
        cells["against the first, without copies"] = row["against_first_clean"]
        rows.append({name: "" if cell is None else str(cell) for name, cell in cells.items()})
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "").any(axis=0)]


def _pair_lines(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs as text: differences with intervals, corrected p values, and the verdict."""
    rows = [
        {
            "first": row["first"],
            "second": row["second"],
            "images": f"{row['images']}, n={row['n']} in {some(row['groups'], 'group')}",
            **{f"Δ {_NAMES[name]}": _difference(row, name) for name in _DIFFERENCES},
            **{words: _p_value(row[test]) for test, words in _TESTS.items()},
            "verdict": row["verdict"],
        }
        for _, row in pairs.iterrows()
    ]
    return pd.DataFrame(rows)


def _breakable(name: str) -> Markup:
    """The name, escaped, with places where a narrow column may break it."""
    safe = str(escape(isolated(without_names(name))))  # which a broken path would hide
    for sign in ("_", "/", "="):
        safe = safe.replace(sign, f"{sign}<wbr>")
    return Markup(safe)  # noqa: S704 (escaped above; none of the signs stands in an entity)


def _verdict(row: Mapping[str, Any]) -> str:
    """Which of a pair is better in what, or "tie"; their names stand beside it."""
    better: dict[str, list[str]] = {}
    for figure, which in differences(row):
        better.setdefault(which, []).append(_NAMES[figure])
    said = [f"the {which} is better in {' and '.join(what)}" for which, what in better.items()]
    return "; ".join(said) or "tie"


def _difference(row: Any, name: str) -> str:
    """First minus second with its interval, in signed figures."""
    value, *ends = (number(row[f"{name}{end}"], "+z.4f") for end in ("", "_low", "_high"))
    return f"{value} ({' to '.join(ends)})" if set(ends) != {"–"} else value


def _p_value(p: float) -> str:
    """Four digits, and never 0; a dash for what is not known."""
    return "< 0.0001" if p < 1e-4 else number(p)


def _seeds(row: Mapping[str, Any]) -> str:
    """How many runs stand behind a row, and their seeds; "" for a single one."""
    if row["runs"] == 1:
        return ""
    ended = "" if row["completed"] == row["runs"] else f"{row['completed']} of "
    seeds = f", seeds {row['seeds']}" if row["seeds"] else ""
    return f"{ended}{row['runs']} runs{seeds}"


def _run_cell(name: str, value: Any) -> str:
    if isinstance(value, float) and name != "seconds":
        return number(value)  # also for a missing text, which pandas makes NaN
    if pd.isna(value):
        return ""
    return _whole(value) if name in ("n", "seconds") else str(value)


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
