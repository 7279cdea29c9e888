"""Whose the images are, as far as a data set says. A folder of pictures names no patients."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Patients:
    """Of how many images the patient is known, and how many patients those are."""

    images: int
    known: int
    patients: int

    @property
    def are_known(self) -> bool:
        """For every image."""
        return self.known == self.images

    @property
    def words(self) -> str:
        """What is known, to begin or to end a sentence with."""
        if not self.known:
            return "patients are not known"
        if not self.are_known:
            return f"patients are known for {self.known:,} of {self.images:,} images only"
        return f"all images name their patient ({self.patients:,} patients)"

    @property
    def others(self) -> str:
        """Begins what is true of the images without a patient, where others have one."""
        return "of the others, " if self.known else ""


def count_patients(manifest: pd.DataFrame) -> Patients:
    """What the rows of a manifest say of patients; a missing or empty one is not known."""
    if "patient" not in manifest:
        return Patients(len(manifest), 0, 0)
    named = manifest["patient"].dropna()
    named = named[named != ""]
    return Patients(images=len(manifest), known=len(named), patients=named.nunique())
