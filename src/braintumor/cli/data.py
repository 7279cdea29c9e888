"""bt-data: scan, split and explore a data set: manifest, tables and pictures."""

from __future__ import annotations

from pathlib import Path

from braintumor.cli.shell import Job, Settings, command


def main() -> None:
    """Entry point of `bt-data`."""
    command("data", run)


def run(settings: Settings, job: Job) -> None:
    """Write manifest.csv, classes.csv, image_sizes.csv and plots/ of one data set."""
    from braintumor.cli.console import log
    from braintumor.cli.inputs import explore, read_data
    from braintumor.data.manifest import size_table, write_manifest
    from braintumor.runs.folder import make_run_folder

    size = settings["data"]["image_size"] or 224
    data = read_data(settings, size, job.choices["data"])
    folder = job.sweep_folder
    if settings["run_dir"]:
        folder = Path(settings["run_dir"]).expanduser()
    folder = folder or make_run_folder(Path("runs"), job.choices["data"], "data")
    write_manifest(folder / "manifest.csv", data.manifest)
    explore(data, folder)
    for line in size_table(data.manifest).head(8).to_string(index=False).splitlines():
        log.info("  %s", line)
    log.info("manifest, tables and pictures: %s", folder)


if __name__ == "__main__":
    main()
