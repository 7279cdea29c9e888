"""bt-compare: finished runs side by side, with tests, as tables, pictures and one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braintumor.cli.shell import Job, Settings, command

if TYPE_CHECKING:
    import pandas as pd

_WIDE = ("balanced accuracy", "best floor", "against the first, clean")  # for a console
_ABOUT = ("model", "data", "status", "seeds", "n")


@dataclass(frozen=True)
class _How:
    """The section of configs/compare.yaml that says how to compare."""

    split: str
    by: Literal["validation", "test"]
    different_images: bool
    resamples: int
    bootstrap_seed: int


def main() -> None:
    """Entry point of `bt-compare`."""
    command("compare", run)


def run(settings: Settings, job: Job) -> None:
    """Compare the runs that the settings name."""
    from braintumor.cli.outputs import check_output, held_output, of_now
    from braintumor.errors import ConfigError
    from braintumor.runs.folder import COMPARISON

    if not settings["runs"]:
        raise ConfigError("no runs given; name run folders: bt-compare 'runs=[runs/a,runs/b]'")
    how = _how(settings)
    check_output(settings, job, COMPARISON)
    runs = settings["runs"] if isinstance(settings["runs"], list) else [settings["runs"]]
    with held_output(settings, job, COMPARISON, of_now("comparison")) as folder:
        _compare(_expand(runs), folder, how)


def compare(runs: list[Path], folder: Path, split: str) -> None:
    """Print and write the comparison of a sweep, whose jobs may have read different images."""
    import yaml

    from braintumor.config import config_dir

    values = yaml.safe_load((config_dir() / "compare.yaml").read_text(encoding="utf-8"))
    _compare(runs, folder, _how(values | {"split": split, "different_images": True}))


def _how(settings: dict[str, Any]) -> _How:
    from braintumor.config import typed
    from braintumor.errors import ConfigError

    names = _How.__dataclass_fields__
    how = typed(_How, {name: settings[name] for name in names}, "compare")
    if how.resamples < 100:
        raise ConfigError(
            f"resamples={how.resamples} is too few for the ends of an interval; give 100 or more, "
            "such as resamples=2000"
        )
    return how


def _compare(runs: list[Path], folder: Path, how: _How) -> None:
    from braintumor.cli.console import log
    from braintumor.compare.compare import compare as compare_all
    from braintumor.compare.lines import board_lines
    from braintumor.compare.write import write_comparison
    from braintumor.report.plots.style import elide

    comparison = compare_all(
        runs,
        split=how.split,
        by=how.by,
        different_images=how.different_images,
        resamples=how.resamples,
        seed=how.bootstrap_seed,
    )
    write_comparison(folder, comparison)
    lines = board_lines(comparison)
    lines = lines[[name for name in lines if name not in _WIDE and not _is_dull(lines[name])]]
    lines = lines.map(lambda text: elide(text, 44))
    for line in lines.to_string(index=False).splitlines():
        log.info("%s", line)
    log.info("%s", comparison.notes[0])
    log.info("comparison: %s", folder / "comparison.html")


def _is_dull(column: pd.Series) -> bool:
    """Whether a column tells no row from another, such as the same model everywhere."""
    return column.name in _ABOUT and len(column) > 1 and len(set(column)) == 1


def _expand(patterns: list[str]) -> list[Path]:
    from braintumor.compare.compare import is_comparable

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


if __name__ == "__main__":
    main()
