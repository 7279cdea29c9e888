"""bt-eval: one checkpoint on one split, or several on several data sets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.config import typed
from braintumor.data.dataset import Dataset, read_dataset
from braintumor.data.images import Fit
from braintumor.data.labels import collapse_to_binary
from braintumor.data.manifest import KNOWN, SPLITS, choose_rows, class_numbers, read_manifest
from braintumor.data.moved import find_images
from braintumor.errors import CheckpointError, ConfigError, DataError, some
from braintumor.evaluation.common_classes import (
    BINARY,
    answers_joined,
    fit_labels,
    labels_joined,
    ways_to_fit,
)
from braintumor.evaluation.provenance import Provenance, data_title, read_provenance
from braintumor.privacy import with_places
from braintumor.progress import waiting
from braintumor.quoting import key_of, pasteable
from braintumor.runs.checkpoint import Card, find_checkpoint, members_of
from braintumor.runs.ensemble import read_model_card, run_of
from braintumor.runs.folder import RunFolder, begun_in
from braintumor.runs.kinds import EVALUATION
from braintumor.runs.ownership import hold
from braintumor.statistics.decisions import Decisions
from braintumor.workflows.arguments import EvalArguments, Request
from braintumor.workflows.console import log
from braintumor.workflows.cross_dataset import evaluate_across
from braintumor.workflows.data import drawn, read_again, read_data, restore
from braintumor.workflows.describe import describe_data, write_evaluation
from braintumor.workflows.outputs import check_output, held_output, named_folder
from braintumor.workflows.results import CrossDatasetResult, EvaluationResult


def evaluate(request: Request) -> EvaluationResult | CrossDatasetResult:
    """Evaluate a checkpoint on its own data or on any other; with on=[…] a matrix.

    request: the settings of configs/eval.yaml.
    Raises ConfigError, DataError, CheckpointError.
    """
    asked = request.arguments(EvalArguments)
    several = asked.ckpt if isinstance(asked.ckpt, list) else [asked.ckpt]
    if asked.on or len(several) > 1:
        return evaluate_across(request)
    ckpt = several[0] if several else None
    return _evaluate_checkpoint(find_checkpoint(ckpt and str(ckpt)), asked, request)


def _evaluate_checkpoint(path: Path, asked: EvalArguments, request: Request) -> EvaluationResult:
    """Evaluate one checkpoint on one split, and write the report."""
    card, run = read_model_card(path), run_of(path)
    check_output(request, EVALUATION, run.path / "eval")
    if not asked.data:
        _refuse_own_of_several(path, card)
        _refuse_val_of_refit(path, card, asked, run)
    with waiting("loading the model"):
        # torch and matplotlib, once what was asked has been accepted
        from braintumor.evaluation.evaluate import EvalOptions, EvaluatedImages
        from braintumor.evaluation.evaluate import evaluate as evaluate_images
        from braintumor.evaluation.heatmaps import device_of
        from braintumor.evaluation.leakage import leakage_by_groups, leakage_by_hashes
        from braintumor.evaluation.predict import EvalSettings, Inference
        from braintumor.workflows.load import Use, load
        from braintumor.workflows.setup import keeps_summaries

        model = load(path, Use(asked.device, asked.precision, asked.batch_size))
    data, data_name, is_own = _data_for(card, request, run)
    if is_own:
        _refuse_val_of_refit(path, card, asked, run)
        _refuse_other_splits(path, card, data, run)
    split, rows, fitted = *choose_rows(data.manifest, asked.split), model.postprocessing
    decisions, in_folders = fitted.decisions if fitted else None, "classes" in (asked.data or {})
    labels, classes, joined = _labels_for(data, card, decisions, in_folders=in_folders)
    if joined:
        log.warning("%s", joined)
    if is_own:
        leakage = leakage_by_groups(data, split, card, refit=card.settings["train"]["refit"])
    else:
        leakage = leakage_by_hashes(data, rows, card, asked.copy_bits)
    keep = keeps_summaries(card.settings, device_of(model.network))
    how = Inference(asked.batch_size, model.dtype, keep)
    settings = typed(EvalSettings, _eval_section(asked, card), "eval")
    own_prevalence = card.settings["decision"].get("prevalence")
    prevalence = own_prevalence if asked.prevalence is None else asked.prevalence
    provenance = _provenance(path, card, run, data_name, is_own=is_own)
    which = "selected_" if path == run.selected else ""
    name = split if is_own else f"{_slug(data_name)}_{split}"
    with _held(request, run.evaluation(which + name)) as folder:
        evaluation = evaluate_images(
            model.network,
            card.classes,
            EvaluatedImages(data, labels, rows, split, leakage, classes),
            EvalOptions(how, settings, prevalence),
            fitted,
            provenance,
        )
        write_evaluation(dataclasses.replace(evaluation, joined=joined), folder)
    return EvaluationResult(folder)


def _slug(data_name: str) -> str:
    """As part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", data_name).strip("-")[:60] or "data"


def _provenance(
    path: Path, card: Card, run: RunFolder, data_name: str, *, is_own: bool
) -> Provenance:
    """What the run tells, of an evaluation on its own data or on those of that name."""
    known, members = read_provenance(run, card), len(members_of(path)) if path.is_dir() else 1
    return dataclasses.replace(
        known,
        data_name=data_name,
        learnt_from="" if is_own else known.data_name,
        pictures=drawn(run.path) if is_own else {},
        members=members,
        best_epoch=card.epoch if members == 1 else None,
    )


def _refuse_own_of_several(path: Path, card: Card) -> None:
    if path.is_dir():
        raise ConfigError(
            f"{path} is an {card.model_name}, and images that one of them was tested on, others "
            f"were trained on; figures on its own data are in {path / 'summary.md'}. Evaluate it "
            "on other data: data=folder data.root=DIR"
        )


