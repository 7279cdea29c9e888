"""Every pair of configurations, tested on the images that both were evaluated on."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braintumor.compare.images import Evaluated, answers_of, common_groups, image_ids
from braintumor.statistics.bootstrap import (
    FIGURES,
    mean_figures,
    paired_bootstrap,
    percentile_interval,
)
from braintumor.statistics.paired import Answers, delong, holm, mcnemar

LEVEL = 0.05  # a difference counts from here, after Holm's correction
COLUMNS = (
    "first", "second", "images", "n", "groups",
    *(part for name in (*FIGURES, "auroc") for part in (name, f"{name}_low", f"{name}_high")),
    "mcnemar_p", "mcnemar_holm", "delong_p", "delong_holm", "verdict",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Competitor:
    """A configuration with what its runs answered, and the numbers of their sets of images."""

    name: str
    evaluated: tuple[Evaluated, ...]
    questions: tuple[int, ...]

    @property
    def asked(self) -> frozenset[tuple[int, int]]:
        """Equal for two that can be compared: the same sets, each as often where several."""
        counts = Counter(self.questions)
        return frozenset(counts.items() if len(counts) > 1 else [(self.questions[0], 1)])


def compare_pairs(competitors: Sequence[Competitor], resamples: int, seed: int) -> pd.DataFrame:
    """A row a pair and kind of images ("all", "clean"), in the order of the competitors.

    Figures are first minus second, with the 95 % interval of the paired group bootstrap; AUROC
    with DeLong's. "clean" are images that no compared run knows from training, where that is
    known of all and leaves some out. Holm's correction runs over all pairs of one kind of images,
    for each test by itself.
    """
    order = {one.name: number for number, one in enumerate(competitors)}
    rows: list[dict[str, Any]] = []
    for asked in dict.fromkeys(one.asked for one in competitors):
        same = [one for one in competitors if one.asked == asked]
        if len(same) > 1:
            rows += _rows_of(same, resamples, seed)
    rows.sort(key=lambda row: (row["images"], order[row["first"]], order[row["second"]]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for test in ("mcnemar", "delong"):
        for _, part in table.groupby("images"):
            table.loc[part.index, f"{test}_holm"] = holm(part[f"{test}_p"].tolist())
        table[f"{test}_holm"] = table[f"{test}_holm"].astype(float)
    table["verdict"] = [_verdict(row) for _, row in table.iterrows()]
    return table


def against_first(pairs: pd.DataFrame, first: str, name: str, images: str = "all") -> str:
    """What the tests say of a configuration beside the first of the ranking; "" without a test."""
    is_pair = (pairs["first"] == first) & (pairs["second"] == name) & (pairs["images"] == images)
    if not is_pair.any():
        return ""
    row = pairs[is_pair].iloc[0]
    said = []
    if row["mcnemar_holm"] < LEVEL:
        said.append("less accurate" if row["accuracy"] > 0 else "more accurate")
    if row["delong_holm"] < LEVEL:
        said.append("lower AUROC" if row["auroc"] > 0 else "higher AUROC")
    return " and ".join(said) or "tie: not distinguishable"


def _rows_of(same: Sequence[Competitor], resamples: int, seed: int) -> list[dict[str, Any]]:
    """All pairs of competitors that were asked the same."""
    whole = [one for competitor in same for one in competitor.evaluated]
    groups, known = common_groups(whole), _known(whole)
    kinds: dict[str, list[np.ndarray | None]] = {"all": [None] * len(whole)}
    if known is not None and any(seen.any() for seen in known) and not all(s.all() for s in known):
        kinds["clean"] = [~seen for seen in known]
    rows = []
    for kind, chosen in kinds.items():
        answers = [
            answers_of(one, numbers, keep)
            for one, numbers, keep in zip(whole, groups, chosen, strict=True)
        ]
        if all(len(model.labels) for model in answers):
            rows += _tested(kind, same, answers, resamples, seed)
    return rows


def _known(whole: Sequence[Evaluated]) -> list[np.ndarray] | None:
    """Of each one's images, which any run knows from training: bool (N,); None when unknown."""
    if any(one.in_training is None for one in whole):
        return None
    ids = image_ids(whole)
    seen = {i for one, names in zip(whole, ids, strict=True) for i in names[one.in_training]}
    return [np.fromiter((i in seen for i in names), bool, len(names)) for names in ids]


def _tested(
    kind: str, same: Sequence[Competitor], answers: list[Answers], resamples: int, seed: int
) -> list[dict[str, Any]]:
    models, start = [], 0
    for one in same:
        models.append(answers[start : start + len(one.evaluated)])
        start += len(one.evaluated)
    resampled = paired_bootstrap(models, resamples, seed)
    sizes = {q: len(m.labels) for q, m in zip(same[0].questions, models[0], strict=True)}
    everything = np.unique(np.concatenate([model.groups for model in models[0]]))
    rows = []
    for i, j in itertools.combinations(range(len(same)), 2):
        values = {
            name: mean_figures(models[i])[name] - mean_figures(models[j])[name] for name in FIGURES
        }
        row = {
            "first": same[i].name,
            "second": same[j].name,
            "images": kind,
            "n": sum(sizes.values()),
            "groups": len(everything),
            **values,
        }
        for name in FIGURES:
            gap = resampled[i][name] - resampled[j][name]
            row[f"{name}_low"], row[f"{name}_high"] = percentile_interval(gap)
        auroc = delong(models[i], models[j])
        row |= {"auroc": auroc.value, "auroc_low": auroc.low, "auroc_high": auroc.high}
        rows.append(row | {"mcnemar_p": mcnemar(models[i], models[j]), "delong_p": auroc.p})
    return rows


def _verdict(row: pd.Series) -> str:
    """Who is better in what, or "tie"."""
    said = []
    for test, figure, words in (
        ("mcnemar", "accuracy", "is more accurate"),
        ("delong", "auroc", "has the higher AUROC"),
    ):
        if row[f"{test}_holm"] < LEVEL:
            said.append(f"{row['first' if row[figure] > 0 else 'second']} {words}")
    return "; ".join(said) or "tie"
