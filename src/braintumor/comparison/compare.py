"""Runs side by side: a leaderboard over configurations, and which differences are more than luck.

Rows are ranked by validation. Who ranks by the test split picks the luckiest run and reports
its luck as skill; the test figures stand beside, to be read and not to be chosen by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from braintumor.comparison.leaderboard import (
    By,
    Configuration,
    find_configurations,
    leaderboard,
    ranked,
    runs_table,
)
from braintumor.comparison.pairs import Competitor, against_first, compare_pairs, number_image_sets
from braintumor.comparison.read import Run, read_runs
from braintumor.config import first_of
from braintumor.errors import DataError

TESTED = (
    "A pair is tested on the same images. McNemar's test (mid-p): are both equally often right? "
    "DeLong's test: have both the same AUROC (mean of each class against the rest)? Each "
    "difference has the 95 % interval of a paired bootstrap. All three count groups (the images of "
    "one patient, or the copies of one picture), not single images. Of several seeds the mean is "
    "tested; the trained models are taken as given. p is corrected for the number of pairs (Holm); "
    "below 0.05 it counts as a difference. A tie means that these images show no difference, not "
    "that the two are equal."
)
_NAMED = 8  # runs that a note names; the count covers all


@dataclass(frozen=True, eq=False)
class Comparison:
    """What bt-compare says of some runs.

    runs: of runs_table, with the `configuration` of each and the number of its set of images.
    board: of leaderboard, with what the tests say beside the first, over all and clean images.
    pairs: of compare_pairs.  notes: sentences for the reader, the ranking first.
    """

    runs: pd.DataFrame
    board: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...]
    by: By
    split: str


def compare(
    folders: Sequence[Path],
    *,
    split: str,
    by: By,
    different_images: bool,
    resamples: int,
    seed: int,
) -> Comparison:
    """The leaderboard with its tests.

    by: what ranks, macro F1 on validation or on the split that is read.
    different_images: show configurations beside each other that were not evaluated on the same
        images, which a note then says; else DataError.
    resamples, seed: of the bootstrap.
    Raises CheckpointError as read_runs does, and when predictions.csv is damaged.
    """
    runs = read_runs(folders, split)
    table = runs_table(runs)
    sets = number_image_sets(run.evaluated for run in runs if run.evaluated is not None)
    configurations = find_configurations(runs)
    competitors = [
        Competitor(one.name, one.evaluated, tuple(sets[e] for e in one.evaluated))
        for one in configurations
        if one.evaluated
    ]
    differ = _different_images(competitors, split)
    if differ and not different_images:
        raise DataError(
            f"{differ} Evaluate them on the same images, leave some out of runs=[…], or show them "
            "beside each other all the same with different_images=true"
        )
    board = leaderboard(table, configurations, by)
    place = {name: number for number, name in enumerate(board["run"])}
    competitors.sort(key=lambda one: place[one.name])
    pairs = compare_pairs(competitors, resamples=resamples, seed=seed)
    first = board["run"].iloc[0]
    for column, images in (("against_first", "all"), ("against_first_clean", "clean")):
        board[column] = board["run"].map(against_first(pairs, first, images))
    names = {run.name: one.name for one in configurations for run in one.runs}
    table["configuration"] = [names[run.name] for run in runs]
    numbers = [None if run.evaluated is None else sets[run.evaluated] for run in runs]
    table["image_set"] = pd.Series(numbers, dtype="Int64")
    notes = [_ranking_note(by, split), differ, *_other_notes(runs, configurations)]
    return Comparison(ranked(table, by), board, pairs, tuple(filter(None, notes)), by, split)


def _ranking_note(by: By, split: str) -> str:
    if by == "validation":
        return (
            f"Ranked by macro F1 on validation. Do not choose a run by its figures on {split}: the "
            "best of several is partly the luckiest."
        )
    return (
        f"Ranked by macro F1 on {split}, as by=test asked. The first of such a ranking is partly "
        f"the luckiest: do not quote its figures on {split}. The default ranks by validation."
    )


def _different_images(competitors: Sequence[Competitor], split: str) -> str:
    """A sentence when configurations were not evaluated on the same images, else nothing."""
    asked = list(dict.fromkeys(one.asked for one in competitors))
    if len(asked) < 2:
        return ""
    parts = []
    for which in asked:
        members = [one for one in competitors if one.asked == which]
        counts = [len(one.table.paths) for one in members[0].evaluated]
        sizes = dict(zip(members[0].image_sets, counts, strict=True))
        parts.append(
            f"{first_of((one.name for one in members), _NAMED)}: {sum(sizes.values()):,} images"
        )
    return (
        f"These runs were evaluated on {len(asked)} different sets of images (or true classes), "
        f"so their figures on {split} cannot be compared across sets ({'; '.join(parts)})."
    )


def _other_notes(runs: Sequence[Run], configurations: Sequence[Configuration]) -> Iterator[str]:
    """What else a reader should know, each unless it is empty."""
    if missing := [run.name for run in runs if run.metrics and run.evaluated is None]:
        yield (
            f"{first_of(missing, _NAMED)}: there is no predictions.csv, so it is not known whether "
            "the images are the same, and nothing is tested; evaluate again with bt-eval."
        )
    yield _copies(configurations)
    yield _patients(configurations)
    validated = [{run.validation_images for run in one.runs} - {None} for one in configurations]
    if len({frozenset(sets) for sets in validated if sets}) > 1:
        yield (
            "The configurations were validated on different images, so their validation figures, "
            "and with them the ranking, are not quite alike: copies between training and "
            "validation raise them."
        )
    repeated = [(one.name, seeds) for one in configurations if (seeds := one.repeated_seeds)]
    if repeated:
        seeds_of = (f"{name}: {', '.join(seeds)}" for name, seeds in repeated)
        parts = first_of(seeds_of, _NAMED)
        yield (
            f"The same seed of the same settings is there twice ({parts}), which makes the "
            "spread too small; leave one of them out."
        )
    known = [run.environment for run in runs if run.environment]
    machines = [[str(one.get(key)) for key in ("platform", "gpu", "cpu_threads")] for one in known]
    if any(machine != machines[0] for machine in machines):
        yield (
            "The runs were trained on different machines, or with different numbers of threads, so "
            "their seconds and images/s cannot be compared."
        )


def _copies(configurations: Sequence[Configuration]) -> str:
    shares: dict[str, list[str]] = {}
    for one in configurations:
        seen = [e.table.in_training for e in one.evaluated if e.table.in_training is not None]
        share = max((float(known.mean()) for known in seen), default=0)
        shares.setdefault(f"{share:.1%}", []).append(one.name)
    known = {share: names for share, names in shares.items() if share != "0.0%"}
    if not known:
        return ""
    whose = [f"{first_of(names, _NAMED)} {share}" for share, names in known.items()]
    parts = next(iter(known)) if len(shares) == 1 else "; ".join(whose)
    return (
        f"Evaluated images with a copy in training: {parts}. A model can answer them from memory, "
        "so read the figures and the tests without copies."
    )


def _patients(configurations: Sequence[Configuration]) -> str:
    """Where the tests count images for want of patients."""
    unknown: dict[str, list[str]] = {}
    for one in configurations:
        patients = [e.patients for e in one.evaluated if not e.patients.are_known]
        for words in dict.fromkeys(found.words for found in patients):
            unknown.setdefault(words, []).append(one.name)
    if not unknown:
        return ""
    parts = "; ".join(f"{words} ({first_of(names, _NAMED)})" for words, names in unknown.items())
    if len(unknown) == 1 and len(*unknown.values()) == len(configurations):
        (parts,) = unknown
    return (
        f"Of the evaluated images {parts}: each image, or set of copies, of an unknown patient "
        "counts as a patient of its own, so intervals may be too narrow and p too small."
    )
