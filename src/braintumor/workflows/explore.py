"""bt-data: scan, audit, split and explore a data set: manifest, tables and pictures."""

from __future__ import annotations

from pathlib import Path

from braintumor.cache import KINDS, cache_dir, list_files, remove_files, size_bytes
from braintumor.data.dataset import Dataset
from braintumor.data.manifest import size_table, write_manifest
from braintumor.errors import ConfigError
from braintumor.evaluation.baseline_cache import cached_baselines
from braintumor.files import write_atomic
from braintumor.report.plots.baselines import draw_floors
from braintumor.report.plots.style import to_png
from braintumor.runs.folder import run_name
from braintumor.runs.kinds import DATA
from braintumor.runs.ownership import remove_own
from braintumor.workflows.arguments import DataArguments, Request
from braintumor.workflows.console import log
from braintumor.workflows.data import draw_data, read_data, write_tables
from braintumor.workflows.outputs import check_output, held_output

_SIZE_PX = 224  # where neither the data nor a model says one


def read_only(request: Request) -> Dataset:
    """The data set of the settings, audited and divided; nothing is written."""
    size = request.settings["data"].get("image_size")
    settings, name = request.settings, request.choices["data"]
    return read_data(settings, _SIZE_PX if size is None else size, name)


def explore(request: Request) -> Dataset | None:
    """Write manifest.csv, the tables and plots/ of one data set; with probe=true its baselines.

    request: the settings of configs/data.yaml. With cache=size or cache=clear nothing of this is
        done, no image is read, and None is given back.
    Raises ConfigError, DataError.
    """
    asked = request.arguments(DataArguments)
    if asked.cache is not None:
        _cache(asked.cache)
        return None
    check_output(request, DATA)
    data = read_only(request)
    default = Path("runs") / run_name(request.choices["data"], "data")
    with held_output(request, DATA, default) as folder:
        remove_own(folder, DATA)
        write_manifest(folder / "manifest.csv", data.manifest)
        write_tables(data, folder)
        draw_data(data, folder)
        for line in size_table(data.manifest).head(8).to_string(index=False).splitlines():
            log.info("  %s", line)
        if asked.probe:
            _probe(data, folder)
    log.info("manifest, tables and pictures: %s", folder)
    kept = sum(size_bytes(path) for files in list_files().values() for path in files)
    if kept:
        log.info("kept for later runs: %.1f MB (cache=size, cache=clear)", kept / 1e6)
    return data


def _cache(what: str) -> None:
    """Say what is kept for later runs, or remove it; no data set is touched.

    Raises ConfigError when it is neither "size" nor "clear".
    """
    if what not in ("size", "clear"):
        raise ConfigError(f"cache={what} is not known; use cache=size or cache=clear")
    log.info("cache: %s (BT_CACHE names another)", cache_dir())
    for name, files in list_files().items():
        size = sum(map(size_bytes, files)) / 1e6
        log.info("  %-9s %4d files %9.1f MB  %s", name, len(files), size, KINDS[name].holds)
    if what == "clear":
        log.info("removed: %.1f MB are free again", remove_files() / 1e6)


def _probe(data: Dataset, folder: Path) -> None:
    """floors.csv and plots/floors.png: what a model has to beat on the test split."""
    floors = cached_baselines(data.pixels, data.manifest, data.classes)
    write_atomic(folder / "floors.csv", floors.to_csv())
    write_atomic(folder / "plots" / "floors.png", to_png(draw_floors(floors)))
    log.info("floors on test, a model should be above them:")
    shown = floors[["accuracy", "n", "clean_accuracy", "clean_n"]]
    for line in shown.to_string(float_format="%.3f", na_rep="–").splitlines():
        log.info("  %s", line)
