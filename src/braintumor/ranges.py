"""The ranges of numbers that are settings, or stand on a card: each stands beside its type."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from braintumor import limits


@dataclass(frozen=True)
class Within:
    """The range of a number, which stands beside its type: `Annotated[float, Within(0, 1)]`.

    ends: of a round bracket, the end itself is left out. Infinity and NaN are in no range.

    >>> print(Within(0, 1, "[)")), 1.0 in Within(0, 1, "[)")
    0 or more and below 1
    (None, False)
    """

    low: float = 0
    high: float = math.inf
    ends: str = "[]"

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.ends[0] == "(" else value >= self.low
        below = value < self.high if self.ends[1] == ")" else value <= self.high
        return (isinstance(value, int) or math.isfinite(value)) and above and below

    def __str__(self) -> str:
        first = f"above {self.low:g}" if self.ends[0] == "(" else f"{self.low:g} or more"
        last = f"below {self.high:g}" if self.ends[1] == ")" else f"at most {self.high:g}"
        if math.isinf(self.low):
            return "a finite number"
        return first if math.isinf(self.high) else f"{first} and {last}"


Finite = Annotated[float, Within(-math.inf)]
NotNegative = Annotated[float, Within()]
AboveZero = Annotated[float, Within(ends="(]")]
Rgb = tuple[Finite, Finite, Finite]
RgbAboveZero = tuple[AboveZero, AboveZero, AboveZero]
Share = Annotated[float, Within(0, 1)]
ShareWithin = Annotated[float, Within(0, 1, "()")]
ShareBelow1 = Annotated[float, Within(0, 1, "[)")]
Count = Annotated[int, Within(1)]
NotNegativeInt = Annotated[int, Within()]
PictureSide = Annotated[int, Within(1, limits.IMAGE_SIDE)]  # px
BatchSize = Annotated[int, Within(1, 1 << 20)]  # in use; that of a training is a Count
Folds = Annotated[int, Within(2, limits.FOLDS)]
Views = Annotated[int, Within(1, limits.VIEWS)]
