"""bt-data: scan, audit, split and explore a data set; and what is kept for later runs."""

from __future__ import annotations

from pathlib import Path

from braintumor.cache_folder import KINDS, cache_dir, list_files, remove_files, size_bytes
from braintumor.data.dataset import Dataset
from braintumor.data.manifest import size_table, write_manifest
from braintumor.errors import ConfigError
from braintumor.files import write_atomic
from braintumor.report.texts import rate
from braintumor.runs.folder import run_name
from braintumor.runs.kinds import DATA
from braintumor.runs.ownership import remove_own
from braintumor.workflows.arguments import DataArguments, Request
from braintumor.workflows.console import log, log_table
from braintumor.workflows.data import draw_data, read_data, write_tables
from braintumor.workflows.outputs import check_output, held_output

_SIZE_PX = 224  # where neither the data nor a model says one


def read_only(request: Request) -> Dataset:
    """The data set of the settings, audited and divided; only the cache is written.

    Raises ConfigError for what bt-data does beside it.
    """
    for name in ("cache", "probe", "run_dir", "overwrite"):
        if request.settings[name]:
            raise ConfigError(f"{name}= is for bt-data; read_data writes nothing: leave it out")
    return _read(request)


def _read(request: Request) -> Dataset:
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
    check_output(request, DATA, "runs")
    if request.own_pictures:
        log.info("these are generated slices; your own pictures: %s", request.own_pictures)
    data = _read(request)
    default = Path("runs") / run_name(request.choices["data"], "data")
    with held_output(request, DATA, default) as folder:
        remove_own(folder, DATA)
        write_manifest(folder / "manifest.csv", data.manifest)
        write_tables(data, folder)
        draw_data(data, folder)
        log_table(size_table(data.manifest).head(8).to_string(index=False))
        if asked.probe:
            _probe(data, folder)
    log.info("manifest, tables and pictures: %s", folder)
    if kept := sum(map(size_bytes, list_files().values())):
        log.info("kept for later runs: %.1f MB (bt-data cache=clear removes it)", kept / 1e6)
    return data


def _cache(what: str) -> None:
    """Say what is kept for later runs, or remove it; no data set is touched."""
    log.info("cache: %s (BT_CACHE names another)", cache_dir())
    for name, files in list_files().items():
        size_mb = size_bytes(files) / 1e6
        log.info("  %-9s %4d files %9.1f MB  %s", name, len(files), size_mb, KINDS[name].holds)
    if what == "clear":
        log.info("removed: %.1f MB are free again", remove_files() / 1e6)


def _probe(data: Dataset, folder: Path) -> None:
    """floors.csv and plots/floors.png: what a model has to beat on the test split."""
    # matplotlib and scikit-learn, as above
    from braintumor.evaluation.baselines import measure_baselines
    from braintumor.report.plots.performance import draw_baselines
    from braintumor.report.plots.style import to_png

    floors = measure_baselines(data.pixels, data.manifest, data.classes)
    write_atomic(folder / "floors.csv", floors.to_csv())
    write_atomic(folder / "plots" / "floors.png", to_png(draw_baselines(floors)))
    log.info("floors on test, a model should be above them:")
    shown = floors[["accuracy", "n", "clean_accuracy", "clean_n"]]
    log_table(shown.to_string(float_format=rate, na_rep="–"))
