"""The files that a comparison leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from braintumor.compare.compare import Comparison, as_markdown
from braintumor.compare.lines import board_lines, pair_lines
from braintumor.compare.notes import TESTED
from braintumor.compare.page import render_comparison
from braintumor.files import write_atomic
from braintumor.report.plots.comparison import draw_comparison
from braintumor.report.plots.pareto import draw_pareto
from braintumor.report.plots.style import DARK, LIGHT, Theme, to_png
from braintumor.report.template import Chart


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
        write_atomic(folder / f"{name}.csv", _encoded(str(table.to_csv(index=False))))
    write_atomic(folder / "comparison.md", _encoded(_markdown(comparison)))
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
    write_atomic(folder / "comparison.html", _encoded(page))


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


def _encoded(text: str) -> bytes:
    # A folder whose name is no valid UTF-8 comes here with surrogates, which cannot be encoded.
    return text.encode("utf-8", "backslashreplace")
