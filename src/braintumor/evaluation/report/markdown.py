"""Text that strangers named, as Markdown."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Text that stays one cell of Markdown and becomes no markup."""
    text = " ".join(str(text).split())
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(sign, safe)
    return text
