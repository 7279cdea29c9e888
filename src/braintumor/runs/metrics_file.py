"""metrics.json of an evaluation: the one reader, which lets nothing pass that is no figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braintumor.errors import CheckpointError, DataError
from braintumor.files import read_json
from braintumor.runs.kinds import EvaluationFile

_BLOCKS = ("all", "clean", "floor", "quote")  # that others compute with
_NO_FIGURES = {"per_class", "means_over", "name", "clean_name", "images", "why"}  # what else
_MOST = 2**62  # what tables hold


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content: "all" (every image), "clean" (without copies in training), "floor", and more.

    folder: of the evaluation.
    Raises CheckpointError where it is missing or damaged.
    """
    path = folder / EvaluationFile.METRICS
    if not path.is_file():
        raise CheckpointError(f"{path} is not there; evaluate that run again")
    try:
        metrics = read_json(path)
        for block in _BLOCKS:
            figures = metrics.get(block)
            if figures is not None and not isinstance(figures, dict):
                raise DataError(f"{block} is no mapping")
            _check(figures or {}, block)
    except DataError as error:
        reason = f"{path} cannot be read ({error})"
        raise CheckpointError(f"{reason}; evaluate that run again") from error
    return metrics


def _check(figures: Mapping[str, Any], block: str) -> None:
    """Raises DataError unless each is a number, or two where it is an interval, or not defined."""
    for name, value in figures.items():
        if name in _NO_FIGURES or value is None:
            continue
        count, told = (2, value) if name.endswith("_ci") else (1, [value])
        is_list = isinstance(told, list) and len(told) == count
        if not is_list or not all(type(n) in (int, float) and not abs(n) > _MOST for n in told):
            raise DataError(f"{block}.{name} is {str(value)[:40]!r}")
