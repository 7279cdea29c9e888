"""Small words and tables of every page."""

from __future__ import annotations

import numpy as np


def percent(share: float) -> str:
    """98.3 %, and never 100 % of what is not whole."""
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        text = f"{np.floor(share * 1e4) / 1e4:.2%}"
    return text.replace("%", "\N{NO-BREAK SPACE}%")


def escaped(text: str) -> str:
    """Text that stays one cell of Markdown and becomes no markup."""
    text = " ".join(str(text).split())
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(sign, safe)
    return text
