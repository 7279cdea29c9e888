"""Runs side by side: a leaderboard over configurations, and which differences are more than luck.

Rows are ranked by validation. Who ranks by the test split picks the luckiest run and reports
its luck as skill; the test figures stand beside, to be read and not to be chosen by.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from braintumor.compare.leaderboard import (
    By,
    Configuration,
    find_configurations,
    leaderboard,
    ranked,
    repeated_seeds,
    runs_table,
)
from braintumor.compare.pairs import Competitor, against_first, compare_pairs, number_image_sets
from braintumor.compare.read import (
    Evaluated,
    Run,
    is_comparable,
    read_evaluated,
    read_runs,
    run_names,
    validation_images,
)
from braintumor.errors import DataError

__all__ = ["Comparison", "compare", "compare_runs", "is_comparable", "run_names"]

TESTED = (
    "A pair is tested on the same images. McNemar (mid-p) asks whether both are equally often "
    "right, DeLong whether both have the same AUROC (mean, one class against the rest); the "
    "interval of each difference comes from a paired bootstrap. All of them count groups "
    "(images of one patient where the data name patients, copies of one picture) and not single "
    "images. With several seeds the mean over the seeds is tested: the images may change, the "
    "trained models are taken as they are. p is corrected for all pairs by Holm's method, and a "
    "difference counts below 0.05. A tie says that these images cannot tell two apart, not that "
    "they are equal."
)
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
        board[column] = [against_first(pairs, first, name, images) or None for name in board["run"]]
    names = {n: one.name for one in configurations for n in one.members}
    table["configuration"] = [names[n] for n in range(len(runs))]
    numbers = [None if number is None else number + 1 for number in image_sets]
    table["image_set"] = pd.Series(numbers, dtype="Int64")
    said = (
        _ranking_note(by, split),
        *([differ] if differ else []),
        *_other_notes(runs, evaluated, configurations),
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


def _ranking_note(by: By, split: str) -> str:
    """What ranks, and why that is or is not a fair thing to do."""
    if by == "validation":
        return (
            "Ranked by macro F1 on validation; the figures of the evaluated split are to be read "
            "and not to be chosen by, since ranking by them would pick the luckiest run."
        )
    return (
        f"Ranked by macro F1 on {split}, as by=test asked: the first of such a ranking is partly "
        f"the luckiest, so its figures on {split} are too good to quote; the default ranks by "
        "validation."
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
        parts.append(f"{_list(one.name for one in members)}: {sum(sizes.values()):,} images")
    return (
        f"These runs were evaluated on {len(asked)} different sets of images (or true classes), "
        f"so their figures on {split} cannot be compared across sets ({'; '.join(parts)})."
    )


def _other_notes(
    runs: Sequence[Run],
    evaluated: Sequence[Evaluated | None],
    configurations: Sequence[Configuration],
) -> list[str]:
    """What else a reader should know: no predictions, copies, other validation, other machines."""
    notes = (
        _without_predictions(runs, evaluated),
        _copies(evaluated, configurations),
        _patients(evaluated, configurations),
        _validated(runs, configurations),
        _repeated(runs, configurations),
        _machines(runs),
    )
    return [note for note in notes if note]


def _without_predictions(runs: Sequence[Run], evaluated: Sequence[Evaluated | None]) -> str:
    missing = [
        run.name for run, one in zip(runs, evaluated, strict=True) if run.metrics and one is None
    ]
    if not missing:
        return ""
    return (
        f"{_list(missing)}: there is no predictions.csv, so it is not known whether the images "
        "are the same, and nothing is tested; evaluate again with bt-eval."
    )


def _copies(evaluated: Sequence[Evaluated | None], configurations: Sequence[Configuration]) -> str:
    parts = []
    for one in configurations:
        found = [e.table.in_training for n in one.members if (e := evaluated[n]) is not None]
        share = max((float(seen.mean()) for seen in found if seen is not None), default=0)
        parts += [f"{one.name} {share:.1%}"] if share else []
    if not parts:
        return ""
    return (
        f"Some models know evaluated images from their training ({_list(parts)}): over all images "
        "they may win by memory; read the figures and the tests without copies."
    )


def _patients(
    evaluated: Sequence[Evaluated | None], configurations: Sequence[Configuration]
) -> str:
    """Where the tests count images for want of patients."""
    unknown: dict[str, list[str]] = {}
    for one in configurations:
        found = [e.patients for n in one.members if (e := evaluated[n]) is not None]
        for words in dict.fromkeys(p.words for p in found if not p.are_known):
            unknown.setdefault(words, []).append(one.name)
    if not unknown:
        return ""
    parts = "; ".join(f"{words} ({_list(names)})" for words, names in unknown.items())
    return (
        f"Of the images evaluated {parts}: where a patient is not known, each image, or set of "
        "copies, counts as a patient of its own, so intervals may be too narrow and p too small."
    )


def _validated(runs: Sequence[Run], configurations: Sequence[Configuration]) -> str:
    images = [validation_images(run) for run in runs]
    sets = {
        frozenset(v for n in one.members if (v := images[n]) is not None) for one in configurations
    }
    if len(sets - {frozenset()}) < 2:
        return ""
    return (
        "The configurations were validated on different images, so their validation figures, and "
        "with them the ranking, are not quite alike: copies between training and validation "
        "raise them."
    )


def _repeated(runs: Sequence[Run], configurations: Sequence[Configuration]) -> str:
    found = [(one.name, repeated_seeds(runs, one)) for one in configurations]
    parts = [f"{name}: {', '.join(seeds)}" for name, seeds in found if seeds]
    if not parts:
        return ""
    return (
        f"The same seed of the same settings is there twice ({_list(parts)}), which makes the "
        "spread too small; leave one of them out."
    )


def _machines(runs: Sequence[Run]) -> str:
    machines = {
        tuple(str(run.environment.get(key)) for key in ("platform", "gpu", "cpu_threads"))
        for run in runs
        if run.environment
    }
    if len(machines) < 2:
        return ""
    return (
        "The runs were trained on different machines, or with different numbers of threads, so "
        "their seconds and images/s cannot be compared."
    )


def _list(names: Iterable[str], longest: int = 8) -> str:
    names = list(names)
    more = f" and {len(names) - longest} more" if len(names) > longest else ""
    return ", ".join(names[:longest]) + more
