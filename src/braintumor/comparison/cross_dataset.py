"""Several checkpoints on several data sets: labels made comparable, a row a pair, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from braintumor.data.labels import CANONICAL
from braintumor.files import write_atomic
from braintumor.records import Predictions
from braintumor.report.page import as_markdown, escaped
from braintumor.report.plots.comparison import draw_matrix, rate
from braintumor.report.plots.style import to_png
from braintumor.statistics.metrics import compute_metrics

# M images, K classes of the model

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
COLUMNS = (
    "ckpt", "data", "split", "n", *FIGURES, "clean_n", *(f"clean_{name}" for name in FIGURES),
    "classes", "note",
)  # fmt: skip
BINARY = ("no_tumor", "tumor")
NOTES = (
    "Balanced accuracy over the images that the checkpoint has not seen in training, as copies or "
    "mirrored; n is their number. In brackets: over all images. Figures of one column can be "
    "compared when they have the same classes; a checkpoint that has seen much of a data set is "
    "judged there on few images, and on others than its neighbours. Whether images of the same "
    "patients were in training is not known: patients of two data sets cannot be compared.",
)


def fit_labels(classes: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """The classes in which a model and a data set can be compared, and what was done for it.

    classes: K names that the model knows.  labels: those of the data, harmonised.
    Both as they are where the model knows every label; both as no_tumor / tumor where one side
    is, and the other has no_tumor and known tumours; else None, and the reason.
    """
    found, known = set(labels), set(classes)
    if found <= known:
        return tuple(classes), ""
    strange = sorted(found - set(CANONICAL))
    if known == set(BINARY) and not strange:
        return BINARY, "labels of the data joined to no_tumor / tumor"
    if found <= set(BINARY) and known <= set(CANONICAL) and "no_tumor" in known:
        return BINARY, f"the model's {len(classes)} classes joined to no_tumor / tumor"
    if found <= set(BINARY) and "no_tumor" not in known:
        return None, "the model has no class no_tumor, and the data tells only tumor from no_tumor"
    unknown = ", ".join(strange or sorted(found - known))
    return None, f"the model does not know {unknown}; it knows {', '.join(classes)}"


def in_classes(
    predictions: Predictions, labels: Sequence[str], wanted: tuple[str, ...]
) -> Predictions:
    """The predictions with the labels of the data, both in the classes that `fit_labels` chose.

    predictions: of a model, whose own labels are not read.  labels: M, harmonised.
    Probabilities of the tumour classes are summed (in logits: log of the sum of exp).
    """
    logits = predictions.logits / predictions.temperature
    if wanted != predictions.classes:
        labels = [label if label == "no_tumor" else "tumor" for label in labels]
        if set(predictions.classes) == set(wanted):
            wanted = predictions.classes
        else:
            healthy = predictions.classes.index("no_tumor")
            tumour = logsumexp(np.delete(logits, healthy, axis=1).astype(np.float64), axis=1)
            logits = np.stack([logits[:, healthy], tumour], axis=1)
    truth = np.array([wanted.index(label) for label in labels], dtype=np.int64)
    return Predictions(wanted, predictions.paths, truth, logits.astype(np.float32))


def score(
    predictions: Predictions, labels: Sequence[str], contaminated: np.ndarray
) -> dict[str, Any]:
    """The figures of one pair, over all and over clean images: n to note of COLUMNS.

    contaminated: bool (M,).
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
    clean = fitted.subset(~contaminated)
    if not len(clean):
        notes.append("no image that the model has not seen in training")
    figures = compute_metrics(fitted)
    of_clean = compute_metrics(clean) if len(clean) else {}
    return {
        "n": len(fitted),
        **{name: figures[name] for name in FIGURES},
        "clean_n": len(clean),
        **{f"clean_{name}": of_clean.get(name, float("nan")) for name in FIGURES},
        "classes": len(wanted),
        "note": "; ".join(notes),
    }


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
