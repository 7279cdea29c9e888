"""comparison.html: leaderboard, tests and costs on one page that needs nothing else.

As report.html it runs no script and loads nothing, and Jinja2 escapes every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from braintumor.compare.compare import Comparison
from braintumor.compare.lines import NAMES, difference, figure_of, number, p_value, seeds_of, text
from braintumor.compare.notes import TESTED
from braintumor.compare.pairs import LEVEL
from braintumor.report.figures import percent
from braintumor.report.plots.style import elide
from braintumor.report.template import FOLDER, Chart, environment, inlined_chart, policy_hash

_RANKED = {"validation": ("val_macro_f1", "validation"), "test": ("macro_f1", "")}
_RUN_COLUMNS = (
    "configuration", "run", "seed", "status", "n", "val_macro_f1", "accuracy", "macro_f1",
    "auroc", "clean_accuracy", "best_epoch", "seconds", "why",
)  # fmt: skip


def render_comparison(comparison: Comparison, charts: Mapping[str, Chart]) -> str:
    """The page as text.

    charts: "ranking" and "cost".
    """
    css = "".join(
        (FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "comparison.css")
    )
    board = comparison.board
    return _template().render(
        css=Markup(css),  # noqa: S704 (our own file)
        css_hash=policy_hash(css),
        by=comparison.by,
        split=comparison.split,
        configurations=len(board),
        runs=len(comparison.runs),
        headline=_headline(comparison),
        findings=_findings(comparison),
        ranking=comparison.notes[0],
        cautions=comparison.notes[1:],
        columns=_columns(board),
        rows=[_row(rank, row, board) for rank, (_, row) in enumerate(board.iterrows(), start=1)],
        has_intervals=bool(board["accuracy_low"].notna().any()),
        has_spread=bool(board["accuracy_std"].notna().any()),
        kinds=_kinds(comparison),
        tested=TESTED,
        run_columns=_RUN_COLUMNS,
        run_rows=_runs(comparison),
        charts={name: inlined_chart(chart) for name, chart in charts.items()},
    )


def _template() -> jinja2.Template:
    jinja = environment()
    jinja.filters["breakable"] = _breakable
    return jinja.get_template("comparison.html.j2")


def _breakable(name: str) -> Markup:
    """The name, escaped, with places where a narrow column may break it."""
    safe = str(escape(name))
    for sign in ("_", "/", "="):
        safe = safe.replace(sign, f"{sign}<wbr>")
    return Markup(safe)  # noqa: S704 (escaped above; none of the signs stands in an entity)


def _headline(comparison: Comparison) -> str:
    """Who is first, by what, and how good it is on the evaluated images."""
    first = comparison.board.iloc[0]
    key, words = _RANKED[comparison.by]
    if pd.isna(first[key]) or pd.isna(first["accuracy"]):
        return "No run has the figures that a ranking needs."
    name, where = elide(str(first["run"]), 80), words or comparison.split
    said = f"First by macro F1 on {where} ({number(first[key])}): {name}."
    found = figure_of(first, "accuracy")
    spread = (
        f" ± {100 * first['accuracy_std']:.1f} over {first['completed']} runs"
        if found.spread
        else ""
    )
    interval = (
        f", 95 % interval {percent(first['accuracy_low'])} to {percent(first['accuracy_high'])}"
        if found.interval
        else ""
    )
    return (
        f"{said} On {comparison.split} its accuracy is {percent(first['accuracy'])}{spread}"
        f"{interval}, n = {first['n']:,}."
    )


def _findings(comparison: Comparison) -> list[str]:
    """How many of the others the tests can tell from the first, over each kind of images."""
    board, found = comparison.board, []
    if len(board) < 2:
        return ["There is nothing to compare it with."]
    for column, words in (
        ("against_first", "all images"),
        ("against_first_clean", "images without a copy in training"),
    ):
        said = board[column].iloc[1:].dropna()
        if not len(said):
            continue
        ties = said.str.startswith("tie")
        others = "other" if len(said) == 1 else "others"
        found.append(
            f"Over {words} {int(ties.sum())} of {len(said)} {others} cannot be distinguished from "
            "it: between those the ranking is a toss-up."
            if ties.any()
            else f"Over {words} the tests tell it from all of the {len(said)} {others}."
        )
    return found or ["No pair could be tested, since no other was evaluated on the same images."]


def _columns(board: pd.DataFrame) -> list[tuple[str, str]]:
    return [(name, words) for name, words in NAMES.items() if board[name].notna().any()]


def _row(rank: int, row: pd.Series, board: pd.DataFrame) -> dict[str, Any]:
    against, clean = text(row["against_first"]), text(row["against_first_clean"])
    return {
        "rank": rank,
        "name": str(row["run"]),
        "about": " · ".join(
            part
            for part in (text(row["model"]), text(row["data"]), seeds_of(row))
            if part and part != str(row["run"])
        ),
        "overrides": text(row["overrides"]),
        "status": text(row["status"]) or "no status",
        "is_done": bool(pd.notna(row["accuracy"])),
        "why": text(row["why"]),
        "n": f"{row['n']:,}" if pd.notna(row["n"]) else "–",
        "figures": [figure_of(row, name) for name, _ in _columns(board)],
        "against": "first" if rank == 1 else against or "not tested",
        "against_clean": clean,
        "is_tie": against.startswith("tie"),
        "parameters": f"{row['parameters']:,}" if pd.notna(row["parameters"]) else "–",
        "speed": f"{row['images_per_s']:,.0f}" if pd.notna(row["images_per_s"]) else "–",
    }


def _kinds(comparison: Comparison) -> list[dict[str, Any]]:
    """The tables of pairs, one over all images and one over the clean ones."""
    titles = {"all": "Over all images", "clean": "Over images without a copy in training"}
    kinds = []
    for kind, rows in comparison.pairs.groupby("images", sort=True):
        kinds.append(
            {
                "title": titles[str(kind)],
                "pairs": [
                    {
                        "first": row["first"],
                        "second": row["second"],
                        "n": f"{row['n']:,}",
                        "groups": f"{row['groups']:,}",
                        "differences": [
                            difference(row, name).partition(" ")[::2]
                            for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
                        ],
                        "p_values": [
                            (p_value(row[f"{test}_holm"]), bool(row[f"{test}_holm"] < LEVEL))
                            for test in ("mcnemar", "delong")
                        ],
                        "verdict": _verdict(row),
                        "is_tie": row["verdict"] == "tie",
                    }
                    for _, row in rows.iterrows()
                ],
            }
        )
    return kinds


def _verdict(row: pd.Series) -> str:
    """Which of the two is better in what, or "tie"; their names stand beside it."""
    better: dict[str, list[str]] = {}
    for test, figure, words in (("mcnemar", "accuracy", "accuracy"), ("delong", "auroc", "AUROC")):
        if row[f"{test}_holm"] < LEVEL:
            better.setdefault("first" if row[figure] > 0 else "second", []).append(words)
    said = [f"the {which} is better in {' and '.join(what)}" for which, what in better.items()]
    return "; ".join(said) or "tie"


def _runs(comparison: Comparison) -> list[list[str]]:
    return [[_cell(row, name) for name in _RUN_COLUMNS] for _, row in comparison.runs.iterrows()]


def _cell(row: pd.Series, name: str) -> str:
    value = row[name]
    if name == "seconds":
        return "" if pd.isna(value) else f"{value:,.0f}"
    if name == "n" and not pd.isna(value):
        return f"{int(value):,}"
    return number(value) if isinstance(value, float) else text(value)
