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

    Images of tumours alone are fine, to evaluate on.
    Raises DataError when there is no "no_tumor" and a label that is no known tumour either:
    it might be the healthy ones under another name.
    """
    unknown = sorted(set(labels) - set(CANONICAL))
    if "no_tumor" not in labels and unknown:
        raise DataError(
            f"to tell tumour from none, a class no_tumor is needed; there are only "
            f"{', '.join(sorted(set(labels)))}; rename the class without tumour to no_tumor "
            f"and the others to names such as tumor, or set data.binary=false"
        )
    return [label if label == "no_tumor" else "tumor" for label in labels]
