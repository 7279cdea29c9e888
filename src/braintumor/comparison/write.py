"""The files that a comparison leaves behind: tables, pictures, comparison.md and comparison.html.

As report.html the page runs no script and loads nothing, and Jinja2 escapes every value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from braintumor.comparison.compare import TESTED, Comparison
from braintumor.comparison.lines import (
    DIFFERENCES,
    NAMES,
    as_markdown,
    board_lines,
    difference,
    figure_of,
    number,
    p_value,
    pair_lines,
    seeds_of,
    text,
)
from braintumor.comparison.pairs import LEVEL, TESTS
from braintumor.files import write_atomic
from braintumor.report.figures import percent
from braintumor.report.plots.comparison import draw_comparison, draw_pareto
from braintumor.report.plots.style import DARK, LIGHT, Theme, elide, to_png
from braintumor.report.template import FOLDER, Chart, environment, inlined_chart, policy_hash

_RUN_COLUMNS = (
    "configuration", "run", "seed", "status", "n", "val_macro_f1", "accuracy", "macro_f1",
    "auroc", "clean_accuracy", "best_epoch", "seconds", "why",
)  # fmt: skip


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the tables, the pictures, comparison.md and comparison.html.

    comparison.csv: a row a run. leaderboard.csv: a row a configuration. pairs.csv: a row a pair.
    """
    tables = {
        "comparison": comparison.runs,
        "leaderboard": comparison.board,
        "pairs": comparison.pairs,
    }
    for name, table in tables.items():
        write_atomic(folder / f"{name}.csv", str(table.to_csv(index=False)))
    write_atomic(folder / "comparison.md", _markdown(comparison))
    board, by = comparison.board, comparison.by
    ranking = _chart(
        "Ranking",
        "The leaderboard; its figures stand in the table.",
        lambda theme: draw_comparison(board, by=by, theme=theme),
    )
    cost = _chart(
        "Speed and size",
        "Accuracy against images/s and against parameters.",
        lambda theme: draw_pareto(board, theme=theme),
    )
    write_atomic(folder / "comparison.png", ranking.light)
    write_atomic(folder / "pareto.png", cost.light)
    page = render_comparison(comparison, {"ranking": ranking, "cost": cost})
    write_atomic(folder / "comparison.html", page)


def render_comparison(comparison: Comparison, charts: Mapping[str, Chart]) -> str:
    """The page as text.

    charts: "ranking" and "cost".
    """
    css = "".join(
        (FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "comparison.css")
    )
    board = comparison.board
    jinja = environment()
    jinja.filters["breakable"] = _breakable
    template: jinja2.Template = jinja.get_template("comparison.html.j2")
    return template.render(
        css=Markup(css),  # noqa: S704 (our own file)
        css_hash=policy_hash(css),
        by=comparison.by,
        split=comparison.split,
        configurations=len(board),
        runs=len(comparison.runs),
        headline=_headline(comparison),
        findings=_findings(board),
        ranking=comparison.notes[0],
        cautions=comparison.notes[1:],
        columns=_figure_columns(board),
        rows=[_board_row(rank, row, board) for rank, (_, row) in enumerate(board.iterrows(), 1)],
        has_intervals=bool(board["accuracy_low"].notna().any()),
        has_spread=bool(board["accuracy_std"].notna().any()),
        kinds=_pair_tables(comparison.pairs),
        tested=TESTED,
        run_columns=_RUN_COLUMNS,
        run_rows=[
            [_run_cell(name, row[name]) for name in _RUN_COLUMNS]
            for _, row in comparison.runs.iterrows()
        ],
        charts={name: inlined_chart(chart) for name, chart in charts.items()},
    )


def _chart(title: str, alt: str, draw: Callable[[Theme], Figure]) -> Chart:
    light, dark = (to_png(draw(theme), theme) for theme in (LIGHT, DARK))
    return Chart(title, alt, light, dark)


def _markdown(comparison: Comparison) -> str:
    board = board_lines(comparison)
    board.attrs["notes"] = list(comparison.notes)
    parts = ["# Leaderboard\n", as_markdown(board)]
    if len(comparison.pairs):
        pairs = pair_lines(comparison)
        pairs.attrs["notes"] = [TESTED]
        parts += ["# Pairs\n", as_markdown(pairs)]
    if len(comparison.runs) > len(comparison.board):
        parts += ["# Runs\n", as_markdown(comparison.runs)]
    return "\n".join(parts)


