"""Do the promises hold: coverage, sensitivity and strangers, on the test images of finished runs.

    python scripts/evidence.py RUN [RUN …] [--out FILE]

RUN: run folders of bt-train. Several runs, such as the folds of one data set, are read together:
every image counts once. Foreign pictures are made by code (tests/foreign.py): 60 of each kind.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
_COUNT = 60  # pictures of each foreign kind


@dataclass(frozen=True, eq=False)
class Found:
    """Of the test images of one run: what the decisions said, and whether it was right."""

    name: str
    fitted_on: int
    temperature: float
    covered: np.ndarray
    set_size: np.ndarray
    tumor: np.ndarray
    called: np.ndarray
    groups: np.ndarray
    scores: np.ndarray
    limit: float
    strange: dict[str, np.ndarray]
    turned: np.ndarray
    turned_limit: float
    upside_down: np.ndarray
    answered: np.ndarray
    wrong: np.ndarray


def main() -> None:
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = []
    for run in asked.runs:
        found.append(_read(run))
        print(_promises([found[-1]]), flush=True)
    text = "\n".join((_promises(found), _strangers(found), _turned(found)))
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


def _read(path: Path) -> Found:
    from braintumor.data.host_images import load_split
    from braintumor.data.manifest import group_numbers, read_manifest
    from braintumor.data.moved import find_images
    from braintumor.evaluation.postprocessing import load_postprocessing
    from braintumor.evaluation.predict import Inference, features_of, predict_with_features
    from braintumor.runs.checkpoint import load_classifier
    from braintumor.runs.folder import RunFolder, read_config
    from braintumor.workflows.setup import setup

    sys.path.insert(0, str(ROOT / "tests"))
    from foreign import FOREIGN, make_foreign, upside_down

    run = RunFolder(path)
    settings = read_config(run)
    work = setup(settings, "data")
    if changed := find_images(read_manifest(run.manifest), work.data.manifest).differences:
        raise SystemExit(f"the images changed since {run.path} was trained: {changed}")
    model, card = load_classifier(run.best, work.device)
    fitted = load_postprocessing(run.best, card)
    rows = work.rows("test")
    how = Inference(2 * work.recipe.train.batch_size, work.dtype)
    test = load_split(
        work.data.pixels, work.labels, tuple(work.data.manifest["path"]), rows, work.device
    )
    predictions, features = predict_with_features(
        model, test, card.classes, how, settings["eval"]["views"]
    )
    scores, upside_down_scores = fitted.scores(features)
    decided = fitted.decide(predictions, features)
    if decided.sets is None or decided.is_tumor is None:
        raise SystemExit(f"{run.best} has no conformal sets or no tumor call")

    def strange(images: np.ndarray) -> tuple[np.ndarray, Any]:
        none = np.zeros(len(images), dtype=np.int64)
        paths = tuple(map(str, range(len(images))))
        split = load_split(images, none, paths, np.arange(len(images)), work.device)
        return fitted.scores(features_of(model, split, how))

    px = card.image_size
    kinds = {k: strange(make_foreign(k, _COUNT, px))[0] for k in FOREIGN}
    some = rows[np.linspace(0, len(rows) - 1, min(400, len(rows))).astype(int)]
    return Found(
        name="/".join(path.resolve().parts[-2:]),
        fitted_on=fitted.decisions.n,
        temperature=fitted.decisions.temperature,
        covered=decided.sets[np.arange(len(rows)), predictions.labels],
        set_size=decided.sets.sum(axis=1),
        tumor=predictions.labels != card.classes.index("no_tumor"),
        called=decided.is_tumor,
        groups=group_numbers(work.data.manifest["group"].iloc[rows]),
        scores=scores,
        limit=float(fitted.decisions.outlier_threshold or np.inf),
        strange=kinds,
        turned=upside_down_scores,
        turned_limit=fitted.decisions.turned_threshold,
        answered=(
            np.zeros(len(rows), bool) if decided.is_answered is None else decided.is_answered
        ),
        wrong=predictions.predicted != predictions.labels,
        upside_down=strange(upside_down(work.data.pixels[some]))[1],
    )


def _promises(found: list[Found]) -> str:
    lines = [
        "| run | fitted on | temperature | n | coverage of groups (target 0.95) | of images "
        "| mean set size | sensitivity (target 0.98) | specificity | answered "
        "| wrong answers (target 0.02) | called foreign |",
        "|---|---:|---:|---:|---|---|---:|---|---|---:|---|---:|",
        *(_row(one.name, [one]) for one in found),
    ]
    if len(found) > 1:
        lines.append(_row("all together", found))
    return "\n".join(lines) + "\n"


def _row(name: str, found: list[Found]) -> str:
    from braintumor.statistics.proportions import share_interval

    # groups of different runs are different ones
    starts = np.cumsum([0, *(one.groups.max() + 1 for one in found)])
    pairs = zip(found, starts, strict=False)
    groups = np.concatenate([one.groups + start for one, start in pairs])

    def share(values: np.ndarray, of: np.ndarray) -> str:
        low, high = share_interval(values[of].astype(float), groups[of])
        return f"{values[of].mean():.3f} [{low:.3f}, {high:.3f}] (n={of.sum():,})"

    names = ("covered", "tumor", "called", "set_size", "answered", "wrong")
    covered, tumor, called, sizes, answered, wrong = (
        np.concatenate([getattr(one, name) for one in found]) for name in names
    )
    foreign = np.concatenate([one.scores > one.limit for one in found])
    _, of_group = np.unique(groups, return_inverse=True)
    means = np.bincount(of_group, weights=covered) / np.bincount(of_group)
    low, high = share_interval(means, np.arange(len(means)))
    of_groups = f"{means.mean():.3f} [{low:.3f}, {high:.3f}] (n={len(means):,})"
    fitted = " ".join(f"{one.fitted_on:,}" for one in found[:1]) if len(found) == 1 else ""
    temperature = f"{found[0].temperature:.2f}" if len(found) == 1 else ""
    return (
        f"| {name} | {fitted} | {temperature} | {len(covered):,} "
        f"| {of_groups} | {share(covered, np.ones_like(tumor))} | {sizes.mean():.2f} "
        f"| {share(called, tumor)} | {share(~called, ~tumor)} "
        f"| {answered.mean():.3f} | {share(wrong, answered)} | {foreign.mean():.3f} |"
    )


def _strangers(found: list[Found]) -> str:
    from sklearn.metrics import roc_auc_score

    lines = [
        f"| foreign pictures ({_COUNT} each) | AUROC against test images, least of the runs "
        "| flagged, mean |",
        "|---|---:|---:|",
    ]
    for kind in found[0].strange:
        areas, flagged = [], []
        for one in found:
            theirs = one.strange[kind]
            truth = np.r_[np.zeros(len(one.scores)), np.ones(len(theirs))]
            areas.append(roc_auc_score(truth, np.r_[one.scores, theirs]))
            flagged.append((theirs > one.limit).mean())
        lines.append(f"| {kind} | {min(areas):.3f} | {np.mean(flagged):.1%} |")
    return "\n".join(lines) + "\n"


def _turned(found: list[Found]) -> str:
    from sklearn.metrics import roc_auc_score

    areas, lines = [], []
    for one in found:
        truth = np.repeat([0, 1], [len(one.turned), len(one.upside_down)])
        areas.append(roc_auc_score(truth, np.r_[one.turned, one.upside_down]))
    lines.append("| slices | called upside down, mean of the runs |")
    lines.append("|---|---:|")
    as_they_are = np.mean([(one.turned > one.turned_limit).mean() for one in found])
    stood = np.mean([(one.upside_down > one.turned_limit).mean() for one in found])
    lines.append(f"| test images as they are | {as_they_are:.1%} |")
    lines.append(f"| up to 400 of them upside down, AUROC {np.mean(areas):.3f} | {stood:.1%} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
