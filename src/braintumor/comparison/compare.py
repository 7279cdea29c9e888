"""Runs side by side: a leaderboard over configurations, and which differences are more than luck.

Rows are ranked by validation. Who ranks by the test split picks the luckiest run and reports
its luck as skill; the test figures stand beside, to be read and not to be chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from braintumor.report.page import sentences
from braintumor.report.texts import percent

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
_NOTES = (
    "ranking", "different", "untold", "reports", "copies", "patients", "validated", "repeated",
    "machines",
)  # fmt: skip
_MACHINE = ("platform", "gpu", "cpu_threads")  # what speeds depend on


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
    notes = _notes(runs, configurations, competitors, by, split)
    if notes["different"] and not different_images:
        raise DataError(
            f"{notes['different']} Evaluate them on the same images, leave some out of runs=[…], "
            "or show them beside each other all the same with different_images=true"
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
    told = tuple(notes[name] for name in _NOTES if notes[name])
    return Comparison(ranked(table, by), board, pairs, told, by, split)


def _notes(
    runs: Sequence[Run],
    configurations: Sequence[Configuration],
    competitors: Sequence[Competitor],
    by: By,
    split: str,
) -> dict[str, str]:
    """What comparison_notes.j2 says, by name."""
    sets = []
    for which in dict.fromkeys(one.asked for one in competitors):
        members = [one for one in competitors if one.asked == which]
        counts = [len(one.table.paths) for one in members[0].evaluated]
        sizes = dict(zip(members[0].image_sets, counts, strict=True))
        sets.append(([one.name for one in members], sum(sizes.values())))
    # share of images with a copy in training, and what is not known of patients -> configurations
    shares: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    unquoted: dict[str, list[str]] = {}
    for one in configurations:
        seen = [e.table.in_training for e in one.evaluated if e.table.in_training is not None]
        share = max((float(known.mean()) for known in seen), default=0)
        shares.setdefault(percent(share), []).append(one.name)
        patients = [e.patients for e in one.evaluated if not e.patients.are_known]
        for words in dict.fromkeys(found.words for found in patients):
            unknown.setdefault(words, []).append(one.name)
    for one in configurations:
        said = [(run.metrics.get("quote") or {}).get("why") for run in one.runs]
        for why in dict.fromkeys(map(str, filter(None, said))):
            unquoted.setdefault(why, []).append(one.name)
    validated = [{run.validation_images for run in one.runs} - {None} for one in configurations]
    machines = [run.environment for run in runs if run.environment]
    return sentences(
        "comparison_notes.j2",
        by=by,
        split=split,
        first=lambda names: first_of(names, _NAMED),
        sets=sets,
        configurations=configurations,
        without_predictions=[run.name for run in runs if run.metrics and run.evaluated is None],
        shares=shares,
        known={share: names for share, names in shares.items() if share != percent(0)},
        unknown=unknown,
        unquoted=unquoted,
        validations=len({frozenset(sets) for sets in validated if sets}),
        twice=[
            f"{one.name}: {', '.join(s)}" for one in configurations if (s := one.repeated_seeds)
        ],
        computers=len({tuple(str(m.get(key)) for key in _MACHINE) for m in machines}),
    )
