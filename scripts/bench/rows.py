"""From what the children measured to the rows of the record: medians and ratios, no torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.job import PEERS

Answer = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One contestant in one row. Figures are medians over repeats.

    seconds: of the whole work of the row.  times_ours: its seconds an image over those of ours,
    the median of the ratios within each repeat; spread: the least and the largest of them.
    """

    row: str
    attention: str
    contestant: str
    images_per_s: float
    seconds: float
    times_ours: float | None
    spread: tuple[float, float] | None
    before_s: float
    rss_mb: float
    worker_rss_mb: float
    cuda_mb: float | None
    losses: tuple[float, float] | None
    measured_epochs: int
    repeats: int


def row_of(name: str, answers: list[Answer], epochs: int, heads: int) -> list[Line]:
    """The lines of one row, attention by attention, in the order of the contestants."""
    kinds = {"frozen_epoch": "frozen", "frozen_10": "frozen", "full_epoch": "full",
             "job": "full", "evaluation": "eval", "sweep": "sweep"}  # fmt: skip
    good = [a for a in answers if "failed" not in a]
    if name in ("frozen_epoch", "full_epoch"):
        good = [a for a in good if a["contestant"] != "again"]  # a later epoch is like ours
    if name == "sweep":
        # the peers have nothing that a sweep could share: one run of theirs, twelve times
        chosen = [a for a in good if a["what"] == "sweep/none"]
        chosen += [a for a in good if a["what"] == "frozen/none" and a["contestant"] in PEERS]
    else:
        chosen = [a for a in good if a["what"].split("/")[0] == kinds[name]]
    lines = []
    for attention in dict.fromkeys(a["what"].split("/")[1] for a in chosen):
        of_one = [a for a in chosen if a["what"].endswith(f"/{attention}")]
        cost = {
            (a["contestant"], a["repeat"]): _seconds_and_images(name, a, epochs, heads)
            for a in of_one
        }
        for contestant in dict.fromkeys(a["contestant"] for a in of_one):
            own = [a for a in of_one if a["contestant"] == contestant]
            lines.append(_line(name, attention, contestant, own, cost))
    return lines


def _line(
    row: str,
    attention: str,
    contestant: str,
    answers: list[Answer],
    cost: dict[tuple[str, int], tuple[float, float]],
) -> Line:
    seconds = [cost[contestant, a["repeat"]][0] for a in answers]
    images = [cost[contestant, a["repeat"]][1] for a in answers]
    ratios = []
    for answer, s, n in zip(answers, seconds, images, strict=True):
        if ("ours", answer["repeat"]) in cost:
            our_s, our_n = cost["ours", answer["repeat"]]
            ratios.append((s / n) / (our_s / our_n))
    losses = [(a["epochs"][0]["loss"], a["epochs"][-1]["loss"]) for a in answers if a["epochs"]]
    cuda = [a["cuda_mb"] for a in answers if a["cuda_mb"] is not None]
    return Line(
        row=row,
        attention=attention,
        contestant=contestant,
        images_per_s=statistics.median(n / s for s, n in zip(seconds, images, strict=True)),
        seconds=statistics.median(seconds),
        times_ours=statistics.median(ratios) if ratios else None,
        spread=(min(ratios), max(ratios)) if len(ratios) > 1 else None,
        before_s=statistics.median(a["before_s"] for a in answers),
        rss_mb=max(a["rss_mb"] for a in answers),
        worker_rss_mb=max(a["worker_rss_mb"] for a in answers),
        cuda_mb=max(cuda) if cuda else None,
        losses=losses[-1] if losses else None,
        measured_epochs=min(len(a["epochs"]) for a in answers),
        repeats=len(answers),
    )


def _seconds_and_images(row: str, answer: Answer, epochs: int, heads: int) -> tuple[float, float]:
    """What one child tells of a row: seconds of the whole work, and its images."""
    images = answer["images"]
    if row == "evaluation":
        return answer["seconds"], images
    if row in ("frozen_epoch", "full_epoch"):
        # the first epoch warms up: workers start, kernels are chosen
        passed = answer["epochs"][1:] or answer["epochs"]
        return statistics.median(e["train_s"] for e in passed), images
    if row == "sweep" and answer["contestant"] == "ours":
        return answer["wall_s"], heads * epochs * images
    whole = answer["seconds"] if row == "frozen_10" else answer["wall_s"]
    whole += _not_measured(answer["epochs"], epochs)
    return (heads * whole, heads * epochs * images) if row == "sweep" else (whole, epochs * images)


def _not_measured(measured: list[dict[str, float]], epochs: int) -> float:
    """Seconds that the epochs left out would have taken, at the median of those after the first."""
    passed = measured[1:] or measured
    each = statistics.median(e["train_s"] + e["val_s"] for e in passed)
    return max(epochs - len(measured), 0) * each


def works_of_ceiling(answers: Iterable[Answer]) -> dict[str, Any] | None:
    """Medians over repeats of what `ceiling` measured; None when nothing was."""
    found = [a for a in answers if a["what"] == "ceiling/none" and "failed" not in a]
    if not found:
        return None
    works = {
        work: {key: _median(a["works"][work][key] for a in found) for key in known}
        for work, known in found[0]["works"].items()
    }
    rates = {key: _median(a["rates"][key] for a in found) for key in found[0]["rates"]}
    return {"works": works, "rates": rates}


def _median(values: Iterable[Any]) -> Any:
    values = list(values)
    return statistics.median(values) if isinstance(values[0], int | float) else values[0]
