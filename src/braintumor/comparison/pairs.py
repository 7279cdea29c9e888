"""Every pair of configurations, tested on the images that both were evaluated on."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braintumor.comparison.read import Evaluated
from braintumor.data.manifest import component_numbers
from braintumor.statistics import paired

# N images of an evaluation

LEVEL = 0.05  # a difference counts from here, after Holm's correction
TIE = "tie: not distinguishable"  # for the board
TESTS = (("mcnemar", "accuracy"), ("delong", "auroc"))  # and the figure that each is about
COLUMNS = (
    "first", "second", "images", "n", "groups",
    *(f"{name}{end}" for name in (*paired.FIGURES, "auroc") for end in ("", "_low", "_high")),
    "mcnemar_p", "mcnemar_holm", "delong_p", "delong_holm", "verdict",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Competitor:
    """A configuration with what its runs answered, and the numbers of their sets of images."""

    name: str
    evaluated: tuple[Evaluated, ...]
    image_sets: tuple[int, ...]

    @property
    def asked(self) -> frozenset[tuple[int, int]]:
        """What it was evaluated on; two that have the same can be compared.

        Seeds of one set of images count once, however many they are. Where seeds have test images
        of their own, each set must be there as often.
        """
        counts = Counter(self.image_sets)
        return frozenset(counts.items() if len(counts) > 1 else [(self.image_sets[0], 1)])


def number_image_sets(evaluated: Iterable[Evaluated]) -> dict[Evaluated, int]:
    """A number for each, from 1: equal where images, true classes and classes are equal.

    Names alone may deceive (two phantom sets share them), so content decides where both know it.
    """
    numbers: dict[Evaluated, int] = {}
    for one in evaluated:
        same = (number for other, number in numbers.items() if _is_same(one, other))
        numbers[one] = next(same, max(numbers.values(), default=0) + 1)
    return numbers


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
            rows += _compare_same(same, resamples, seed)
    rows.sort(key=lambda row: (row["images"], order[row["first"]], order[row["second"]]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for test, _ in TESTS:
        for _, part in table.groupby("images"):
            table.loc[part.index, f"{test}_holm"] = paired.holm(part[f"{test}_p"].tolist())
        table[f"{test}_holm"] = table[f"{test}_holm"].astype(float)
    words = {"accuracy": "is more accurate", "auroc": "has the higher AUROC"}
    table["verdict"] = [
        "; ".join(f"{row[which]} {words[figure]}" for figure, which in differences(row)) or "tie"
        for row in table.to_dict("records")
    ]
    return table


def against_first(pairs: pd.DataFrame, first: str, images: str) -> dict[str, str]:
    """What the tests say of each configuration that was tested beside the first of the ranking."""
    words = {
        ("accuracy", "first"): "less accurate", ("accuracy", "second"): "more accurate",
        ("auroc", "first"): "lower AUROC", ("auroc", "second"): "higher AUROC",
    }  # fmt: skip
    own = pairs[(pairs["first"] == first) & (pairs["images"] == images)].to_dict("records")
    said = {row["second"]: " and ".join(words[found] for found in differences(row)) for row in own}
    return {name: text or TIE for name, text in said.items()}


def differences(row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """(accuracy | auroc, first | second), the better of a pair, where its test tells them apart."""
    return [
        (figure, "first" if row[figure] > 0 else "second")
        for test, figure in TESTS
        if row[f"{test}_holm"] < LEVEL
    ]


def _is_same(one: Evaluated, other: Evaluated) -> bool:
    a, b = one.table, other.table
    if a.classes != b.classes or len(a.paths) != len(b.paths):
        return False
    ids, others = _image_ids([one, other])
    pairs = zip(ids, a.labels, strict=True), zip(others, b.labels, strict=True)
    return sorted(pairs[0]) == sorted(pairs[1])


def _image_ids(evaluated: Sequence[Evaluated]) -> list[np.ndarray]:
    """What names each one's images across runs: content where all know it, else the path."""
    contents = [one.contents for one in evaluated if one.contents is not None]
    return contents if len(contents) == len(evaluated) else [one.table.paths for one in evaluated]


