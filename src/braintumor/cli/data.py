"""bt-data: scan, audit, split and explore a data set: manifest, tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from braintumor.cli.shell import Job, Settings, command

if TYPE_CHECKING:
    from braintumor.data.dataset import Dataset


def main() -> None:
    """Entry point of `bt-data`."""
    command("data", run)


def run(settings: Settings, job: Job) -> None:
    """Write manifest.csv, the tables and plots/ of one data set; with probe=true its floors.

    With cache=size or cache=clear nothing of this, and no image is read.
    """
    if settings["cache"] is not None:
        _cache(str(settings["cache"]))
        return
    from braintumor.cli.console import log
    from braintumor.cli.inputs import draw_data, read_data, write_tables
    from braintumor.cli.outputs import check_output, held_output
    from braintumor.data.kept import kept_files, size_bytes
    from braintumor.data.manifest import size_table, write_manifest
    from braintumor.runs.folder import DATA, run_name
    from braintumor.runs.ownership import remove_own
    from braintumor.runtime import configure_process

    configure_process()
    check_output(settings, job, DATA)
    named = settings["data"].get("image_size")
    size = 224 if named is None else named
    data = read_data(settings, size, job.choices["data"])
    default = Path("runs") / run_name(job.choices["data"], "data")
    with held_output(settings, job, DATA, default) as folder:
        remove_own(folder, DATA)
        write_manifest(folder / "manifest.csv", data.manifest)
        write_tables(data, folder)
        draw_data(data, folder)
        for line in size_table(data.manifest).head(8).to_string(index=False).splitlines():
            log.info("  %s", line)
        if settings["probe"]:
            _probe(data, folder)
    log.info("manifest, tables and pictures: %s", folder)
    kept = sum(size_bytes(path) for files in kept_files().values() for path in files)
    if kept:
        log.info("kept for later runs: %.1f MB (cache=size, cache=clear)", kept / 1e6)


def _cache(what: str) -> None:
    """Say what is kept for later runs, or remove it; no data set is touched.

    Raises ConfigError when it is neither "size" nor "clear".
    """
    from braintumor.cli.console import log
    from braintumor.data.kept import FOLDERS, kept_files, remove_kept, size_bytes
    from braintumor.errors import ConfigError
    from braintumor.files import cache_dir

    if what not in ("size", "clear"):
        raise ConfigError(f"cache={what} is not known; use cache=size or cache=clear")
    log.info("cache: %s (BT_CACHE names another)", cache_dir())
    for name, files in kept_files().items():
        size = sum(map(size_bytes, files)) / 1e6
        log.info("  %-9s %4d files %9.1f MB  %s", name, len(files), size, FOLDERS[name])
    if what == "clear":
        log.info("removed: %.1f MB are free again", remove_kept() / 1e6)


def _probe(data: Dataset, folder: Path) -> None:
    """floors.csv and plots/floors.png: what a model has to beat on the test split."""
    from braintumor.cli.console import log
    from braintumor.evaluation.baseline_cache import cached_baselines
    from braintumor.files import write_atomic
    from braintumor.report.plots.baselines import draw_floors
    from braintumor.report.plots.style import to_png

    floors = cached_baselines(data.pixels, data.manifest, data.classes)
    write_atomic(folder / "floors.csv", floors.to_csv())
    write_atomic(folder / "plots" / "floors.png", to_png(draw_floors(floors)))
    log.info("floors on test, a model should be above them:")
    shown = floors[["accuracy", "n", "clean_accuracy", "clean_n"]]
    for line in shown.to_string(float_format="%.3f", na_rep="–").splitlines():
        log.info("  %s", line)


if __name__ == "__main__":
    main()
