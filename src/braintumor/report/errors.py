"""errors.csv: the images that the model got wrong, the surest first; and on request their pictures.

In wrong/ a picture is as the model saw it; its name says its class and what it was taken for.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.record import Evaluation
from braintumor.files import write_atomic
from braintumor.report.plots.style import png_of
from braintumor.runs.kinds import EvaluationFile, wrong_file

# M images evaluated, E of them wrong

_LONGEST = 24  # characters of a class in the name of a file


def write_errors(folder: Path, evaluation: Evaluation) -> None:
    """Write errors.csv, and of the surest errors as many pictures as were asked for."""
    wrong = np.flatnonzero(~evaluation.is_right)
    wrong = wrong[np.argsort(-evaluation.predictions.probs[wrong].max(axis=1), kind="stable")]
    table = _table(evaluation, wrong)
    files = [""] * len(wrong)
    if evaluation.images is not None:
        pairs = zip(table["true"], table["pred"], strict=True)
        names = [wrong_file(n, _plain(t), _plain(p)) for n, (t, p) in enumerate(pairs, start=1)]
        files[: evaluation.wrong_pictures] = names[: evaluation.wrong_pictures]
        for name, i in zip(filter(None, files), wrong, strict=False):
            write_atomic(folder / name, png_of(evaluation.images[i]))
    # texts are quoted, or a line break in a file name would end the row
    text = table.assign(picture=files).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    write_atomic(folder / EvaluationFile.ERRORS, text)


def _table(evaluation: Evaluation, wrong: np.ndarray) -> pd.DataFrame:
    """A row an error. probability, probability_true: of the answer and of the true class.

    group: as in manifest.csv, "" for an image of its own.  in_training: "true" where the model
    knows the image, "" where that is not known.
    """
    predictions, known = evaluation.predictions, evaluation.assessment.contaminated
    names = np.asarray(predictions.classes, dtype=object)
    labels, answers = predictions.labels[wrong], predictions.predicted[wrong]
    probs, nothing = predictions.probs, np.full(len(predictions), "", dtype=object)
    in_training: Any = nothing if known is None else np.where(known, "true", "false")
    groups = nothing if evaluation.groups is None else evaluation.groups
    return pd.DataFrame(
        {
            "path": [predictions.paths[i] for i in wrong],
            "true": names[labels],
            "pred": names[answers],
            "probability": probs[wrong, answers].round(6),
            "probability_true": probs[wrong, labels].round(6),
            "group": groups[wrong],
            "in_training": in_training[wrong],
        }
    )


def _plain(name: str) -> str:
    """A class as part of a file name, whatever strangers have called it."""
    return re.sub(r"[^\w-]+", "-", name)[:_LONGEST].strip("-") or "class"