def _common_groups(evaluated: Sequence[Evaluated]) -> list[np.ndarray]:
    """Numbers of the groups of each one's images, from 0, the same for the same image: int (N,).

    Images are in one group where any run's manifest says so; without a manifest each image is
    its own.
    """
    ids = _image_ids(evaluated)
    images, distinct = pd.factorize(np.concatenate(ids))
    names: list[str] = []
    for number, (one, own) in enumerate(zip(evaluated, ids, strict=True)):
        groups = [""] * len(own) if one.groups is None else one.groups
        # a name of a group means nothing in another run's manifest
        names += [f"{number}:{g}" if g else f"image:{i}" for g, i in zip(groups, own, strict=True)]
    groups = pd.factorize(np.array(names, dtype=object))[0] + len(distinct)
    component = component_numbers(images, groups, int(groups.max()) + 1)
    numbers = pd.factorize(component[images])[0].astype(np.int64)
    return np.split(numbers, np.cumsum([len(own) for own in ids])[:-1])


def _unseen(evaluated: Sequence[Evaluated]) -> list[np.ndarray] | None:
    """Of each one's images, which no run knows from training: bool (N,); None when unknown."""
    seen: set[str] = set()
    ids = _image_ids(evaluated)
    for one, names in zip(evaluated, ids, strict=True):
        if one.table.in_training is None:
            return None
        seen.update(names[one.table.in_training])
    return [np.array([name not in seen for name in names], dtype=bool) for names in ids]


def _compare_same(same: Sequence[Competitor], resamples: int, seed: int) -> list[dict[str, Any]]:
    """All pairs of competitors that were asked the same, over all images and over clean ones."""
    whole = [one for competitor in same for one in competitor.evaluated]
    groups, unseen = _common_groups(whole), _unseen(whole)
    kinds = {"all": [np.ones(len(one.table.paths), dtype=bool) for one in whole]}
    if unseen and not all(keep.all() for keep in unseen):
        kinds["clean"] = unseen
    rows = []
    for kind, chosen in kinds.items():
        if not all(keep.any() for keep in chosen):
            continue
        answers = (
            paired.Answers(t.labels[keep], t.predicted[keep], t.probs[keep], numbers[keep])
            for t, numbers, keep in zip([one.table for one in whole], groups, chosen, strict=True)
        )
        models = [[next(answers) for _ in one.evaluated] for one in same]
        rows += _test_pairs(kind, same, models, resamples, seed)
    return rows


def _test_pairs(
    kind: str,
    same: Sequence[Competitor],
    models: list[list[paired.Answers]],
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    resampled = paired.paired_bootstrap(models, resamples, seed)
    figures = [paired.mean_figures(one) for one in models]
    sizes = {s: len(m.labels) for s, m in zip(same[0].image_sets, models[0], strict=True)}
    groups = np.unique(np.concatenate([model.groups for model in models[0]]))
    rows = []
    for i, j in itertools.combinations(range(len(same)), 2):
        row: dict[str, Any] = {"first": same[i].name, "second": same[j].name, "images": kind}
        row |= {"n": sum(sizes.values()), "groups": len(groups)}
        for name in paired.FIGURES:
            gaps = resampled[i][name] - resampled[j][name]
            low, high = paired.interval_of_difference(gaps, len(groups))
            value = figures[i][name] - figures[j][name]
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        auroc = paired.delong(models[i], models[j])
        row |= {"auroc": auroc.value, "auroc_low": auroc.low, "auroc_high": auroc.high}
        rows.append(row | {"mcnemar_p": paired.mcnemar(models[i], models[j]), "delong_p": auroc.p})
    return rows
