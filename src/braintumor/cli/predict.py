"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.cli.shell import Job, Settings, command

if TYPE_CHECKING:
    import numpy as np
    import torch

    from braintumor.models.classifier import Classifier
    from braintumor.runs.checkpoint import Card

_NOTES = (  # column of predictions.csv, its value, what is said of such a picture
    ("foreign", "true", "  foreign: not like the training images"),
    ("upside_down", "true", "  looks upside down"),
    ("answered", "false", "  not sure enough: leave it to a person"),
)
_CALLED = {"true": "  called tumor", "false": "  not called tumor"}


def main() -> None:
    """Entry point of `bt-predict`."""
    command("predict", run)


def run(settings: Settings, job: Job) -> None:
    """Write predictions.csv and heat-map overlays for a picture or a folder of pictures."""
    from braintumor.cli.outputs import check_output, held_output, of_now
    from braintumor.runs.checkpoint import find_checkpoint, load_classifier, read_card
    from braintumor.runs.folder import PREDICTIONS
    from braintumor.runs.ownership import remove_own
    from braintumor.runtime import (
        choose_device,
        choose_precision,
        configure_process,
        configure_torch,
    )

    configure_process()
    check_output(settings, job, PREDICTIONS)
    path = find_checkpoint(settings["ckpt"])
    card = read_card(path)
    paths, images = _read_pictures(settings, card)
    import numpy as np

    from braintumor.cli.console import log
    from braintumor.cli.deciding import load_postprocessing
    from braintumor.cli.recording import how_evaluated
    from braintumor.data.tensors import load_split
    from braintumor.evaluation.predict import predict_with_features
    from braintumor.statistics.decisions import columns_of, decide

    device = choose_device(settings["device"])
    configure_torch(device)
    model, card = load_classifier(path, device)
    nobody_knows = np.zeros(len(paths), dtype=np.int64)  # labels are not read below
    split = load_split(images, nobody_knows, tuple(paths), np.arange(len(paths)), device)
    precision = settings["precision"] or card.settings["train"]["precision"]
    predictions, features = predict_with_features(
        model,
        split,
        card.classes,
        batch_size=settings["batch_size"],
        dtype=choose_precision(precision, device),
        views=settings["views"] or card.settings["eval"]["views"],
    )
    more: dict[str, Any] = {}
    if fitted := load_postprocessing(path, card):
        decisions = fitted.decisions
        predictions = dataclasses.replace(predictions, temperature=decisions.temperature)
        decided = decide(predictions, decisions, **fitted.scores(features))
        more = columns_of(card.classes, decided)
    probs, predicted = predictions.probs, predictions.predicted
    shown = min(settings["overlays"], len(paths))
    with held_output(settings, job, PREDICTIONS, of_now("predictions")) as folder:
        remove_own(folder, PREDICTIONS)
        _write_table(folder, paths, card.classes, probs, predicted, more, shown)
        how = how_evaluated(card)
        _write_overlays(folder, model, images[:shown], predicted[:shown], device, how)
    for i, name in enumerate(paths[:20]):
        p, k = probs[i], predicted[i]
        notes = _called(card.classes[k], more["is_tumor"][i]) if "is_tumor" in more else []
        notes += [said for name, value, said in _NOTES if name in more and more[name][i] == value]
        log.info("%-40s %-14s %.3f%s", name, card.classes[k], p[k], "".join(notes))
    if len(paths) > 20:
        log.info("… and %d more", len(paths) - 20)
    log.info("predictions: %s", folder / "predictions.csv")


def _called(predicted: str, is_tumor: str) -> list[str]:
    """What the tumor threshold says, where that is not what the most probable class says."""
    from braintumor.statistics.decisions import NO_TUMOR

    return [] if (predicted != NO_TUMOR) == (is_tumor == "true") else [_CALLED[is_tumor]]


def _read_pictures(settings: Settings, card: Card) -> tuple[list[str], np.ndarray]:
    """Names and uint8 pixels (N, S, S[, 3]) of all pictures, or one error naming all bad ones."""
    import numpy as np

    from braintumor.data.images import decode, is_image_name, resize
    from braintumor.errors import DataError
    from braintumor.files import natural_key

    if not settings["input"]:
        raise DataError("no pictures given; name a file or a folder with input=PATH")
    root = Path(settings["input"]).expanduser()
    if not root.exists():
        raise DataError(f"there is no file or folder {root}; check input=")
    files = [root] if root.is_file() else [
        p for p in root.rglob("*")
        if p.is_file() and is_image_name(p.name) and not p.name.startswith(".")
    ]  # fmt: skip
    files.sort(key=lambda p: natural_key(p.as_posix()))
    if not files:
        raise DataError(f"{root} holds no pictures; input= takes PNG, JPEG, BMP, TIFF, GIF or WebP")
    names, pictures, bad = [], [], []
    for file in files:
        try:
            picture = decode(file.read_bytes()).pixels
        except (DataError, OSError) as error:
            bad.append(f"{file}: {error}")
            continue
        names.append(file.name if root.is_file() else file.relative_to(root).as_posix())
        pictures.append(resize(picture, card.image_size, card.fit))
    if bad and (not settings["skip_unreadable"] or not names):
        listed = "\n  ".join(bad[:20])
        raise DataError(
            f"{len(bad)} of {len(files)} pictures cannot be read; mend or remove them, or use "
            f"skip_unreadable=true:\n  {listed}"
        )
    if any(p.ndim == 3 for p in pictures):
        pictures = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures]
    return names, np.stack(pictures)


def _write_table(
    folder: Path, paths: list[str], classes: tuple[str, ...], probs: np.ndarray,
    predicted: np.ndarray, more: Mapping[str, Any], shown: int,
) -> None:  # fmt: skip
    import pandas as pd

    from braintumor.files import write_atomic

    table = pd.DataFrame({"path": paths, "pred": [classes[k] for k in predicted]})
    for k, name in enumerate(classes):
        table[f"prob_{name}"] = probs[:, k]
    for name, column in more.items():
        table[name] = column
    table["overlay"] = [f"cam/{i:05d}.png" if i < shown else "" for i in range(len(paths))]
    # texts are quoted, or a line break in a file name would end the row
    text = table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    content = text.encode(errors="backslashreplace")
    write_atomic(folder / "predictions.csv", content)


def _write_overlays(
    folder: Path, model: Classifier, images: np.ndarray, predicted: np.ndarray,
    device: torch.device, how: Mapping[str, Any],
) -> None:  # fmt: skip
    from PIL import Image

    from braintumor.evaluation.explain import cam_heatmaps
    from braintumor.report.plots.pictures import overlay

    if not len(images):
        return
    (folder / "cam").mkdir(exist_ok=True)
    heatmaps = cam_heatmaps(model, images, predicted, device, 16, how["cam"], how["cam_layer"])
    for i, (image, heatmap) in enumerate(zip(images, heatmaps, strict=True)):
        Image.fromarray(overlay(image, heatmap)).save(folder / "cam" / f"{i:05d}.png")


if __name__ == "__main__":
    main()
