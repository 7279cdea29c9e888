"""leaderboard.tex: as many cells in each line as columns, and no sign that LaTeX would read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braintumor.comparison.compare import Comparison
from braintumor.comparison.latex import escape_latex, leaderboard_table
from braintumor.comparison.leaderboard import BOARD_COLUMNS

NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "auroc": "AUROC"}
WORST = r"""a_b & 50% $x^2$ #1 {y} \input{z} ~ <i>|"q"…–±'`"""


def board_of(*rows: dict) -> Comparison:
    board = pd.DataFrame(rows, columns=list(BOARD_COLUMNS)).astype({"n": "Int64"})
    return Comparison(pd.DataFrame(), board, pd.DataFrame(), ("ranked",), "validation", "a_split")


def figures(name: str, accuracy: float = np.nan, std: float = np.nan) -> dict:
    ends = {"accuracy_low": accuracy - 0.02, "accuracy_high": accuracy + 0.01}
    known = {"accuracy": accuracy, "accuracy_std": std, "macro_f1": accuracy, **ends}
    return {"run": name, "n": 1311, "completed": 1, **known}


def cells(line: str) -> list[str]:
    """Of one line of a table."""
    assert line.endswith(r" \\")
    return [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]


def test_figures_with_intervals_and_spread_by_hand() -> None:
    comparison = board_of(figures("cnn_se lr=0.001", 0.95, 0.004), figures("failed") | {"n": None})
    lines = leaderboard_table(comparison, NAMES).splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [cells(line) for line in body] == [
        ["1", r"cnn\_se lr=0.001", "1", "1,311", r"0.9500 $\pm$ 0.0040", "0.9500"],
        ["", "", "", "", "(0.9300--0.9600)", ""],
        ["2", "failed", "1", "--", "--", "--"],
    ]
    assert r"\begin{tabular}{rlrrcc}" in lines  # no AUROC is known
    assert cells(lines[lines.index(r"\toprule") + 1])[4:] == ["accuracy", "macro F1"]
    (caption,) = (line for line in lines if line.startswith(r"\caption"))
    assert r"Figures on a\_split, ranked by macro F1 on validation" in caption
    assert r"95 \% confidence" in caption and r"After $\pm$" in caption


@pytest.mark.parametrize("name", [WORST, "日本語 é\n\t\x07", "[x] -- y", "\\", ""])
def test_no_name_is_read_as_latex(name: str) -> None:
    text = leaderboard_table(board_of(figures(name, 0.5)), NAMES)
    (row,) = (line for line in text.splitlines() if line.startswith("1 "))
    assert len(cells(row)) == 6
    told = cells(row)[1]
    own = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|ldots|"
    own += r"textasciigrave|textquotesingle)\{\}|\\[{}&%$#_]|\$\\pm\$"
    assert not re.search(r"[\\{}&%$#_~^<>|]", re.sub(own, "", told))
    assert told.isprintable()
    assert all(ord(sign) < 0x180 for sign in told)


def test_signs_stay_what_they_are() -> None:
    assert escape_latex("lr=0.001 (2026-05-04)") == "lr=0.001 (2026-05-04)"
    assert escape_latex("50% of a_b") == r"50\% of a\_b"
    assert escape_latex("x\\y") == r"x\textbackslash{}y"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_it_compiles(tmp_path: Path) -> None:
    table = leaderboard_table(board_of(figures(WORST, 0.5), figures("日本語 é")), NAMES)
    head = r"\documentclass{article}\usepackage{booktabs,textcomp}\begin{document}"
    (tmp_path / "a.tex").write_text(f"{head}\n{table}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
