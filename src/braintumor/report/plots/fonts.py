"""Which font draws a letter: the fonts of the style first, then any that this computer has."""

from __future__ import annotations

import functools
import unicodedata

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# Wanted beside DejaVu Sans, which is always there and knows no Chinese, Japanese or Korean.
_WANTED = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Noto Sans")
_NO_LETTERS = ("last resort", "lastresort", "emoji", "blank", "notdef", "symbol")
_NOT_SHOWN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))  # Unicode categories
# scripts whose letters change with their neighbours; drawn one by one they are no words
_JOINED = (
    "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA",
    "MALAYALAM", "SINHALA", "KHMER", "MYANMAR", "TIBETAN", "MONGOLIAN",
)  # fmt: skip
# from this version on Matplotlib joins letters and writes from right to left (libraqm)
_IS_SHAPED = matplotlib.__version_info__ >= (3, 11)

_found: dict[str, FT2Font] = {}  # by name; what letters so far have asked for


def families() -> list[str]:
    """Names of the fonts in use, the first that knows a letter draws it."""
    return [*wanted(), *_found]


@functools.cache
def wanted() -> dict[str, FT2Font]:
    """Those of the style that this computer has, by name."""
    known = {entry.name for entry in font_manager.fontManager.ttflist}
    paths = {n: font_manager.findfont(n, fallback_to_default=False) for n in _WANTED if n in known}
    return {name: FT2Font(str(path)) for name, path in paths.items()}


def is_shown(character: str) -> bool:
    """Whether the character is one to see: no control, direction mark or the like."""
    return unicodedata.category(character) not in _NOT_SHOWN


def is_drawable(character: str) -> bool:
    """Whether some font here draws the character so that it can be read.

    A font that had to be looked for is one of `families` from then on.
    """
    if not is_shown(character) or not _reads_alone(character):
        return False
    return any(_has(font, character) for font in (*wanted().values(), *_found.values())) or (
        _look_for(character)
    )


def _reads_alone(character: str) -> bool:
    if _IS_SHAPED:
        return True
    is_to_left = unicodedata.bidirectional(character) in ("R", "AL")
    return not is_to_left and not unicodedata.name(character, "").startswith(_JOINED)


@functools.cache
def _look_for(character: str) -> bool:
    """Look through all fonts of the computer, upright and regular ones first."""
    entries = sorted(
        font_manager.fontManager.ttflist,
        key=lambda e: (e.style != "normal", str(e.weight) not in ("400", "normal"), e.name),
    )
    for entry in entries:
        name = entry.name
        if any(word in name.lower() for word in _NO_LETTERS):
            continue
        font = _open(entry.fname)
        if font is not None and _has(font, character):
            if matplotlib.rcParams["font.family"] == families():  # a picture is being drawn
                matplotlib.rcParams["font.family"] = [*families(), name]
            _found[name] = font
            return True
    return False


@functools.cache
def _open(path: str) -> FT2Font | None:
    """None where the file is gone, or is no font that FreeType reads."""
    try:
        return FT2Font(path)
    except (OSError, RuntimeError):
        return None


def _has(font: FT2Font, character: str) -> bool:
    return bool(font.get_char_index(ord(character)))
