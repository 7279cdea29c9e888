"""Figures, counts and names as a person reads them, in pages and in pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

_SIGN = "\N{NO-BREAK SPACE}%"
_NOTHING = 1e-9  # of a share; below is what rounding leaves of 0
_WHOLE = 1 - 1e-12  # above is what rounding leaves of 1
_WORD = r"\w*[{0}][\w{0}]*".format(r"\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff")
_FROM_RIGHT = rf"(?<!\w){_WORD}(?:[ -]+{_WORD})*"  # words of Hebrew, Arabic and their like


def is_defined(value: float | None) -> TypeGuard[float]:
    """Whether a figure is a finite number."""
    return value is not None and math.isfinite(value)


def defined_pair(figures: Mapping[str, Any], name: str) -> Any:
    """The interval beside a figure; None where there is none, or an end of it is not defined."""
    pair = figures.get(f"{name}_ci")
    return pair if pair is not None and all(map(is_defined, pair)) else None


def number(value: float | None, digits: str = "z.4f") -> str:
    """Four digits, and never 1 of what is less; a dash for what is not defined."""
    if not is_defined(value):
        return "–"
    text = format(value, digits)
    return f"{math.floor(value * 1e4) / 1e4:.4f}" if value < _WHOLE and float(text) >= 1 else text


def rate(value: float | None) -> str:
    """Three digits, and never 1.000 of what is not whole; a dash for what is not defined."""
    if not is_defined(value):
        return "–"
    return f"{min(value + 1e-12, 0.999) if value < _WHOLE else value:z.3f}"


def interval(figures: Mapping[str, Any], name: str) -> str:
    """ "0.9412–0.9630", the 95 % interval beside a figure; empty where there is none."""
    return "–".join(map(number, defined_pair(figures, name) or ()))


def percent(share: float | None) -> str:
    """98.3 %, and never 100 % or 0 % of what is neither; a dash for what is not defined."""
    if not is_defined(share):
        return "–"
    share = float(share)  # NumPy's float32 would not keep what is added
    text = f"{share + 1e-12:.1%}"
    if text == "100.0%" and share < _WHOLE:
        text = f"{math.floor(share * 1e4) / 1e4:.2%}"
    elif text == "0.0%" and share > _NOTHING:
        text = f"{share:.{math.ceil(-math.log10(100 * share))}%}"
    return text.replace("%", _SIGN)


def percents(pair: Any, between: str = "–") -> str:
    """Both ends of an interval with one sign: 94.0–96.3 %."""
    return f"{percent(pair[0]).removesuffix(_SIGN)}{between}{percent(pair[1])}"


def accuracy_ci(metrics: Mapping[str, Any]) -> str:
    """ "95 % CI 94.0 to 96.3 %" of the accuracy; empty where it has no interval."""
    pair = defined_pair(metrics, "accuracy")
    return "" if pair is None else f"95{_SIGN} CI {percents(pair, ' to ')}"


def accuracy_with_ci(metrics: Mapping[str, Any]) -> str:
    """ "95.3 % (95 % CI 94.0 to 96.3 %)", or the figure alone."""
    return percent(metrics["accuracy"]) + (f" ({ci})" if (ci := accuracy_ci(metrics)) else "")


def width(value: float | None) -> str:
    """Length of the bar under a figure in [0, 1], in percent."""
    return number(100 * value, ".1f") if is_defined(value) else "0"


def which_split(name: str) -> str:
    """ "test split", or what the images of no one split are."""
    several = {"all": "the whole data set", "pooled": "test images of all folds"}
    return several.get(name, f"{name} split")


def isolated(text: str) -> str:
    """The text with marks around what is read from the right, so that figures stay in place."""
    if text.isascii():  # as a picture in base64 is
        return text
    return re.sub(_FROM_RIGHT, "\N{FIRST STRONG ISOLATE}\\g<0>\N{POP DIRECTIONAL ISOLATE}", text)
