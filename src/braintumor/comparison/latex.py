"""leaderboard.tex: the leaderboard for a paper, as a table that \\input takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from braintumor.comparison.compare import Comparison
from braintumor.comparison.leaderboard import as_rows, figure_of

_MARKS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "…": r"\ldots{}",
    "–": "--", "±": r"$\pm$", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
}  # fmt: skip
_LAST_LETTER = 0x17F  # of Latin Extended-A: what pdfLaTeX knows without more packages


def escape_latex(text: str) -> str:
    """The text as LaTeX shows it; what pdfLaTeX has no letter for is told by its number.

    >>> print(escape_latex("a_b 5% é 脳"))
    a\\_b 5\\% é U+8133
    """
    known = [_MARKS.get(sign, sign) for sign in " ".join(text.split())]
    return "".join(
        sign if len(sign) > 1 or (ord(sign) <= _LAST_LETTER and sign.isprintable())
        else f"U+{ord(sign):04X}"
        for sign in known
    )  # fmt: skip


def leaderboard_table(comparison: Comparison, names: Mapping[str, str]) -> str:
    """The board as a booktabs table: two lines a configuration, the second with the intervals.

    names: column of the board -> its title; columns without a figure are left out.
    """
    rows = as_rows(comparison.board)
    shown = [name for name in names if comparison.board[name].notna().any()]
    titles = ["", "Configuration", "Runs", "$n$", *(escape_latex(names[name]) for name in shown)]
    lines = [
        r"% needs \usepackage{booktabs,textcomp}",
        r"\begin{table*}",
        r"\centering\footnotesize",
        rf"\caption{{{escape_latex(_caption(comparison))}}}",
        r"\label{tab:leaderboard}",
        rf"\begin{{tabular}}{{rlrr{'c' * len(shown)}}}",
        r"\toprule",
        _line(titles),
        r"\midrule",
    ]
    for rank, row in enumerate(rows, start=1):
        n = "--" if row["n"] is None else f"{row['n']:,}"
        figures = [figure_of(row, name) for name in shown]
        values = [escape_latex(f"{one.value} {one.spread}") for one in figures]
        intervals = [escape_latex(one.interval) for one in figures]
        known = [str(rank), escape_latex(str(row["run"])), str(row["completed"]), n]
        lines.append(_line([*known, *values]))
        lines += [_line(["", "", "", "", *intervals])] if any(intervals) else []
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])


def _caption(comparison: Comparison) -> str:
    split = comparison.split
    by = "validation" if comparison.by == "validation" else split
    said = [f"Figures on {split}, ranked by macro F1 on {by}."]
    quoted = set(comparison.board["quoted"])
    if "none" in quoted:
        said.append(f"Reports of {'all' if len(quoted) == 1 else 'some'} runs quote no accuracy.")
    if "clean" in quoted:
        said.append("The accuracy to quote is that without copies.")
    if comparison.board["accuracy_std"].notna().any():
        said.append("After ±: the standard deviation over runs that differ in seed or fold.")
    if comparison.board["accuracy_low"].notna().any():
        said.append("In brackets: 95 % confidence intervals over the images.")
    return " ".join(said)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
