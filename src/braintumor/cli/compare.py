"""bt-compare: finished runs side by side, as CSV, Markdown and a picture."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from braintumor.cli.shell import Job, Settings, command

_SHOWN = (
    "run",
    "model",
    "data",
    "overrides",
    "status",
    "n",
    "val_macro_f1",
    "accuracy",
    "macro_f1",
    "auroc",
    "seconds",
)


def main() -> None:
    """Entry point of `bt-compare`."""
    command("compare", run)


def run(settings: Settings, job: Job) -> None:
    """Compare the runs that the settings name."""
    from braintumor.errors import ConfigError

    if not settings["runs"]:
        raise ConfigError("no runs given; name run folders: bt-compare 'runs=[runs/a,runs/b]'")
    runs = settings["runs"] if isinstance(settings["runs"], list) else [settings["runs"]]
    folder = settings["run_dir"] or f"comparison/{datetime.now():%Y-%m-%d_%H-%M-%S}"
    compare(_expand(runs), Path(folder).expanduser(), settings["split"])


def compare(runs: list[Path], folder: Path, split: str) -> None:
    """Print the table over runs (or over the jobs of sweep folders) and write it."""
    from braintumor.cli.console import log
    from braintumor.evaluation.compare import compare_runs, write_comparison

    table = compare_runs(runs, split=split)
    write_comparison(folder, table)
    shown = [c for c in _SHOWN if table[c].notna().any()]
    for line in table[shown].to_string(index=False, float_format="%.4f", na_rep="").splitlines():
        log.info("%s", line)
    log.info("comparison: %s", folder / "comparison.md")


def _expand(patterns: list[str]) -> list[Path]:
    from braintumor.evaluation.compare import is_comparable

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
