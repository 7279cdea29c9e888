"""What an evaluation may say of patients, which is no more than its data name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from braintumor.data.manifest import Patients, count_patients

_LONE = "image or set of copies"  # counts as one where no patient is known


@dataclass(frozen=True)
class KnownPatients:
    """What is known of the patients behind an evaluation.

    evaluated: of the images evaluated.
    trained: of the training and validation images.
    together: of both, where they are of one data set; None where they are of two.
    """

    evaluated: Patients
    trained: Patients
    together: Patients | None

    @property
    def are_compared(self) -> bool:
        """Whether it is known of every image if its patient is in training too."""
        return self.together is not None and self.together.are_known

    @property
    def are_known_of_training(self) -> bool:
        """Of every training and validation image."""
        return self.trained.are_known

    @property
    def unit(self) -> str:
        """What intervals count as one."""
        # among images of another data set than its own, nobody has searched for copies
        lone = "image" if self.together is None else _LONE
        if self.evaluated.are_known:
            return lone.replace("image", "patient")
        return f"patient, other {lone}" if self.evaluated.known else lone

    @property
    def units(self) -> str:
        """The same of several."""
        return re.sub("(patient|image|set)", r"\1s", self.unit)


def patients_within(manifest: pd.DataFrame, is_evaluated: pd.Series) -> KnownPatients:
    """Of the chosen rows (bool) of the data set that the model was trained on."""
    is_trained = manifest["split"].isin(("train", "val"))
    rows = (is_evaluated, is_trained, is_evaluated | is_trained)
    return KnownPatients(*(count_patients(manifest[chosen]) for chosen in rows))


def patients_elsewhere(rows: pd.DataFrame, trained: Mapping[str, int]) -> KnownPatients:
    """Of rows of another data set. trained: what the card says of the patients of training."""
    return KnownPatients(count_patients(rows), Patients(**trained), None)


def patients_unknown(images: int) -> KnownPatients:
    """Where nobody said anything of patients."""
    nobody = Patients(images, 0, 0)
    return KnownPatients(nobody, nobody, nobody)


def about_training(known: KnownPatients) -> str:
    """What is not known of patients that are in training too; empty where all are known."""
    if known.are_compared:
        return ""
    if known.together is None:
        return (
            "Whether patients evaluated here were in training too is not known: "
            f"{_of_card(known.trained)}, and patients of two data sets cannot be compared."
        )
    words, others = known.together.words, known.together.others
    return (
        f"{words[0].upper()}{words[1:]}: {others}images of one patient may be both in training and "
        "among those evaluated."
    )


def about_intervals(known: KnownPatients) -> str:
    """What intervals count where patients are not known; empty where all are."""
    evaluated = known.evaluated
    if evaluated.are_known:
        return ""
    counted = "as a patient of its own and may be too narrow."
    if not evaluated.known:
        return f"Intervals count each {known.unit} {counted}"
    return f"Among those evaluated {evaluated.words}: intervals count each of the others {counted}"


def about_fit(known: KnownPatients) -> str:
    """What thresholds fitted on validation counted; empty where all patients are known."""
    if known.are_known_of_training:
        return ""
    each = "each of the others" if known.trained.known else f"each {_LONE}"
    return (
        f"In training and validation {known.trained.words}: {each} counted as a patient of its "
        "own, so for new patients the targets are less sure than stated."
    )


def about_patients(known: KnownPatients) -> str:
    """What is not known, in training and in the intervals; empty where all is known."""
    return " ".join(filter(None, (about_training(known), about_intervals(known))))


def _of_card(trained: Patients) -> str:
    if not trained.known:
        return "the training data name none"
    some = "" if trained.are_known else f" for {trained.known:,} of {trained.images:,} images"
    return f"the training data name {trained.patients:,} patients{some}"
