"""The class that a label or the name of a folder says, however a data set spells it."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from braintumor.data.names import plain_letters, words_of
from braintumor.errors import ConfigError, DataError
from braintumor.quoting import pasteable

# Spellings met in public data sets, without separators and marks, with "tumour" made "tumor".
_ALIASES = {
    "glioma": (
        "glioma", "gliomas", "gliomatumor", "gliomatumors", "brainglioma", "gliom", "gliome",
        "глиома", "胶质瘤", "神经胶质瘤",
    ),
    "meningioma": (
        "meningioma", "meningiomas", "meningiomatumor", "meningiomatumors", "brainmenin",
        "meningiom", "meningiome", "meningeoma", "meningiyom", "menenjiyom",
        "meningeom", "менингиома", "脑膜瘤",
    ),
    "pituitary": (
        "pituitary", "pituitarytumor", "pituitarytumors", "pituitaryadenoma", "pituitaryadenomas",
        "pituitaria", "pituitario", "hipofiz", "hipofiztumoru", "hipofisis", "hipofise",
        "hypophyse", "hypophysentumor", "pituitari", "гипофиз", "垂体瘤",
    ),
    "no_tumor": (
        "no", "notumor", "notumors", "nottumor", "nontumor", "nontumorous", "withouttumor",
        "tumorfree", "nobraintumor", "tumorno", "normal", "normalbrain", "healthy", "healthybrain",
        "sintumor", "sano", "semtumor", "saudavel", "tumoryok", "saglikli", "sanstumeur",
        "ohnetumor", "keintumor", "gesund", "nessuntumore", "senzatumore", "bukantumor",
        "tidakadatumor", "нетопухоли", "无肿瘤",
    ),
    "tumor": (
        "yes", "tumor", "tumors", "tumorous", "braintumor", "braintumors", "withtumor", "tumoryes",
        "contumor", "comtumor", "tumorvar", "avectumeur", "mittumor",
    ),
}  # fmt: skip
CANONICAL = tuple(sorted(_ALIASES))
_CANONICAL_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}

# of these, that there is no tumor is said by the other classes
_HEALTHY = frozenset(alias for alias in _ALIASES["no_tumor"] if "tum" not in alias)
_TUMOR_WORD = re.compile(
    r".*(?<!hemat)(oma|ома)s?|.*(tum(o|ou|eu)r|cancer|blast|metasta|malign|benign|neoplas).*|"
    r"[lh]gg|gbm|grade|mass"
)

# Between the words of a name. Brackets and punctuation say nothing; a cell that begins with "=" or
# "@" is a command to a spreadsheet. A hyphen joins words, but that of "T1C-" says minus.
_SEPARATORS = re.compile(r"""[\s_.,;:!?/\\$'"`()\[\]{}=@|]+""")
_HYPHENS = re.compile(r"[-\N{HYPHEN}-\N{EM DASH}\N{MINUS SIGN}]+")
_JOINING = re.compile(r"(?<=[^\W_])-(?=[^\W_])|(?<![^\W_])-(?![^\W_])")
_NUMBER = re.compile(r"(?:class[ _-]?)?(\d+)(?:\.0*)?", re.IGNORECASE)  # 0, 0.0, class_0
_TRUTH = {"false": "0", "true": "1"}
_MOST_NUMBERS = 100  # of classes that are named in a list
_NUMBERED = re.compile(r"(\d{1,2})[\s_.)-]+(.*[^\W\d].*)")  # 1_glioma, 02. Glioma
_TRIVIAL_WORDS = ("no", "yes")  # as a whole name a class, as a word of a name anything

_REMEMBERED = 4_096  # names of folders: each holds many images


def harmonise(label: str) -> str:
    """The canonical class of a label; an unknown one is kept as lower_case_words.

    Case, spaces, hyphens and "tumour" do not matter; signs do.
    Raises DataError when the label holds no letter and no digit.
    >>> [harmonise(label) for label in ("No-Tumour", "notumor", "no", "T1C+", "T1C-")]
    ['no_tumor', 'no_tumor', 'no_tumor', 't1c+', 't1c-']
    """
    words = _lower_case_words(label)
    if not re.search(r"[^\W_]", words):
        raise DataError(
            f"class name {label!r} has no letter or digit; rename the class folder or the label"
        )
    return _CANONICAL_OF.get(_compact(words), words)


def _lower_case_words(label: str) -> str:
    name = _HYPHENS.sub("-", unicodedata.normalize("NFKC", label).casefold())
    return "_".join(_SEPARATORS.sub(" ", _JOINING.sub(" ", name)).split())


def harmonise_all(labels: Iterable[str], known: Collection[str] = ()) -> dict[str, str]:
    """Label as found -> its class, for all labels of a data set.

    A healthy class keeps its name where no other class is a tumor: of normal and stroke nothing
    says that there is none. known: the classes of a model, which may have such a name.
    Raises DataError when two unknown classes would become one though they differ in more than
    case, spaces, underscores and hyphens.
    """
    canonical = {label: harmonise(label) for label in labels}
    canonical |= _without_numbers(canonical)
    spellings: dict[str, dict[str, str]] = defaultdict(dict)
    for label, name in sorted(canonical.items()):
        if name not in CANONICAL:
            spelled = unicodedata.normalize("NFKC", label).casefold()
            spellings[name][re.sub(r"[\s_-]+", "", _HYPHENS.sub("-", spelled))] = label
    for name, found in spellings.items():
        if len(found) > 1:
            raise DataError(
                f"the classes {' and '.join(map(repr, found.values()))} would get the same name, "
                f"{name}; rename them so that more than punctuation tells them apart, or give "
                "them one name when they are one class"
            )
    healthy = {x: w for x in canonical if _compact(w := _lower_case_words(x)) in _HEALTHY}
    own = [name for name in known if classes_in(name) == {"no_tumor"}]
    if len(own) == 1:
        canonical |= dict.fromkeys(healthy, own[0])
    elif len(healthy) < len(canonical) and len(set(healthy.values())) == 1:
        canonical |= {} if any(map(_speaks_of_tumors, canonical)) else healthy
    return canonical


def _speaks_of_tumors(label: str) -> bool:
    """Whether a tumor or its absence is in the name: glioma, no tumor, LGG, Astrocytoma T1."""
    words = words_of(label)
    in_words = bool(classes_in(label)) and _compact("".join(words)) not in _HEALTHY
    return in_words or any(map(_TUMOR_WORD.fullmatch, words))


def _without_numbers(labels: Iterable[str]) -> dict[str, str]:
    """The known classes of 0_no_tumor, 1_glioma, …, where all are numbered and none is twice.

    >>> _without_numbers(["1_glioma", "2. Meningioma"]), _without_numbers(["1_glioma", "2_glioma"])
    ({'1_glioma': 'glioma', '2. Meningioma': 'meningioma'}, {})
    """
    found = {label: _NUMBERED.fullmatch(label.strip()) for label in labels}
    numbered = {label: (m[1], label_of(m[2])) for label, m in found.items() if m}
    columns = list(zip(*numbered.values(), strict=True))
    is_list = len(numbered) == len(found) and all(len(set(c)) == len(found) for c in columns)
    if not is_list or not set(columns[1] if columns else ()) <= set(CANONICAL):
        return {}  # numbers of grades, of folds, of nothing known
    return {label: name for label, (_, name) in numbered.items()}


def name_numbers(labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """Labels 0, 1, … by their names; 0.0, class_0 and false are 0 too.

    >>> name_numbers(["1", "0.0", "class_1"], ["no_tumor", "tumor"])
    ['tumor', 'no_tumor', 'tumor']

    Raises DataError on other labels, and where there are more than names.
    """
    found = dict.fromkeys(labels)
    numbers = _numbers_of(found)
    if words := [label for label in found if label not in numbers]:
        raise DataError(
            f"data.class_names names the labels 0, 1, …, but there is a label {words[0]!r}; leave "
            "data.class_names out"
        )
    if (highest := max(numbers.values(), default=0)) >= len(names):
        advice = "name them all"
        if min(numbers.values()) == 1 and highest == len(names):
            with_0 = pasteable("data.class_names", ["unused", *names])
            advice = f"they begin at 1, so give 0 a name too: {with_0}"
        raise DataError(
            f"there is a label {highest}, but data.class_names names only {len(names)} "
            f"classes, from label 0 on; {advice}"
        )
    return [names[numbers[label]] for label in labels]


def _numbers_of(labels: Iterable[str]) -> dict[str, int]:
    """The labels that are numbers."""
    plain = {label: _TRUTH.get(label.strip().casefold(), label.strip()) for label in labels}
    return {label: int(m[1]) for label, text in plain.items() if (m := _NUMBER.fullmatch(text))}


def ask_names(labels: Collection[str], first: str | None = None) -> str | None:
    """The setting that names labels that are all numbers, to be filled in; None for others.

    first: a name for the lowest of them.

    >>> print(ask_names(["1", "3"]))
    'data.class_names=[unused,name_of_1,unused,name_of_3]'
    >>> print(ask_names(["false", "true"], "no_tumor"))
    'data.class_names=[no_tumor,name_of_true]'
    """
    labels_of = {number: label for label, number in _numbers_of(labels).items()}
    if len(labels_of) < len(labels) or not labels or max(labels_of) > _MOST_NUMBERS:
        return None
    names = {number: f"name_of_{label}" for number, label in labels_of.items()}
    names[min(names)] = first or names[min(names)]
    counted = [names.get(number, "unused") for number in range(max(names) + 1)]
    return pasteable("data.class_names", counted)


def refuse_mapping(class_names: Any) -> None:
    """Raises ConfigError on {0: glioma, …} and {glioma: 0, …}, with the list that is meant."""
    if not isinstance(class_names, Mapping):
        return
    pairs = [(k, v) if str(k).isdecimal() else (v, k) for k, v in class_names.items()]
    names = {int(number): str(name) for number, name in pairs if str(number).isdecimal()}
    use = ""
    if sorted(names) == [*range(len(pairs))]:
        use = f"; use {pasteable('data.class_names', [names[n] for n in sorted(names)])}"
    raise ConfigError(f"data.class_names should be the list of the names of 0, 1, …{use}")


def classes_in(name: str) -> set[str]:
    """The known classes that a name speaks of, as a whole or in a word.

    >>> classes_in("512Glioma"), classes_in("without tumor"), classes_in("axial")
    ({'glioma'}, {'no_tumor'}, set())
    """
    words = words_of(name)
    if known := _CANONICAL_OF.get(_compact("".join(words))):
        return {known}
    found: set[str] = set()
    start = 0
    while start < len(words):
        ends = range(min(len(words), start + 3), start, -1)  # "no brain tumor" before "tumor"
        for end in ends:
            word = _compact("".join(words[start:end]))
            if word in _CANONICAL_OF and word not in _TRIVIAL_WORDS:
                found.add(_CANONICAL_OF[word])
                break
        start = end  # where nothing was found, the next word
    return found


def _compact(words: str) -> str:
    return plain_letters(words).replace("_", "").replace("tumour", "tumor")


def collapse_to_binary(labels: Sequence[str]) -> list[str]:
    """Harmonised labels as "no_tumor" and "tumor"; every class but no_tumor counts as tumor.

    A label that names no_tumor and no tumor among its words, such as normal_t1, is no_tumor too,
    and of negative and positive alone the first.

    Images of tumours alone are fine, to evaluate on.
    Raises DataError when there is no "no_tumor" and a label that is no known tumour either:
    it might be the healthy ones under another name.
    """
    healthy = {label for label in set(labels) if classes_in(label) == {"no_tumor"}}
    if set(labels) == {"negative", "positive"}:  # of what, nobody but who says binary knows
        healthy = {"negative"}
    unknown = sorted(set(labels) - set(CANONICAL))
    if not healthy and unknown:
        ways = "rename the class without tumour to no_tumor and the others to names such as tumor"
        if numbered := ask_names(set(labels), "no_tumor"):
            ways = f"if the lowest of them is without tumour: {numbered}"
        raise DataError(
            "to tell tumour from none, a class no_tumor is needed; there are only "
            f"{', '.join(sorted(set(labels)))}; {ways}, or set data.binary=false"
        )
    return ["no_tumor" if label in healthy else "tumor" for label in labels]


@functools.lru_cache(_REMEMBERED)
def label_of(folder: str) -> str:
    """The class of a folder's name; the name itself, in lower case, where it has no letter."""
    try:
        return harmonise(folder)
    except DataError:
        return folder.casefold()


def is_known_class(folder: str) -> bool:
    """Whether the whole name is one of a known class."""
    return label_of(folder) in CANONICAL
