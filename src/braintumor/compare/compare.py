"""Runs side by side: a leaderboard over configurations, and which differences are more than luck.

Rows are ranked by validation. Who ranks by the test split picks the luckiest run and reports
its luck as skill; the test figures stand beside, to be read and not to be chosen by.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from braintumor.compare import notes as words
from braintumor.compare.leaderboard import (
    By,
    Configuration,
    find_configurations,
    leaderboard,
    ranked,
    runs_table,
)
from braintumor.compare.pairs import Competitor, against_first, compare_pairs, number_image_sets
from braintumor.compare.read import (
    Evaluated,
    is_comparable,
    read_evaluated,
    read_runs,
    run_names,
)
from braintumor.errors import DataError

__all__ = ["Comparison", "compare", "compare_runs", "is_comparable", "run_names"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What bt-compare says of some runs.

    runs: a row a run, with the `configuration` it belongs to and the number of its set of images.
    board: a row a configuration, ranked, as leaderboard.leaderboard gives it, with what the
        tests say of it beside the first, over all images and over the clean ones.
    pairs: as pairs.compare_pairs gives it.  notes: sentences for the reader, the ranking first.
    """

    runs: pd.DataFrame
    board: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...]
    by: By
    split: str


def compare_runs(folders: Sequence[Path], split: str = "test") -> pd.DataFrame:
    """A row a run, best validation macro F1 first; what a run does not know is missing (NaN).

    folders: run folders, or folders of a sweep, which stand for all jobs in them. A job that
    did not complete keeps its row, with its status and why.
    Raises CheckpointError when there is no folder, or a completed run without this evaluation.
    """
    return ranked(runs_table(read_runs(folders, split)), "validation")


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
    Raises CheckpointError as compare_runs does, and when predictions.csv is damaged.
    """
    runs = read_runs(folders, split)
    table = runs_table(runs)
    evaluated = [read_evaluated(run) for run in runs]
    image_sets = number_image_sets(evaluated)
    configurations = find_configurations(runs, table["overrides"].tolist())
    competitors = _competitors(configurations, evaluated, image_sets)
    differ = words.different_images(competitors, split)
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
        board[column] = [against_first(pairs, first, name, images) or None for name in board["run"]]
    names = {n: one.name for one in configurations for n in one.members}
    table["configuration"] = [names[n] for n in range(len(runs))]
    numbers = [None if number is None else number + 1 for number in image_sets]
    table["image_set"] = pd.Series(numbers, dtype="Int64")
    said = (
        words.ranking(by, split),
        *([differ] if differ else []),
        *words.about_runs(runs, evaluated, configurations),
    )
    for note in said[1:]:
        _log.warning(note)
    return Comparison(ranked(table, by), board, pairs, said, by, split)


def _competitors(
    configurations: Sequence[Configuration],
    evaluated: Sequence[Evaluated | None],
    image_sets: Sequence[int | None],
) -> list[Competitor]:
    """Configurations with predictions; runs of one that have none are left out."""
    found = []
    for one in configurations:
        answered = tuple(e for n in one.members if (e := evaluated[n]) is not None)
        asked = tuple(s for n in one.members if (s := image_sets[n]) is not None)
        if answered:
            found.append(Competitor(one.name, answered, asked))
    return found
