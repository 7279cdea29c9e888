"""The ways in which a tree of images can be read, each as settings to add to the command."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from braintumor.config import first_of
from braintumor.data.labels import is_known_class, label_of
from braintumor.data.names import (
    MADE_OF_ANOTHER,
    is_never_class,
    modality_of,
    names_nothing,
    split_in,
    split_of,
    words_of,
)
from braintumor.data.patients import is_patient
from braintumor.data.sources._doubts import Doubt, find_doubts, hold_splits, outlines_in
from braintumor.data.sources._folders import Folders, Tree, folders_at
from braintumor.data.sources._look import Choice, ask_a_table, look
from braintumor.data.sources._pictures import Parts
from braintumor.errors import DataError
from braintumor.quoting import pasteable

_SHOWN = 6  # classes that a meaning names
_MOST_PARTS = 4  # that are shown alone beside all of them together


@dataclass(frozen=True)
class Unclear:
    """A tree with doubts. is_folder: whether parts of it can be given as data.root as well."""

    files: Collection[str]
    folders: Collection[str]
    is_folder: bool
    tree: Tree
    found: Folders
    doubts: Sequence[Doubt]
    choice: Choice

    @property
    def doubtful(self) -> list[Parts]:
        return [doubt.folder for doubt in self.doubts]

    @property
    def sure(self) -> list[Parts]:
        return [path for path in self.found if path not in self.doubtful]

    def ignoring(self, folders: Sequence[Parts]) -> tuple[str, ...]:
        """data.ignore with those folders too."""
        start = len(self.tree.outer)
        own = ("/".join((*self.tree.base, *path)[start:]) for path in folders)
        return (*self.choice.ignore, *own)

    def classes(self, choice: Choice, inner: Parts = ()) -> list[str]:
        """Names of the classes below `inner` under that choice; none if they would be refused."""
        start = "".join(f"{part}/" for part in inner)
        files, folders = (
            [name.removeprefix(start) for name in names if name.startswith(start)]
            for names in (self.files, self.folders)
        )
        try:
            tree, depth, classes = look(files, folders, start, choice)
        except DataError:
            return []
        if choice.classes is None and find_doubts(folders_at(tree.images, depth)):
            return []
        return _class_names(sorted(classes))


# settings, as words of a command, and what they mean
_Reading = tuple[str, str]


def ask(unclear: Unclear) -> str:
    """The sentence with all readings that work, a line each."""
    kinds = _one_kind(unclear)
    parts = kinds or _parts_alone(unclear)
    together = _parts_together(unclear)
    some = parts if len(parts) <= _MOST_PARTS or not together else []
    found = [*_without_doubtful(unclear), *together, *some, *_all_classes(unclear)]
    found += [] if parts else _all_without_outlines(unclear)
    why = first_of([doubt.why for doubt in unclear.doubts], 3, "; ")
    a_table = ask_a_table(unclear.files, unclear.tree.where, is_folder=unclear.is_folder)
    if all(is_patient(path[-1]) for path in unclear.found) and not together:
        names = list(dict.fromkeys(path[-1] for path in unclear.found))
        ask_for = (
            f"holds a folder for each patient ({first_of(names)}), none for a class; {a_table}"
        )
        found = found if len(names) <= _SHOWN else []
        ask_for += "; or, if these are classes, add to the command:" if found else ""
    elif not found:
        ask_for = (
            f"is not clear ({why}); put the images of each class into a folder of its own; or "
            f"{a_table}"
        )
    elif len(found) == 1:
        ask_for = f"is not clear ({why}); {a_table}; or, if this is right, add it to the command:"
    else:
        ways = {2: "two", 3: "three"}.get(len(found), str(len(found)))
        ask_for = f"can be read in {ways} ways ({why}); add the right one to the command:"
    width = min(max((len(settings) for settings, _ in found), default=0), 60)
    lines = [f"  {settings:<{width}}  {meaning}" for settings, meaning in found]
    return "\n".join([f"{unclear.tree.where} {ask_for}", *lines])


def _without_doubtful(unclear: Unclear) -> list[_Reading]:
    """What leaves no doubt is the data set, the rest is left out."""
    doubtful = unclear.doubtful
    if not unclear.sure:
        return []
    is_held_out = all(len(path) > 1 and split_of(path[0]) != "train" for path in doubtful)
    names = _class_names(unclear.sure)
    if is_held_out:
        choice = replace(unclear.choice, ignore=unclear.ignoring(doubtful))
        settings = pasteable("data.ignore", choice.ignore)
    else:
        choice = replace(unclear.choice, classes=tuple(names))
        settings = pasteable("data.classes", names)
    classes = unclear.classes(choice)
    shown = f"{first_of(names, _SHOWN)} are the classes"
    anew, divided = _divided_anew(unclear.sure)
    has_parts = any(doubt.inner for doubt in unclear.doubts)
    if len(classes) == 1 and is_known_class(names[0]) and not has_parts:
        shown = f"{names[0]} is the only class, which bt-eval takes and bt-train does not"
    elif len(classes) < 2:
        return []
    return [(f"{settings}{anew}", f"{shown}; {_left_out(doubtful)}{divided}")]


def _one_kind(unclear: Unclear) -> list[_Reading]:
    """Where all is in doubt: splits with original/ or augmented/ alone, or without masks/."""
    inside = [path for path in unclear.doubtful if len(path) > 1]
    names = list(dict.fromkeys(path[-1].casefold() for path in inside))
    readings = []
    for name in names:
        others = [path for path in inside if path[-1].casefold() != name]
        choice = replace(unclear.choice, ignore=unclear.ignoring(others))
        if unclear.sure or not others or is_never_class(name):
            continue
        if len(classes := unclear.classes(choice)) > 1:
            meaning = f"{first_of(classes, _SHOWN)} are the classes; {_left_out(others)}"
            readings.append((pasteable("data.ignore", choice.ignore), meaning))
    return readings


def _parts_alone(unclear: Unclear) -> list[_Reading]:
    """Each folder that may be a data set of its own, as the only one."""
    readings = []
    for doubt in unclear.doubts:
        if doubt.inner is None:
            continue
        inner = (*unclear.tree.base, *doubt.inner)
        others = unclear.ignoring([path for path in unclear.found if path != doubt.folder])
        if unclear.is_folder and not unclear.choice.ignore:
            classes = unclear.classes(Choice(), inner)
            settings = pasteable("data.root", "/".join((unclear.tree.where.rstrip("/"), *inner)))
        else:
            classes = unclear.classes(Choice(ignore=others))
            settings = pasteable("data.ignore", others)
        if len(classes) > 1:
            part, shown = "/".join(doubt.inner), first_of(classes, _SHOWN)
            readings.append((settings, f"only {part} is the data set; its classes are {shown}"))
    return readings


def _parts_together(unclear: Unclear) -> list[_Reading]:
    """All folders as parts of one data set with the same classes: axial/, coronal/; fold1/, fold2/.

    Not where one of them is made of another (augmented/), or they are of two modalities.
    """
    parts = [doubt.folder for doubt in unclear.doubts if doubt.inner == doubt.folder]
    if len(parts) != len(unclear.found) or any(split_in(part[-1]) for part in parts):
        return []
    words = {word for part in parts for word in words_of(part[-1])}
    tops = {image[0] for images in unclear.found.values() for image in images if image[1:]}
    if not words.isdisjoint(("fold", "kfold", "cv")) and any(map(split_of, tops)):
        return []  # each image is in each fold, in train of most
    if words & MADE_OF_ANOTHER or any(is_never_class(part[-1]) for part in parts):
        return []
    if len({modality_of(part[-1]) for part in parts}) > 1:
        return []
    kinds = [unclear.classes(Choice(), (*unclear.tree.base, *part)) for part in parts]
    names = sorted(set.intersection(*map(set, kinds)))
    if len(names) < 2 or any(set(names) != set(kind) for kind in kinds):
        return []
    choice = replace(unclear.choice, classes=tuple(names))
    if len(unclear.classes(choice)) < 2:
        return []
    meaning = (
        f"{first_of(names, _SHOWN)} are the classes, in all of {first_of(_places(parts), _SHOWN)}"
    )
    return [(pasteable("data.classes", names), meaning)]


def _all_classes(unclear: Unclear) -> list[_Reading]:
    """Every folder is a class, whatever its name."""
    names = _class_names([*unclear.sure, *unclear.doubtful])
    choice = replace(unclear.choice, classes=tuple(names))
    say_nothing = all(is_never_class(name) or names_nothing(name) for name in names)
    if say_nothing and not any(doubt.inner for doubt in unclear.doubts):
        return []  # images/ and masks/
    if len(unclear.classes(choice)) < 2:
        return []
    settings, meaning = pasteable("data.classes", names), "each of these folders is a class"
    if hold_splits(unclear.found):
        meaning += ", and holds its splits"
    elif any(
        split_of(image[0]) for images in unclear.found.values() for image in images if image[1:]
    ):
        meaning += "; folders of splits in them are not told apart"
    anew, divided = _divided_anew(unclear.found)
    return [(f"{settings}{anew}", f"{meaning}{divided}")]


def _divided_anew(folders: Collection[Parts]) -> tuple[str, str]:
    """Of classes that official splits never train, which bt-train and bt-data refuse: what to add,
    and what it does."""
    inside = [path for path in folders if split_of(path[0]) and len(path) > 1]
    trained = {label_of(path[-1]) for path in inside if split_of(path[0]) == "train"}
    if all(label_of(path[-1]) in trained for path in inside):
        return "", ""
    return " split=stratified", "; training and test are divided anew (bt-train, bt-data)"


def _all_without_outlines(unclear: Unclear) -> list[_Reading]:
    names = _class_names(unclear.found)
    left_out = [p for path, images in unclear.found.items() for p in outlines_in(path, images)]
    choice = Choice(tuple(names), unclear.ignoring(left_out))
    if not left_out or len(unclear.classes(choice)) < 2:
        return []
    settings = f"{pasteable('data.classes', names)} {pasteable('data.ignore', choice.ignore)}"
    return [(settings, f"the same without {first_of(_places(left_out), _SHOWN)}")]


def _class_names(folders: Iterable[Parts]) -> list[str]:
    """The names of class folders, one a class, in order."""
    by_label: dict[str, str] = {}
    for path in folders:
        by_label.setdefault(label_of(path[-1]), path[-1])
    return list(by_label.values())


def _left_out(folders: Sequence[Parts]) -> str:
    are = "is" if len(folders) == 1 else "are"
    return f"{first_of(_places(folders), _SHOWN)} {are} left out"


def _places(folders: Sequence[Parts]) -> list[str]:
    return ["/".join(path) for path in folders]
