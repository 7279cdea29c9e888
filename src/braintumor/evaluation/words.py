"""Figures as words, the same on every page and in every picture."""

from __future__ import annotations

import numpy as np


def percent(share: float) -> str:
    """98.3 %, and never 100 % of what is not whole."""
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        text = f"{np.floor(share * 1e4) / 1e4:.2%}"
    return text.replace("%", "\N{NO-BREAK SPACE}%")