def _refuse_val_of_refit(path: Path, card: Card, asked: EvalArguments, run: RunFolder) -> None:
    if card.settings["train"]["refit"] and asked.split == "val":
        raise ConfigError(
            f"{path} was trained on val too (train.refit=true), so val says nothing of it; "
            f"evaluate the model that val chose: ckpt={run.selected}"
        )


def _refuse_other_splits(path: Path, card: Card, data: Dataset, run: RunFolder) -> None:
    """Raises CheckpointError where manifest.csv has other training images than the checkpoint.

    Else images that it was trained on could pass for test images.
    """
    images = data.manifest
    is_trained = images["split"].isin(KNOWN)
    here, known = set(images["sha256"][is_trained]), set(card.training_hashes)
    # a start (init) has seen images, too, which may be among those of test
    more = set() if card.settings.get("init") else known & set(images["sha256"]) - here
    if run.manifest.is_file() and (wrong := (here - known) | more):
        first = images["path"][images["sha256"].isin(wrong)].iloc[0]
        raise CheckpointError(
            f"{run.manifest} has other training images than {path} was trained on (first: {first}"
            "); copy both from the run again, or name data and split: data=… split=all"
        )


def _eval_section(asked: EvalArguments, card: Card) -> dict[str, Any]:
    """What the run itself was evaluated with, unless the user says otherwise."""
    own = {k: v for k, v in card.settings["eval"].items() if k in asked.eval}
    here = {k: v for k, v in asked.eval.items() if v is not None}
    views = here.get("views", own["views"])
    if views != own["views"]:
        said = "eval.views=%s, but temperature and thresholds were fitted with %s"
        log.warning(said, views, own["views"])
    return own | here


@contextmanager
def _held(request: Request, default: Path) -> Iterator[Path]:
    """Where the user says, else in the run, where an earlier one stays without overwrite=true."""
    if named_folder(request) is None and request.settings["overwrite"]:
        with hold(default, EVALUATION, "replace"):
            yield default
        return
    with held_output(request, EVALUATION, default) as folder:
        if folder.parent == default.parent and folder != default:
            log.info("%s is there and stays; overwrite=true would replace it", default)
        yield folder


def _data_for(card: Card, request: Request, run: RunFolder) -> tuple[Dataset, str, bool]:
    """The data set the user named, as the checkpoint wants its pictures; else its own.

    With what to call it, and whether it is the one of the training.
    """
    options: dict[str, Any] | None = request.settings.get("data")
    if not options:
        settings = with_places(card.settings, begun_in(run))
        if run.manifest.is_file():
            own_run = pasteable("ckpt", str(run.path))
            moved = f"bt-eval {own_run} data=folder data.root=FOLDER split=test"
            data = read_again(settings, card.image_size, run, moved)
        else:
            data = read_data(settings, card.image_size, card.data_name)
        return data, data_title(card.data_name, card.settings["data"]), True
    typed_in = set(map(key_of, request.overrides))
    for key, own in (("image_size", card.image_size), ("fit", card.fit)):
        if f"data.{key}" in typed_in and options[key] != own:
            raise ConfigError(
                f"data.{key}={options[key]}, but the checkpoint was trained with {own}; "
                f"leave data.{key} out"
            )
    # where a split of the training is asked for, its labels are those of the training
    is_binary = card.binary and request.settings["split"] in SPLITS
    options = options | {"fit": card.fit, "binary": is_binary or options["binary"]}
    data = read_dataset(options, card.image_size, classes=card.classes)
    name = data_title(request.choices["data"], options)
    if (moved_here := _moved(data, request.settings["split"], run, card.fit)) is not None:
        return moved_here, name, True
    log.info("%s: %s at %d px", name, some(len(data.manifest), "image"), card.image_size)
    describe_data(data)
    return data, name, False


def _labels_for(
    data: Dataset, card: Card, decisions: Decisions | None, *, in_folders: bool
) -> tuple[np.ndarray, tuple[str, ...] | None, str]:
    """Class numbers of the labels, int (N,); their classes where not the model's; and what to say.

    Raises DataError when the data has a class that the model does not know.
    """
    labels = data.manifest["label"].tolist()
    if set(labels) <= set(card.classes):
        return class_numbers(labels, card.classes), None, ""
    if set(card.classes) == set(BINARY):
        two = collapse_to_binary(labels)
        return class_numbers(two, card.classes), None, labels_joined(labels)
    wanted, why = fit_labels(card.classes, labels)
    if wanted is None:
        raise DataError(f"{why}; {ways_to_fit(card.classes, labels, in_folders=in_folders)}")
    return class_numbers(labels, wanted), wanted, answers_joined(card.classes, decisions)


def _moved(data: Dataset, split: str | None, run: RunFolder, fit: Fit) -> Dataset | None:
    """The images of the training, which lie elsewhere now, where a split of it is asked for.

    Known by content and class. More images may be there, unless they bring splits of their own.
    Raises DataError where the data set has no such split, and some of the images of the training.
    """
    if split not in SPLITS or not run.manifest.is_file():
        return None
    before = read_manifest(run.manifest)
    found = find_images(before, data.manifest)
    has_own = data.manifest["split"].eq(split).any()
    if not found.missing and not (found.new and has_own):
        there = "" if not found.new else f" ({some(len(found.new), 'other', 'is')} left out)"
        return restore(
            data, before, found, f"the {some(len(before), 'image')} of {run.path}{there}", fit
        )
    if len(found.missing) < len(before) and not has_own:
        raise DataError(
            f"the data has no split={split} of its own, and not all images of {run.path}, whose "
            f"splits would be taken: {found.differences}; add them, or use split=all"
        )
    return None
