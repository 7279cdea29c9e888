"""One name per class, however a data set spells it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from braintumor.errors import DataError

CANONICAL = ("glioma", "meningioma", "no_tumor", "pituitary", "tumor")

# Spellings met in public data sets, without separators and with British "tumour" made "tumor".
_ALIASES = {
    "glioma": ("glioma", "gliomas", "gliomatumor", "brainglioma"),
    "meningioma": ("meningioma", "meningiomas", "meningiomatumor", "brainmenin"),
    "pituitary": ("pituitary", "pituitarytumor", "pituitaryadenoma"),
    "no_tumor": ("no", "notumor", "nontumor", "withouttumor", "nobraintumor", "normal", "healthy"),
    "tumor": ("yes", "tumor", "tumors", "tumorous", "braintumor", "withtumor"),
}
_CANONICAL_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


def harmonise(label: str) -> str:
    """The canonical class of a label; an unknown one is kept as lower_case_words.

    Case, spaces, hyphens and "tumour" do not matter: "No-Tumour", "notumor", "no" -> "no_tumor".
    Raises DataError when the label holds no letter and no digit.
    """
    words = re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", label).casefold()).strip("_")
    if not words:
        raise DataError(
            f"class name {label!r} has no letter or digit; rename the class folder or the label"
        )
    compact = words.replace("_", "").replace("tumour", "tumor")
    return _CANONICAL_OF.get(compact, words)


def collapse_to_binary(labels: Sequence[str]) -> list[str]:
    """Harmonised labels as "no_tumor" and "tumor"; every class but no_tumor counts as tumor.

    Raises DataError when no label is "no_tumor": then nothing says what the other side is.
    """
    if "no_tumor" not in labels:
        raise DataError(
            f"data.binary=true needs a class no_tumor, and there are only "
            f"{', '.join(sorted(set(labels)))}; rename the class without tumour to no_tumor "
            "or leave data.binary=false"
        )
    return [label if label == "no_tumor" else "tumor" for label in labels]
