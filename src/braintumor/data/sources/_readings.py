"""What is asked when a tree can be read in two ways: both, as settings to add to the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from braintumor.config import pasteable
from braintumor.data.sources._classes import Doubt, Folders, listed
from braintumor.data.sources._folder_names import is_known_class, label_of, split_of
from braintumor.data.sources._tree import Path, Tree

Names = list[str | int] | None  # of folders; [0,1] on a command line are numbers

_SHOWN = 6  # classes that a meaning names


@dataclass(frozen=True)
class Choice:
    """What the user said: the folders that are classes (None: all), and those to leave out."""

    classes: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()

    @classmethod
    def given(cls, classes: Names, ignore: Names) -> Choice:
        """data.classes and data.ignore as given; an empty list of classes chooses none."""
        return cls(tuple(map(str, classes)) if classes else None, tuple(map(str, ignore or ())))


@dataclass(frozen=True)
class Reading:
    """One way to read a tree. settings: words of a command; meaning: what they say."""

    settings: str
    meaning: str


# names of the classes that a choice gives, of the tree or of the folder at a path; none if refused
ClassesUnder = Callable[[Choice, Path], list[str]]


@dataclass(frozen=True)
class Question:
    """A tree with doubts. is_folder: whether parts of it can be given as data.root as well."""

    is_folder: bool
    tree: Tree
    folders: Folders
    doubts: Sequence[Doubt]
    choice: Choice
    classes_under: ClassesUnder

    @property
    def sure(self) -> list[Path]:
        doubtful = {doubt.folder for doubt in self.doubts}
        return [path for path in self.folders if path not in doubtful]

    def ignoring(self, folders: Sequence[Path]) -> tuple[str, ...]:
        """data.ignore with those folders too."""
        start = len(self.tree.outer)
        own = ("/".join((*self.tree.base, *path)[start:]) for path in folders)
        return (*self.choice.ignore, *own)


def ask(question: Question) -> str:
    """The sentence with all readings that work, a line each."""
    parts = _parts_alone(question)
    found = [*_without_doubtful(question), *parts, *_all_classes(question)]
    found += [] if parts else _all_without_held_out(question)
    why = listed([doubt.why for doubt in question.doubts], 3, "; ")
    if not found:
        return f"{question.tree.where} is not clear ({why}); name its classes: 'data.classes=[A,B]'"
    if len(found) == 1:
        ask_for = f"is not clear ({why}); if this is right, add it to the command:"
    else:
        ways = {2: "two", 3: "three"}.get(len(found), str(len(found)))
        ask_for = f"can be read in {ways} ways ({why}); add the right one to the command:"
    width = min(max(len(reading.settings) for reading in found), 60)
    lines = [f"  {reading.settings:<{width}}  {reading.meaning}" for reading in found]
    return "\n".join([f"{question.tree.where} {ask_for}", *lines])


def _without_doubtful(question: Question) -> list[Reading]:
    """What leaves no doubt is the data set, the rest is left out."""
    doubtful = [doubt.folder for doubt in question.doubts]
    if not question.sure:
        return []
    is_held_out = all(len(path) > 1 and split_of(path[0]) != "train" for path in doubtful)
    names, rest = class_names(question.sure), listed(_places(doubtful), _SHOWN)
    if is_held_out:
        choice = replace(question.choice, ignore=question.ignoring(doubtful))
        settings = pasteable("data.ignore", choice.ignore)
    else:
        choice = replace(question.choice, classes=tuple(names))
        settings = pasteable("data.classes", names)
    classes = question.classes_under(choice, ())
    shown = f"{listed(names, _SHOWN)} are the classes"
    has_parts = any(doubt.inner for doubt in question.doubts)
    if len(classes) == 1 and is_known_class(names[0]) and not has_parts:
        shown = f"{names[0]} is the only class, which bt-eval takes and bt-train does not"
    elif len(classes) < 2:
        return []
    return [Reading(settings, f"{shown}; {rest} {_is(doubtful)} left out")]


def _parts_alone(question: Question) -> list[Reading]:
    """Each folder that may be a data set of its own, as the only one."""
    readings = []
    for doubt in question.doubts:
        if doubt.inner is None:
            continue
        inner = (*question.tree.base, *doubt.inner)
        others = question.ignoring([path for path in question.folders if path != doubt.folder])
        if question.is_folder and not question.choice.ignore:
            classes = question.classes_under(Choice(), inner)
            settings = pasteable("data.root", "/".join((question.tree.where.rstrip("/"), *inner)))
        else:
            classes = question.classes_under(Choice(ignore=others), ())
            settings = pasteable("data.ignore", others)
        if len(classes) > 1:
            part, shown = "/".join(doubt.inner), listed(classes, _SHOWN)
            readings.append(
                Reading(settings, f"only {part} is the data set; its classes are {shown}")
            )
    return readings


def _all_classes(question: Question) -> list[Reading]:
    """Every folder is a class, whatever its name."""
    names = class_names([*question.sure, *(doubt.folder for doubt in question.doubts)])
    choice = replace(question.choice, classes=tuple(names))
    if len(question.classes_under(choice, ())) < 2:
        return []
    settings, meaning = pasteable("data.classes", names), "each of these folders is a class"
    if any(_splits_in(path, question.folders[path]) for path in question.folders):
        meaning += "; folders of splits in them are not told apart"
    trained = {label_of(p[-1]) for p in question.folders if split_of(p[0]) == "train"}
    if trained and any(label_of(name) not in trained for name in names):
        # bt-train and bt-data refuse a class that official splits never train
        settings += " split=stratified"
        meaning += "; training and test are divided anew (bt-train, bt-data)"
    return [Reading(settings, meaning)]


def _all_without_held_out(question: Question) -> list[Reading]:
    """Where every class has its own train/ and test/: the training images alone."""
    names = class_names(question.folders)
    inside = [_splits_in(path, images) for path, images in question.folders.items()]
    left_out = [path for paths in inside for path in paths if split_of(path[-1]) != "train"]
    choice = Choice(tuple(names), question.ignoring(left_out))
    if not all(inside) or not left_out or len(question.classes_under(choice, ())) < 2:
        return []
    settings = f"{pasteable('data.classes', names)} {pasteable('data.ignore', choice.ignore)}"
    return [Reading(settings, f"the same without {listed(_places(left_out), _SHOWN)}")]


def class_names(folders: Iterable[Path]) -> list[str]:
    """The names of class folders, one a class, in order."""
    by_label: dict[str, str] = {}
    for path in folders:
        by_label.setdefault(label_of(path[-1]), path[-1])
    return list(by_label.values())


def _splits_in(folder: Path, images: Sequence[Path]) -> list[Path]:
    """Folders of splits in a class folder."""
    inside = {image[0] for image in images if len(image) > 1}
    return [(*folder, name) for name in sorted(inside) if split_of(name)]


def _places(folders: Sequence[Path]) -> list[str]:
    return ["/".join(path) for path in folders]


def _is(folders: Sequence[Path]) -> str:
    return "is" if len(folders) == 1 else "are"
