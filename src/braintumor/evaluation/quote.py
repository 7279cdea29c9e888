"""Which figure of an evaluation can be quoted, which classes its means are over, where it falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from braintumor.errors import some
from braintumor.runs.history import kept_epoch
from braintumor.statistics.metrics import means_over
from braintumor.statistics.proportions import Interval, difference_interval, wilson

FEW = 20  # images of a class; below, one image moves its recall by more than 5 points
LEAVES_MORE = (  # images without a copy in training
    "split=grouped (with data.patient_regex, where only file names tell patients) or "
    "split=official_clean"
)
LARGE_FALL = 0.05  # of accuracy, from validation to the images evaluated

Figures = Mapping[str, Any]  # of a split: accuracy, accuracy_ci, n, per_class, …

_OF_SPLIT = {
    "train": "These are the images that the model was trained on: the figures tell how well it "
    "remembers them, not how it does on new ones. None of them can be quoted.",
    "val": "The epoch that was kept was chosen on these very images, so the figures are somewhat "
    "too good; the test split is the one to quote.",
}


@dataclass(frozen=True, eq=False)
class Quote:
    """The figures to quote, or why there are none.

    images: "all" or "clean" (without a copy in training); None where no figure can be quoted.
    figures: those of these images.  why: a sentence, empty where there are figures.
    """

    images: str | None = None
    figures: Figures | None = None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        found = {name: (self.figures or {}).get(name) for name in ("accuracy", "accuracy_ci", "n")}
        return {"images": self.images, **found, "why": self.why or None}


def choose_quote(
    split: str, metrics: Figures, clean: Figures | None, known: int | None, *, is_own: bool = True
) -> Quote:
    """Accuracy over all images, or over the clean ones where some are known, or none.

    clean: None without clean images.  known: images known from training; None: not known.
    is_own: they are of the data set of the training, which can be split in another way.
    """
    if split in _OF_SPLIT:
        return Quote(why=_OF_SPLIT[split])
    if not known:
        return Quote("all", metrics)
    if clean is None:
        every = f"all {metrics['n']:,} images are" if metrics["n"] > 1 else "the only image is"
        return Quote(
            why=f"No overall figure can be quoted: {every} known to the model from its training, "
            "and none is left that could tell how it does on new patients."
        )
    # of which copies have left few images, and at most half
    counts = {c: (row["n"], clean["per_class"][c]["n"]) for c, row in metrics["per_class"].items()}
    emptied = {c: few for c, (n, few) in counts.items() if n and few < FEW and 2 * few <= n}
    if not emptied:
        return Quote("clean", clean)
    left = [f"{n or 'none'} of {name}" for name, n in emptied.items()]
    remedy = f"A training with {LEAVES_MORE} gives one" if is_own else "Evaluate more new images"
    return Quote(
        why=f"No overall figure can be quoted: the {some(clean['n'], 'image')} without a copy in "
        f"training {'holds' if clean['n'] == 1 else 'hold'} {_listed(left)}. {remedy}."
    )


def about_means(figures: Figures) -> str:
    """Which classes means are over; empty where every class has images."""
    rows = figures["per_class"]
    absent = [name for name, row in rows.items() if not row["n"]]
    if not absent:
        return ""
    present = _listed([name for name in rows if name not in absent])
    said = f"There is no image of {_listed(absent)} here: means over classes are over {present}."
    answered = [name for name in means_over(figures["per_class"])["macro_f1"] if name in absent]
    if answered:
        them = "it" if len(answered) == 1 else "them"
        said += f" Macro F1 counts {_listed(answered)} too, as 0, since the model answers {them} "
        said += "for other images."
    return said


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


@dataclass(frozen=True)
class Fall:
    """Accuracy on validation, on the images evaluated, and the interval of the difference."""

    validation: float
    here: float
    images: int
    interval: Interval


def fall_from_validation(
    figures: Figures, history: pd.DataFrame | None, images: Mapping[str, int] | None
) -> Fall | None:
    """A large fall of accuracy, if its interval leaves no doubt of one; else None.

    figures: of the images evaluated.  history: a row an epoch; the last `is_best` was kept.
    images: split -> count of the training's data set.
    Source: Newcombe 1998, Stat. Med. 17:873-890, method 10.
    """
    count = (images or {}).get("val", 0)
    if history is None or not count or (kept := kept_epoch(history)).empty:
        return None
    before = float(kept["val_accuracy"].item())
    if before != before:  # a refit has no validation
        return None
    here = float(figures["accuracy"])
    sides = (before, wilson(before * count, count)), (here, accuracy_interval(figures))
    interval = difference_interval(*sides)
    is_sure = interval[0] > 0 and before - here >= LARGE_FALL
    return Fall(before, here, count, interval) if is_sure else None


def accuracy_interval(figures: Figures) -> Interval:
    """The interval beside an accuracy; where there is none, that of as many single images."""
    low_high = figures.get("accuracy_ci")
    if low_high is not None and low_high[0] == low_high[0]:
        return float(low_high[0]), float(low_high[1])
    return wilson(figures["accuracy"] * figures["n"], figures["n"])
