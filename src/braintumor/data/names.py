"""What a name says of images, but for their class: a split, a patient, a modality, nothing."""

from __future__ import annotations

import difflib
import functools
import itertools
import re
import unicodedata

_SPLITS = {  # in the languages of the field's sets
    "train": "train training trainings trn entrenamiento treino treinamento egitim apprentissage "
    "entrainement 训练 训练集",
    "val": "val valid validation dev validacion validacao validierung dogrulama 验证 验证集",
    "test": "test testing holdout heldout tst prueba teste sinama 测试 测试集",
}
SPLIT_NAMES = {name: split for split, names in _SPLITS.items() for name in names.split()}
# in the name of a file or array, beside other words
SPLIT_WORDS = {**SPLIT_NAMES, "tr": "train", "te": "test", "ts": "test", "va": "val"}
# words that a name may hold beside the one that matters
_FILLERS = frozenset((
    "data", "dataset", "datasets", "set", "sets", "image", "images", "img", "imgs", "picture",
    "pictures", "file", "files", "folder", "folders", "split", "splits", "scan", "scans", "slice",
    "slices", "sample", "samples", "mri", "jpeg", "jpg", "png", "daten",
))  # fmt: skip
_SPLIT_OF = {f"{word}{end}": s for word, s in SPLIT_NAMES.items() for end in ("", *_FILLERS)}
# beside the word of a split: 01_train, Test (20 %), train_0.8, Train_2021
_NUMBER_OF_SPLIT = re.compile(r"\d{1,2}|(?:19|20)\d\d")
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
_AUGMENTED = frozenset(("aug", "augmented", "augmentation"))
_AUGUST = re.compile(r"\d[\W_]*aug[a-z]*[\W_]*(?:19|20)\d\d|(?:19|20)\d\d[\W_]*aug", re.IGNORECASE)
# pictures made of others, or those that others are made of
MADE_OF_ANOTHER = _AUGMENTED | frozenset((
    "raw", "original", "real", "cropped", "crops", "copy", "copia", "kopie", "synthetic",
))  # fmt: skip
# a column or an array of classes, without signs between words; names before numbers
LABEL_NAMES = (
    "labelname", "classname", "label", "labels", "class", "classes", "classlabel", "category",
    "diagnosis", "target", "targets", "tumortype", "tumourtype", "tumorclass", "y",
)  # fmt: skip
_VIEWS = frozenset((  # folders of one class, and of any
    "axial", "coronal", "sagittal", "flair", "t", "c", "ce", "w", "wce", "gd", "dwi", "adc", "swi",
))  # fmt: skip
_MODALITIES = {
    "CT": {"ct", "cta", "cect", "ncct", "ctscan", "ctscans", "tomography", "tomografi"},
    "PET": {"pet"},
    "MR": {"mr", "mri", "mra", "mrt", "flair", "dwi", "adc", "swi"},
}
_UNKNOWN = ("", "-", "?", "na", "n/a", "nan", "null")
_REMEMBERED = 4_096  # names of folders: each holds many images


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
    if any(word.isdecimal() and not _NUMBER_OF_SPLIT.fullmatch(word) for word in words):
        return None
    name = "".join(word for word in words if not word.isdecimal())
    return _SPLIT_OF.get(name) or _SPLIT_OF.get(_as_meant(name))


def _as_meant(name: str) -> str:
    """The word of a split with its letters in another order (Vaild) or, if long, a wrong one."""
    known = [word for word in SPLIT_NAMES if word[0] == name[:1]]  # not of "brain" or "resting"
    turned = (word for word in known if sorted(word) == sorted(name))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.87) if len(name) > 5 else ()
    return next(itertools.chain(turned, close), name)


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


def is_augmented(path: str) -> bool:
    """Whether the name of the file says so, as 12_aug_3.png does.

    >>> is_augmented("glioma/12_aug_3.png"), is_augmented("glioma/12-Aug-2019.png")
    (True, False)
    """
    name = path.rpartition("/")[2]
    return not (_AUGMENTED.isdisjoint(words_of(name)) or _AUGUST.search(name))


def is_view(folder: str) -> bool:
    """Whether the name says how an image was taken, as T1ce, FLAIR and axial do."""
    words = {word for word in words_of(folder) if not word.isdecimal()}
    return bool(words) and words <= _VIEWS


def names_nothing(folder: str) -> bool:
    """Whether the name says only that there are pictures: images, mri_scans, data 2."""
    words = [word for word in words_of(folder) if not word.isdecimal()]
    return bool(words) and _FILLERS.issuperset(words)


def is_unknown(text: str) -> bool:
    """Whether a cell says nothing: empty, nan, n/a. "none" may be a class, as "no tumor" is."""
    return text.strip().casefold() in _UNKNOWN


def is_unlabelled(label: str) -> bool:
    """Whether a label says that its image has none: empty, unknown, unlabelled, -1."""
    return is_unknown(label) or label.strip().casefold() in {*_UNLABELLED, "-1", "-1.0"}


def without_decimals(text: str) -> str:
    """A whole number as spreadsheets and pandas write it, "7.0", is "7"; other text stays."""
    return re.sub(r"^(\d+)\.0+$", r"\1", text.strip())


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