def _breakable(name: str) -> Markup:
    """The name, escaped, with places where a narrow column may break it."""
    safe = str(escape(name))
    for sign in ("_", "/", "="):
        safe = safe.replace(sign, f"{sign}<wbr>")
    return Markup(safe)  # noqa: S704 (escaped above; none of the signs stands in an entity)


def _headline(comparison: Comparison) -> str:
    """Who is first, by what, and how good it is on the evaluated images."""
    first, is_by_test = comparison.board.iloc[0], comparison.by == "test"
    key, where = ("macro_f1", comparison.split) if is_by_test else ("val_macro_f1", "validation")
    if pd.isna(first[key]) or pd.isna(first["accuracy"]):
        return "No run has the figures that a ranking needs."
    accuracy, found = percent(first["accuracy"]), figure_of(first, "accuracy")
    if found.spread:
        accuracy += f" ± {100 * first['accuracy_std']:.1f} over {first['completed']} runs"
    if found.interval:
        low, high = percent(first["accuracy_low"]), percent(first["accuracy_high"])
        accuracy += f", 95 % interval {low} to {high}"
    return (
        f"First by macro F1 on {where} ({number(first[key])}): {elide(str(first['run']), 80)}. "
        f"On {comparison.split} its accuracy is {accuracy}, n = {first['n']:,}."
    )


def _findings(board: pd.DataFrame) -> list[str]:
    """How many of the others the tests can tell from the first, over each kind of images."""
    if len(board) < 2:
        return ["There is nothing to compare it with."]
    found = []
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


def _figure_columns(board: pd.DataFrame) -> list[tuple[str, str]]:
    return [(name, words) for name, words in NAMES.items() if board[name].notna().any()]


def _board_row(rank: int, row: pd.Series, board: pd.DataFrame) -> dict[str, Any]:
    against = text(row["against_first"])
    about = [text(row["model"]), text(row["data"]), seeds_of(row)]
    return {
        "rank": rank,
        "name": str(row["run"]),
        "about": " · ".join(part for part in about if part and part != str(row["run"])),
        "overrides": text(row["overrides"]),
        "status": text(row["status"]) or "no status",
        "is_done": bool(pd.notna(row["accuracy"])),
        "why": text(row["why"]),
        "n": _whole(row["n"]) or "–",
        "figures": [figure_of(row, name) for name, _ in _figure_columns(board)],
        "against": "first" if rank == 1 else against or "not tested",
        "against_clean": text(row["against_first_clean"]),
        "is_tie": against.startswith("tie"),
        "parameters": _whole(row["parameters"]) or "–",
        "speed": _whole(row["images_per_s"]) or "–",
    }


def _pair_tables(pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """One over all images and one over the clean ones."""
    titles = {"all": "Over all images", "clean": "Over images without a copy in training"}
    return [
        {"title": titles[str(kind)], "pairs": [_pair_row(row) for _, row in rows.iterrows()]}
        for kind, rows in pairs.groupby("images", sort=True)
    ]


def _pair_row(row: pd.Series) -> dict[str, Any]:
    p_values = [row[f"{test}_holm"] for test, _ in TESTS]
    return {
        "first": row["first"],
        "second": row["second"],
        "n": f"{row['n']:,}",
        "groups": f"{row['groups']:,}",
        "differences": [difference(row, name).partition(" ")[::2] for name in DIFFERENCES],
        "p_values": [(p_value(p), bool(p < LEVEL)) for p in p_values],
        "verdict": _verdict(row),
        "is_tie": row["verdict"] == "tie",
    }


def _verdict(row: pd.Series) -> str:
    """Which of the two is better in what, or "tie"; their names stand beside it."""
    better: dict[str, list[str]] = {}
    for test, figure in TESTS:
        if row[f"{test}_holm"] < LEVEL:
            better.setdefault("first" if row[figure] > 0 else "second", []).append(NAMES[figure])
    said = [f"the {which} is better in {' and '.join(what)}" for which, what in better.items()]
    return "; ".join(said) or "tie"


def _run_cell(name: str, value: Any) -> str:
    if name in ("n", "seconds"):
        return _whole(value)
    return number(value) if isinstance(value, float) else text(value)


def _whole(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:,.0f}"
