"""What a name says of images, but for their class: a split, a patient, a modality, nothing."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection, Sequence

SPLIT_NAMES = {  # English, and what the field's Spanish, Portuguese, Turkish and French sets say
    **dict.fromkeys(
        ("train", "training", "trn", "entrenamiento", "treino", "treinamento"), "train"
    ),
    **dict.fromkeys(("egitim", "apprentissage", "entrainement"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "validacion", "validacao"), "val"),
    "dogrulama": "val",
    **dict.fromkeys(("test", "testing", "holdout", "heldout", "tst", "prueba", "teste"), "test"),
}
# in the name of a file or array, beside other words
SPLIT_WORDS = {**SPLIT_NAMES, "tr": "train", "te": "test", "ts": "test", "va": "val"}
# words that a name may hold beside the one that matters
_FILLERS = frozenset((
    "data", "dataset", "datasets", "set", "sets", "image", "images", "img", "imgs", "picture",
    "pictures", "file", "files", "folder", "folders", "split", "splits", "scan", "scans", "slice",
    "slices", "sample", "samples", "mri",
))  # fmt: skip
_SPLIT_OF = {f"{word}{end}": s for word, s in SPLIT_NAMES.items() for end in ("", *_FILLERS)}
_LONGEST_NUMBER = 2  # digits beside the word of a split: 01_train, Test (20 %), train_0.8
# what the field puts beside its classes: answers of a model, outlines, pictures without an answer
_UNLABELLED = frozenset((
    "unlabeled", "unlabelled", "unknown", "unsure", "uncertain", "unclear", "unclassified",
))  # fmt: skip
_NEVER_CLASSES = _UNLABELLED | frozenset((
    "pred", "preds", "predict", "predicted", "prediction", "predictions", "mask", "masks", "label",
    "labels", "annotation", "annotations", "segmentation", "segmentations", "seg", "groundtruth",
    "roi", "rois", "bbox",
    "bboxes", "contour", "contours", "heatmap", "heatmaps", "cam", "gradcam", "thumbnails",
    "thumbs", "previews", "results", "result", "plots", "figures", "output", "outputs", "runs",
    "logs", "models", "checkpoints", "weights", "backup", "tmp", "temp", "old", "trash", "excluded",
    "removed", "rejected", "duplicates", "corrupt", "corrupted",
))  # fmt: skip
# a column or an array of classes, without signs between words; names before numbers
LABEL_NAMES = (
    "labelname", "classname", "label", "labels", "class", "classes", "classlabel", "category",
    "diagnosis", "target", "targets", "tumortype", "tumourtype", "tumorclass", "y",
)  # fmt: skip
# a column or an array of patients: its word, the clearest first, among words that only say "id"
_PATIENT_WORDS = (
    "patients?", "patienten", "paciente", "hasta", "pids?", "pat", "pt", "mrn", "subjects?", "subj",
    "sub", "participants?", "persons?", "individual", "donor", r"(?:brats|tcga|upenn|ucsf)\d*",
    "cases?",
)  # fmt: skip
_ID_WORDS = (
    "ids?|no|nr|nummer|numbers?|num|numero|code|name|idx|index|barcode|key|hash|uid|unique|bcr|"
    r"anon|anonymi[sz]ed|deidentified|pseudonym|(?:brats|tcga|upenn|ucsf)\d*"
)
_PATIENT_COLUMN = re.compile(
    f"(?:{_ID_WORDS})*(?:{'|'.join(f'({word})' for word in _PATIENT_WORDS)})(?:{_ID_WORDS})*"
)
_MODALITIES = {
    "CT": {"ct", "cta", "cect", "ncct", "ctscan", "ctscans", "tomography", "tomografi"},
    "PET": {"pet"},
    "MR": {"mr", "mri", "mra", "mrt", "flair", "dwi", "adc", "swi"},
}
_IN_PATHS = (  # how file names of the field tell a patient
    *(f"(?i)(?<![a-z]){word}[-_ ]?[0-9]+" for word in ("patient", "subject", "subj", "sub", "pat")),
    *(f"(?i)(?<![a-z]){word}[-_ ]?[0-9]+" for word in ("pt", "case", "vol", "volume", "p")),
    "(?i)(?<![a-z])(?:tcga|brats|upenn|ucsf)[^/]*(?=/)",  # a folder of his
    "(?i)(?<![a-z])(?:oas|ixi)[0-9]+(?:[-_][0-9]+)?",
    "[0-9]{3}_S_[0-9]{4,}",  # of ADNI
    "(?i)tcga[-_][a-z0-9]{2}[-_][a-z0-9]{4}",
    "(?i)(?:brats|upenn|ucsf)[a-z0-9]*[-_](?:[a-z]+[-_])*[0-9]+",
    r"(?i)(?<=/)[0-9]+(?=[-_][0-9]+\.[a-z]+$)",  # 100360_12.png
)
_FOLDERS = tuple("([^/]+)" + "/[^/]+" * below + "$" for below in (3, 2, 1))  # one a patient
_NO_PATIENTS = frozenset((  # what folders with a number are of, too
    "t", "part", "fold", "batch", "set", "group", "grade", "class", "slice", "series", "chunk",
    "split", "level", "stage", "scan", "visit", "session", "ses", "folder", "mr",
))  # fmt: skip
_YEAR = re.compile("(?:19|20)[0-9]{2}")
_MOST = 0.9  # of the images
_LOOKED_AT = 100  # images at first
_UNKNOWN = ("", "-", "?", "na", "n/a", "nan", "null")
_NO_PATIENT = (*_UNKNOWN, "none", "unknown")
_REMEMBERED = 4_096  # names of folders: each holds many images
_PATIENTS = frozenset((
    "patient", "patients", "pat", "pt", "p", "subject", "sub", "subj", "case", "id", "volume",
))  # fmt: skip
_COHORTS = (
    "tcga",
    "brats",
    "upenn",
    "ucsf",
    "oas",
    "ixi",
)  # public sets, whose name begins that of each patient


def plain_letters(text: str) -> str:
    """The text without the marks on its letters: "doğrulama" -> "dogrulama".

    Of Latin letters alone; others keep their marks.
    """
    parts = unicodedata.normalize("NFKD", text.replace("ı", "i"))
    bare = re.sub(r"(?<=[A-Za-z])[\u0300-\u036f]+", "", parts)
    return unicodedata.normalize("NFKC", bare)


def words_of(name: str) -> list[str]:
    """The words of a name in lower case; digits and a capital begin a new one, signs are left out.

    >>> words_of("512Glioma"), words_of("TrainData_2"), words_of("MRIScans")
    (['512', 'glioma'], ['train', 'data', '2'], ['mri', 'scans'])
    """
    spaced = re.sub(
        r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])", " ", plain_letters(name)
    )  # fmt: skip
    return re.findall(r"\d+|[^\W\d_]+", spaced.casefold())


@functools.lru_cache(_REMEMBERED)
def split_of(folder: str) -> str | None:
    """train, val or test when the name says that and nothing else but a number.

    folder: a name; of levels joined by "/" the first counts.

    >>> split_of("Train_Data"), split_of("3. MRI scans (testing 20%)"), split_of("train_glioma")
    ('train', 'test', None)
    """
    words = [word for word in words_of(folder.partition("/")[0]) if word not in _FILLERS]
    if any(word.isdecimal() and len(word) > _LONGEST_NUMBER for word in words):
        return None
    return _SPLIT_OF.get("".join(word for word in words if not word.isdecimal()))


def split_in(name: str) -> str | None:
    """The split that a word of a file or array tells: "train_data" and "xtrain" -> "train"."""
    return next((SPLIT_WORDS[word] for word in words_of_key(name) if word in SPLIT_WORDS), None)


def words_of_key(name: str) -> list[str]:
    """As words_of; "trainX", "xtrain" and "x_train" hold the same two."""
    return words_of(re.sub(r"(?<![^\W\d_])([xyXY])(?=[a-zA-Z]{2})", r"\1 ", name))


def is_never_class(folder: str) -> bool:
    """Whether the name is one that the field gives to no class, such as pred, masks or test_1."""
    words = [word for word in words_of(folder) if word not in _FILLERS and not word.isdecimal()]
    known = _NEVER_CLASSES | SPLIT_NAMES.keys()
    return bool(words) and ("".join(words) in known or known.issuperset(words))


def is_patient(folder: str) -> bool:
    """Whether the name is that of a patient: patient 7, sub-012, P3, BraTS20_Training_001, 0012."""
    words = words_of(folder)
    is_named = folder.casefold().startswith(_COHORTS) or bool(_PATIENTS & set(words))
    is_numbered = folder.isdecimal() and len(folder) > _LONGEST_NUMBER
    return is_numbered or (is_named and any(word.isdecimal() for word in words))


def names_nothing(folder: str) -> bool:
    """Whether the name says only that there are pictures: images, mri_scans, data 2."""
    words = [word for word in words_of(folder) if not word.isdecimal()]
    return bool(words) and _FILLERS.issuperset(words)


@functools.lru_cache(_REMEMBERED)
def patient_rank(name: str) -> int | None:
    """How clearly a column of that name says whom images belong to, 0 the most; None: not at all.

    >>> patient_rank("Patient ID (anon.)"), patient_rank("Case #"), patient_rank("patient_age")
    (0, 16, None)
    """
    found = _PATIENT_COLUMN.fullmatch(re.sub(r"[\W_]+", "", plain_letters(name)).casefold())
    return None if found is None else found.lastindex - 1 if found.lastindex else 0


def patient_pattern(paths: Sequence[str], labels: Collection[str]) -> str | None:
    """A regular expression that seems to find the patient in most paths; None where none does.

    That is one by which most images have a patient, and some patients several in one folder; or
    a level of folders with numbers, more than there are classes.
    labels: of the images, once or more.

    >>> patient_pattern(["a/pt01_1.png", "a/pt01_2.png", "b/Pt02.png"], "ab")
    '(?i)(?<![a-z])pt[-_ ]?[0-9]+'
    >>> patient_pattern(["a/pt01.png", "b/pt01.png", "b/pt02.png"], "ab")  # numbers of pictures
    >>> patient_pattern(["a/01/1.png", "a/02/1.png", "b/03/1.png", "b/03/2.png"], "ab")
    '([^/]+)/[^/]+$'
    """
    some = paths[:: max(1, len(paths) // _LOOKED_AT)]
    for pattern in (*_IN_PATHS, *_FOLDERS):
        is_folder = pattern in _FOLDERS
        found = _found_by(pattern, some, is_folder)
        if len(found) < _MOST * len(some):
            continue  # 7,000 paths and ten patterns take a second
        found = _found_by(pattern, paths, is_folder)
        count = len({name for _, name in found})
        is_more = count > (len(set(labels)) if is_folder else 1)
        if is_more and len(found) >= _MOST * len(paths) and len(set(found)) < len(found):
            return pattern
    return None


def _found_by(pattern: str, paths: Sequence[str], is_folder: bool) -> list[tuple[str, str]]:
    """Of each path in which it finds a patient: the folder, and what it finds."""
    matches = ((path, re.search(pattern, path)) for path in paths)
    found = [(path.rpartition("/")[0], m[m.re.groups].casefold()) for path, m in matches if m]
    return [(f, name) for f, name in found if not is_folder or _may_be_patient(name)]


@functools.lru_cache(_REMEMBERED)
def _may_be_patient(folder: str) -> bool:
    words = words_of(folder)
    is_numbered = any(map(str.isdecimal, words)) and not _YEAR.fullmatch(folder)
    return is_numbered and _NO_PATIENTS.isdisjoint(words) and split_of(folder) is None


def is_unknown(text: str) -> bool:
    """Whether a cell says nothing: empty, nan, n/a. "none" may be a class, as "no tumor" is."""
    return text.strip().casefold() in _UNKNOWN


def is_unlabelled(label: str) -> bool:
    """Whether a label says that its image has none: unknown, unlabelled, -1."""
    return label.strip().casefold() in {*_UNLABELLED, "-1", "-1.0"}


def without_decimals(text: str) -> str:
    """A whole number as spreadsheets and pandas write it, "7.0", is "7"; other text stays."""
    return re.sub(r"^(\d+)\.0+$", r"\1", text.strip())


def patient_named(text: str) -> str | None:
    """The patient as a table has it; None where the cell says that it is not known."""
    return None if text.strip().casefold() in _NO_PATIENT else without_decimals(text)


def patient_key(name: str) -> str:
    """The same of one patient as two people write him.

    >>> patient_key("P007 "), patient_key("p7"), patient_key("P 7_1")
    ('p7', 'p7', 'p-7-1')
    """
    return re.sub(r"[\s_-]+", "-", re.sub(r"(?<!\d)0+(?=\d)", "", name.strip().casefold()))


def modality_of(path: str) -> str | None:
    """CT, PET or MR when a word of the path says so; of "mri/ct/1.png" it is CT.

    >>> modality_of("Brain CT scans/Healthy/ct_1.jpg"), modality_of("FLAIR/3.png")
    ('CT', 'MR')
    """
    words = frozenset[str]().union(*map(_word_set, path.split("/")))
    return next((name for name, said in _MODALITIES.items() if said & words), None)


@functools.lru_cache(_REMEMBERED)
def _word_set(name: str) -> frozenset[str]:
    return frozenset(words_of(name))
