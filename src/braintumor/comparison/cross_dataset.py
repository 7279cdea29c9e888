"""Several checkpoints on several data sets: labels made comparable, a row a pair, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.common_classes import fit_labels, in_classes
from braintumor.evaluation.record import figures_with_intervals
from braintumor.files import write_atomic
from braintumor.records import Predictions
from braintumor.report.page import as_markdown, escaped
from braintumor.report.plots.comparison import draw_matrix
from braintumor.report.plots.style import to_png
from braintumor.report.texts import is_defined, number, rate
from braintumor.statistics.decisions import NO_TUMOR

# M images, K classes of the model

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
COLUMNS = (
    "ckpt", "data", "split", "n", *FIGURES, "clean_n", *(f"clean_{name}" for name in FIGURES),
    "classes", "note",
    *(f"{name}_{end}" for name in FIGURES for end in ("low", "high")),
    *(f"clean_{name}_{end}" for name in FIGURES for end in ("low", "high")),
    "threshold", "sensitivity", "specificity", "clean_sensitivity", "clean_specificity",
)  # fmt: skip
NOTES = (
    "Balanced accuracy over the images that the checkpoint has not seen in training, as copies or "
    "mirrored; n is their number. In brackets: over all images. Figures of one column can be "
    "compared when they have the same classes; a checkpoint that has seen much of a data set is "
    "judged there on few images, and on others than its neighbours. Whether images of the same "
    "patients were in training is not known: patients of two data sets cannot be compared.",
)


@dataclass(frozen=True, eq=False)
class TumorCalls:
    """What the fitted threshold says of M images: bool (M,), and the threshold."""

    is_tumor: np.ndarray
    threshold: float


def score(
    predictions: Predictions,
    labels: Sequence[str],
    contaminated: np.ndarray,
    groups: np.ndarray | None = None,
    calls: TumorCalls | None = None,
) -> dict[str, Any]:
    """The figures of one pair, over all and over clean images, by the names of COLUMNS.

    contaminated: bool (M,).  groups: int (M,), which intervals count; None: each image alone.
    """
    wanted, note = fit_labels(predictions.classes, labels)
    if wanted is None:
        return empty(note)
    fitted = in_classes(predictions, labels, wanted)
    notes = [note] if note else []
    present = sorted(set(fitted.labels.tolist()))
    if len(present) == 1:
        only = fitted.classes[present[0]]
        notes.append(f"images of {only} only: balanced accuracy is its recall")
    if contaminated.all():
        notes.append("no image that the model has not seen in training")
    cell: dict[str, Any] = {"n": len(fitted), "clean_n": int((~contaminated).sum())}
    for which, rows in (("", np.ones(len(fitted), bool)), ("clean_", ~contaminated)):
        own = _figures(fitted, rows, groups, calls)
        cell |= {f"{which}{name}": value for name, value in own.items()}
    if calls:
        cell["threshold"] = calls.threshold
    if note and calls:
        notes.append(_said(cell))
    return cell | {"classes": len(wanted), "note": "; ".join(notes)}


def _figures(
    predictions: Predictions, rows: np.ndarray, groups: np.ndarray | None, calls: TumorCalls | None
) -> dict[str, float]:
    """FIGURES of the chosen images, the ends of their intervals, and what the threshold does."""
    if not rows.any():
        return dict.fromkeys(FIGURES, float("nan"))
    own = predictions.subset(rows)
    found = figures_with_intervals(own, None if groups is None else groups[rows])
    figures = {name: found[name] for name in FIGURES}
    for name in FIGURES:
        low, high = found.get(f"{name}_ci") or (float("nan"), float("nan"))
        figures |= {f"{name}_low": low, f"{name}_high": high}
    if calls:
        called, is_tumor = calls.is_tumor[rows], own.labels != own.classes.index(NO_TUMOR)
        for name, kind in (("sensitivity", called[is_tumor]), ("specificity", ~called[~is_tumor])):
            figures[name] = float(kind.mean()) if len(kind) else float("nan")
    return figures


def _said(cell: Mapping[str, Any]) -> str:
    """The figures of two classes in words, of clean images where there are some."""
    which = "clean_" if cell["clean_n"] else ""
    own = {name: cell[which + name] for name in ("auroc", "sensitivity", "specificity")}
    said = {name: f"{name} {rate(value)}" for name, value in own.items() if is_defined(value)}
    area = said.pop("auroc", "").upper()
    if area and is_defined(cell[f"{which}auroc_low"]):
        area += " [{}, {}]".format(*(rate(cell[f"{which}auroc_{end}"]) for end in ("low", "high")))
    of = f"the {cell['clean_n']} without a copy in training" if which else "all"
    called = (
        f"called tumor from {number(cell['threshold'], '.3g')} on with {', '.join(said.values())}"
    )
    return f"of {of}: {', '.join(filter(None, (area, called)))}"


def empty(reason: str) -> dict[str, Any]:
    """A pair without figures."""
    return {"n": 0, "clean_n": 0, "note": reason}


def matrix_table(cells: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a pair, in the order given, with COLUMNS; figures are NaN where there are none."""
    table = pd.DataFrame(list(cells), columns=list(COLUMNS))
    return table.astype({"n": "int64", "clean_n": "int64", "classes": "Int64"})


def short_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rows checkpoints, columns data sets, cells texts such as "0.953 n=319 (0.975)"."""
    texts = table.assign(text=[_text(row) for _, row in table.iterrows()])
    wide = texts.pivot_table(index="ckpt", columns="data", values="text", aggfunc="first")
    wide = wide.reindex(index=table["ckpt"].unique(), columns=table["data"].unique())
    return wide.rename_axis(index="checkpoint", columns=None)


def write_matrix(folder: Path, table: pd.DataFrame) -> None:
    """Write matrix.csv, matrix.md and matrix.png."""
    write_atomic(folder / "matrix.csv", str(table.to_csv(index=False)))
    write_atomic(folder / "matrix.md", matrix_markdown(table))
    write_atomic(folder / "matrix.png", to_png(draw_matrix(table)))


def matrix_markdown(table: pd.DataFrame) -> str:
    """The matrix as GitHub Markdown under its notes, and below what was done to single pairs."""
    noted = table.loc[table["note"] != "", ["ckpt", "data", "note"]].map(escaped)
    below = [f"- {ckpt} on {data}: {note}\n" for ckpt, data, note in noted.itertuples(index=False)]
    matrix = as_markdown(short_table(table).reset_index(), NOTES)
    return "".join([matrix, "\n" * bool(below), *below])


def _text(row: pd.Series) -> str:
    if not row["n"]:
        return "–"
    clean = rate(row["clean_balanced_accuracy"]) if row["clean_n"] else "–"
    return f"{clean} n={row['clean_n']} ({rate(row['balanced_accuracy'])})"
