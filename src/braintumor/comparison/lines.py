"""A comparison as rows of text, for the console, Markdown and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from braintumor.comparison.compare import Comparison
from braintumor.report.figures import escaped

NAMES = {
    "val_macro_f1": "val macro F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "clean_accuracy": "clean accuracy",
    "floor_accuracy": "best floor",
}  # column -> what a person reads
DIFFERENCES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")


@dataclass(frozen=True)
class BoardFigure:
    """One figure of a configuration; spread and interval are "" where there is none."""

    value: str
    spread: str = ""
    interval: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.value, self.spread, self.interval) if part)


def figure_of(row: pd.Series, name: str) -> BoardFigure:
    """Mean, spread over seeds and interval of one figure of a row of the board."""
    value, spread = row[name], row.get(f"{name}_std")
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return BoardFigure(
        number(value),
        "" if _is_missing(spread) else f"± {number(spread)}",
        "" if _is_missing(low) else f"({number(low)}–{number(high)})",
    )


def board_lines(comparison: Comparison) -> pd.DataFrame:
    """The leaderboard as text, a row a configuration; columns that say nothing are left out."""
    rows = []
    for rank, (_, row) in enumerate(comparison.board.iterrows(), start=1):
        cells: dict[str, str] = {"": str(rank), "run": str(row["run"])}
        cells |= {name: text(row[name]) for name in ("model", "data", "overrides", "status")}
        cells |= {"seeds": seeds_of(row), "n": text(row["n"])}
        for name, words in NAMES.items():
            shown = figure_of(row, name)
            cells[words] = "" if shown.value == "–" else str(shown)
        cells["against the first"] = text(row["against_first"])
        cells["against the first, clean"] = text(row["against_first_clean"])
        rows.append(cells)
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "").any(axis=0)]


def pair_lines(comparison: Comparison) -> pd.DataFrame:
    """The pairs as text: differences with intervals, corrected p values, and the verdict."""
    rows = [
        {
            "first": row["first"],
            "second": row["second"],
            "images": f"{row['images']}, n={row['n']} in {row['groups']} groups",
            **{f"Δ {NAMES[name]}": difference(row, name) for name in DIFFERENCES},
            "McNemar p": p_value(row["mcnemar_holm"]),
            "DeLong p": p_value(row["delong_holm"]),
            "verdict": row["verdict"],
        }
        for _, row in comparison.pairs.iterrows()
    ]
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    """The table as GitHub Markdown under its notes (`attrs["notes"]`); empty columns left out.

    >>> table = pd.DataFrame({"run": ["a|b"], "accuracy": [0.5], "note": [None]})
    >>> print(as_markdown(table), end="")
    | run | accuracy |
    |---|---:|
    | a\\|b | 0.5000 |
    """

    def cell(value: Any) -> str:
        if _is_missing(value):
            return ""
        if isinstance(value, float):
            return f"{value:.0f}" if value == round(value) and abs(value) > 1 else f"{value:.4f}"
        return escaped(str(value))

    shown = table.dropna(axis="columns", how="all")
    lines = [f"{escaped(note)}\n" for note in table.attrs.get("notes", [])]
    lines.append("| " + " | ".join(map(escaped, shown.columns)) + " |")
    is_number = [pd.api.types.is_numeric_dtype(shown[name]) for name in shown.columns]
    lines.append("|" + "|".join("---:" if number else "---" for number in is_number) + "|")
    for row in shown.itertuples(index=False):
        lines.append("| " + " | ".join(map(cell, row)) + " |")
    return "\n".join(lines) + "\n"


def difference(row: pd.Series, name: str) -> str:
    """First minus second with its interval, in signed figures."""
    if _is_missing(row[name]):
        return "–"
    return f"{row[name]:+.4f} ({row[f'{name}_low']:+.4f} to {row[f'{name}_high']:+.4f})"


def p_value(p: float) -> str:
    """Four digits, and never 0; a dash for what is not known.

    >>> p_value(0.03), p_value(1e-7)
    ('0.0300', '< 0.0001')
    """
    return "< 0.0001" if p < 1e-4 else number(p)


def number(value: Any) -> str:
    """Four digits, or a dash for what is not known."""
    return "–" if _is_missing(value) else f"{float(value):.4f}"


def seeds_of(row: pd.Series) -> str:
    """How many runs stand behind a row, and their seeds; "" for a single one."""
    if row["runs"] == 1:
        return ""
    ended = "" if row["completed"] == row["runs"] else f"{row['completed']} of "
    seeds = "" if _is_missing(row["seeds"]) else f", seeds {row['seeds']}"
    return f"{ended}{row['runs']} runs{seeds}"


def text(value: Any) -> str:
    """The value as text; "" for what is missing."""
    return "" if _is_missing(value) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))
