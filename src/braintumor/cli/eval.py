"""bt-eval: a checkpoint on its own data set or on any other; several on several as a matrix."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.cli.shell import Job, Settings, command

if TYPE_CHECKING:
    from braintumor.data.dataset import Dataset
    from braintumor.runs.checkpoint import Card
    from braintumor.runs.folder import RunFolder


def main() -> None:
    """Entry point of `bt-eval`."""
    command("eval", run)


def run(settings: Settings, job: Job) -> None:
    """Evaluate one checkpoint on one split and write the evidence, or many as a matrix."""
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()
    several = settings["ckpt"] if isinstance(settings["ckpt"], list) else [settings["ckpt"]]
    if settings["on"] or len(several) > 1:
        from braintumor.cli.matrix import run_matrix

        run_matrix(settings, job)
    else:
        _run_one(settings | {"ckpt": several[0] if several else None}, job)


def _run_one(settings: Settings, job: Job) -> None:
    from braintumor.cli.outputs import check_output
    from braintumor.errors import ConfigError
    from braintumor.runs.checkpoint import find_checkpoint, load_classifier, read_card
    from braintumor.runs.folder import RunFolder
    from braintumor.runs.kinds import EVALUATION
    from braintumor.runtime import choose_device, choose_precision

    check_output(settings, job, EVALUATION)

    prevalence = settings["prevalence"]
    if prevalence is not None and not 0 < prevalence < 1:
        raise ConfigError(f"prevalence={prevalence} should be between 0 and 1, such as 0.01")
    path = find_checkpoint(settings["ckpt"])
    card = read_card(path)
    is_own, is_refit = not settings.get("data"), card.settings["train"].get("refit", False)
    if is_own and is_refit and settings["split"] == "val":
        raise ConfigError(
            f"{path} was trained on val too (train.refit=true), so val says nothing of it; "
            f"evaluate the model that val chose: ckpt={RunFolder(path.parent).selected}"
        )
    from braintumor.cli.console import describe_evaluation, log
    from braintumor.cli.inputs import drawn, labels_of
    from braintumor.cli.recording import how_evaluated
    from braintumor.cli.work import keeps_summaries
    from braintumor.config import typed
    from braintumor.data.manifest import rows_of
    from braintumor.evaluation.evaluate import EvalOptions, EvaluatedImages, evaluate
    from braintumor.evaluation.leakage import leakage_by_groups, leakage_by_hashes
    from braintumor.evaluation.postprocessing import load_postprocessing
    from braintumor.evaluation.predict import EvalSettings, Inference
    from braintumor.evaluation.provenance import read_provenance
    from braintumor.report.write import write
    from braintumor.runs.kinds import EvaluationFile

    run = RunFolder(path.parent)
    device = choose_device(settings["device"])
    data, data_name = _data_for(card, settings, job, run)
    split, rows = rows_of(data.manifest, settings["split"])
    labels = labels_of(data, card.classes)
    if is_own:
        leakage = leakage_by_groups(data, split, refit=is_refit)
    else:
        leakage = leakage_by_hashes(data, rows, card, settings["copy_bits"])
    model, card = load_classifier(path, device)
    which = "selected_" if path == run.selected else ""
    # what the run itself was evaluated with, unless the user says otherwise
    trained = card.settings
    precision = settings["precision"] or trained["train"]["precision"]
    named_here = {k: v for k, v in settings["eval"].items() if v is not None}
    evaluation = {k: v for k, v in how_evaluated(card).items() if k in settings["eval"]}
    views = named_here.get("views", evaluation["views"])
    if card.decisions and views != evaluation["views"]:
        log.warning(
            "eval.views=%s, but temperature and thresholds were fitted with %s",
            views,
            evaluation["views"],
        )
    if prevalence is None:
        prevalence = trained.get("decision", {}).get("prevalence")
    own_name = which + (split if is_own else f"{_slug(data_name)}_{split}")
    with _folder(settings, job, run.evaluation(own_name)) as folder:
        inference = Inference(
            settings["batch_size"],
            choose_precision(precision, device),
            keeps_summaries(trained, device),
        )
        found = evaluate(
            model,
            card.classes,
            EvaluatedImages(data, labels, rows, split, leakage),
            EvalOptions(
                inference, typed(EvalSettings, evaluation | named_here, "eval"), prevalence
            ),
            load_postprocessing(path, card),
            dataclasses.replace(
                read_provenance(run, card),
                data_name=data_name,
                pictures=drawn(run.path) if is_own else {},
            ),
        )
        write(found, folder)
        describe_evaluation(found, folder / EvaluationFile.REPORT)


@contextmanager
def _folder(settings: Settings, job: Job, default: Path) -> Iterator[Path]:
    """Where the user says, else in the run, where an earlier one stays without overwrite=true."""
    from braintumor.cli.console import log
    from braintumor.cli.outputs import existing, held_output, named_folder
    from braintumor.runs.kinds import EVALUATION
    from braintumor.runs.ownership import hold

    if named_folder(settings, job) is None and settings["overwrite"]:
        with hold(default, EVALUATION, existing(settings)):
            yield default
        return
    with held_output(settings, job, EVALUATION, default) as folder:
        if folder.parent == default.parent and folder != default:
            log.info("%s is there and stays; overwrite=true would replace it", default)
        yield folder


def _data_for(card: Card, settings: Settings, job: Job, run: RunFolder) -> tuple[Dataset, str]:
    """The data set the user named, as the checkpoint wants its pictures; else its own."""
    from braintumor.cli.console import describe_data, log
    from braintumor.cli.inputs import read_data
    from braintumor.cli.resume import check_same_images
    from braintumor.data.dataset import read_dataset
    from braintumor.data.manifest import class_table
    from braintumor.errors import ConfigError
    from braintumor.evaluation.provenance import data_title

    options: dict[str, Any] | None = settings.get("data")
    if not options:
        data = read_data(card.settings, card.image_size, card.data_name)
        if run.manifest.is_file():
            check_same_images(run, data.manifest)
        return data, data_title(card.data_name, card.settings["data"].get("root"))
    typed_in = {o.split("=")[0].lstrip("+") for o in job.overrides}
    for key, own in (("image_size", card.image_size), ("fit", card.fit)):
        if f"data.{key}" in typed_in and options[key] != own:
            raise ConfigError(
                f"data.{key}={options[key]}, but the checkpoint was trained with {own}; "
                f"leave data.{key} out"
            )
    is_binary = card.binary or set(card.classes) == {"no_tumor", "tumor"}
    options = options | {"fit": card.fit, "binary": is_binary}
    data = read_dataset(options, card.image_size, progress=True, classes=card.classes)
    name = data_title(job.choices["data"], options.get("root"))
    log.info("%s: %d images at %d px", name, len(data.manifest), card.image_size)
    describe_data(class_table(data.manifest), data.ignored, len(data.unreadable))
    return data, name


def _slug(name: str) -> str:
    """A folder name of plain letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:60] or "data"


if __name__ == "__main__":
    main()
