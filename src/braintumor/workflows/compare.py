"""bt-compare: finished runs side by side, with tests, as tables, pictures and one page."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from braintumor.comparison.compare import compare as compare_runs
from braintumor.comparison.leaderboard import as_rows
from braintumor.comparison.read import is_comparable
from braintumor.comparison.write import board_lines, write_comparison
from braintumor.errors import ConfigError, TrainingError, some
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import COMPARISON
from braintumor.workflows.arguments import CompareArguments, Request
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log
from braintumor.workflows.outputs import check_output, held_output, of_now
from braintumor.workflows.results import ComparisonResult

_SHOWN = ("val macro F1", "accuracy", "accuracy without copies")  # on a console
_ABOUT = ("data", "status", "seeds", "n")  # there too, under the name, where they differ
_COLUMNS, _FIGURE = 100, 15  # characters of a line; of a column, which "(0.9806–0.9933)" takes


def compare(request: Request) -> ComparisonResult:
    """Compare the runs that the settings name.

    request: the settings of configs/compare.yaml.
    Raises ConfigError, CheckpointError, DataError.
    """
    asked = request.arguments(CompareArguments)
    if not asked.runs:
        raise ConfigError("no runs given; name run folders, such as 'runs=[runs/a,runs/b]'")
    check_output(request, COMPARISON, "comparison")
    runs = asked.runs if isinstance(asked.runs, list) else [asked.runs]
    with held_output(request, COMPARISON, of_now("comparison")) as folder:
        _compare(_expand(runs), folder, asked)
    return ComparisonResult(folder)


def finish_sweep(folder: Path) -> None:
    """The table over the jobs of a sweep, a row a fold or seed where they have such trials.

    Jobs may have read different images. Raises TrainingError when some jobs failed.
    """
    jobs = [RunFolder(path.parent) for path in sorted(folder.glob("*/status.json"))]
    trials = [sorted(path.parent for path in job.path.glob("*/status.json")) for job in jobs]
    runs = [run for job, own in zip(jobs, trials, strict=True) for run in own or [job.path]]
    asked = compose("compare", ["split=test", "different_images=true"], {})
    _compare(runs, folder, asked.arguments(CompareArguments))
    said = []
    for what, states in (("failed", ("failed",)), ("were interrupted", ("interrupted", "running"))):
        if names := [job.path.name for job in jobs if job.state in states]:
            said.append(f"{len(names)} of {some(len(jobs), 'job')} {what} ({', '.join(names)})")
    if said:
        raise TrainingError(
            f"{' and '.join(said)}; why stands in {folder}/<job>/status.json; try again: "
            f"{resume_command(folder)}"
        )


def _compare(runs: list[Path], folder: Path, asked: CompareArguments) -> None:
    comparison = compare_runs(
        runs,
        split=asked.split,
        by=asked.by,
        different_images=asked.different_images,
        resamples=asked.resamples,
        seed=asked.bootstrap_seed,
    )
    write_comparison(folder, comparison)
    for line in _table(board_lines(comparison)):
        log.info("%s", line)
    for rank, said in _verdicts(comparison.board):
        log.info("%d against 1: %s", rank, said)
    ranking, *cautions = comparison.notes
    log.info("%s", ranking)
    for caution in cautions:
        log.warning("%s", caution)
    log.info("comparison: %s", folder / "comparison.html")


def _table(board: pd.DataFrame) -> Iterator[str]:
    """The lines of board_lines that fit a console: a figure stands over its interval."""
    shown = [name for name in _SHOWN if name in board]
    differ = [name for name in _ABOUT if name in board and len(set(board[name])) > 1]
    room = _COLUMNS - 4 - (_FIGURE + 2) * len(shown)
    rows: list[list[list[str]]] = [
        [[""], ["run"], *(textwrap.wrap(name, _FIGURE) for name in shown)]
    ]
    for one in board.to_dict("records"):
        about = [f"n = {one[k]}" if k == "n" and one[k] else one[k] for k in differ]
        called = [one["run"], " · ".join(filter(None, about))]
        called = [line for text in called for line in textwrap.wrap(text, room)]
        rows.append([[one[""]], called, *(one[k].replace(" (", "\n(").split("\n") for k in shown)])
    widths = [max(len(line) for row in rows for line in row[k]) for k in range(len(shown) + 2)]
    for row in rows:
        for cells in itertools.zip_longest(*row, fillvalue=""):
            padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
            if line := "  ".join(padded).rstrip():
                yield line


def _verdicts(board: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """The rank of each row that was tested against the first, and what the tests say."""
    for rank, row in enumerate(as_rows(board), start=1):
        said, clean = row["against_first"], row["against_first_clean"]
        if said and clean:
            said += "; without copies too" if clean == said else f"; without copies: {clean}"
        if said:
            yield rank, said


def _expand(patterns: list[str]) -> list[Path]:
    paths: list[Path] = []
    for pattern in patterns:
        path = Path(str(pattern)).expanduser()
        if path.exists():
            paths.append(path)
            continue
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        # a pattern takes the runs among what it finds; a name must be a run
        paths += [p for p in found if is_comparable(p)] or [path]
    return paths
