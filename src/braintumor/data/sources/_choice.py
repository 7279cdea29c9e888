"""What the user says of a tree of images: its classes, what to leave out, where patients stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from braintumor.errors import ConfigError

Names = list[str | int] | None  # of folders; [0,1] on a command line are numbers


@dataclass(frozen=True)
class Choice:
    """What the user said: the folders that are classes (None: all), and those to leave out.

    patient: what finds the patient in a path; None where nothing does.
    """

    classes: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    patient: re.Pattern[str] | None = None

    @classmethod
    def given(cls, classes: Names, ignore: Names, patient_regex: str | None) -> Choice:
        """data.classes, ignore and patient_regex as given; an empty list of classes chooses none.

        Raises ConfigError when data.patient_regex is no regular expression.
        """
        try:
            patient = re.compile(patient_regex) if patient_regex else None
        except re.error as error:
            raise ConfigError(
                f"data.patient_regex={patient_regex} is no regular expression ({error}); such as "
                "'data.patient_regex=\"patient_([0-9]+)\"'"
            ) from error
        return cls(
            tuple(map(str, classes)) if classes else None, tuple(map(str, ignore or ())), patient
        )

    def patients(self, paths: Sequence[str]) -> list[str | None]:
        """Whom each image belongs to; None where the expression finds nobody.

        Raises ConfigError when it finds nobody at all.
        """
        if self.patient is None:
            return [None] * len(paths)
        found = [self.patient.search(path) for path in paths]
        if not any(found):
            raise ConfigError(
                f"data.patient_regex={self.patient.pattern} finds no patient in any path, such as "
                f"{paths[0]}"
            )
        return [(match and (match[1] if match.re.groups else match[0])) or None for match in found]
