"""Which class and split an image belongs to, told from its path alone; for folders and archives.

Where a tree can be read in two ways, both are given, as settings to add to the command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from braintumor.config import pasteable
from braintumor.data.labels import is_known_class, label_of, split_of
from braintumor.data.sources import Item
from braintumor.data.sources._choice import Choice
from braintumor.data.sources._doubts import Doubt, find_doubts
from braintumor.data.sources._folders import (
    Folders,
    Parts,
    Tree,
    chosen_folders,
    depth_of,
    folders_at,
    grow_tree,
    listed,
)
from braintumor.errors import DataError
from braintumor.files import natural_key

LAYOUTS = "Training/<class>/ and Testing/<class>/, train|val|test/<class>/, or just <class>/"

_OUTSIDE = "images outside a class folder"
_SHOWN = 6  # classes that a meaning names


@dataclass(frozen=True)
class Layout:
    """Images found, in natural order, and what was passed over: name -> count."""

    items: tuple[Item, ...]
    ignored: dict[str, int]


def read_layout(
    files: Collection[str], folders: Collection[str], where: str, choice: Choice, *, is_folder: bool
) -> Layout:
    """Classes and splits of the image files of a tree.

    files, folders: posix paths relative to `where`, in any order; folders may be left out
    where a format does not list them, but then an empty class folder cannot be seen.
    choice: what the user said of it.  is_folder: whether a folder in `where` can be a root too.
    Wrapping folders are looked through; noise and a nested copy of the tree are ignored.
    Raises DataError when there is no image in any known layout, a class folder is empty, or the
    tree can be read in two ways, which are then listed.
    """
    tree, depth, classes = _look(files, folders, where, choice)
    found = folders_at(tree.images, depth)
    if choice.classes is None and (doubts := find_doubts(found)):
        unclear = _Unclear(files, folders, is_folder, tree, found, doubts, choice)
        raise DataError(_ask(unclear))
    return _layout(tree, depth, classes, choice)


def _look(
    files: Collection[str], folders: Collection[str], where: str, choice: Choice
) -> tuple[Tree, int, set[Parts]]:
    """The tree, how deep its class folders are, and those that are taken."""
    tree = grow_tree(files, folders, where, choice.ignore)
    if not tree.images:
        found = [f"{count} {name}" for name, count in tree.ignored.most_common()]
        passed = f"; passed over: {listed(found, _SHOWN)}" if found else ""
        raise DataError(
            f"no image in {where}{passed}; expected {LAYOUTS} with PNG, JPEG or TIFF files inside, "
            "or .npz and .npy files for data=npz"
        )
    if choice.classes is None:
        depth = depth_of(tree.images)
        classes = set(folders_at(tree.images, depth))
    else:
        depth, classes = chosen_folders(tree, choice.classes)
    _refuse_empty_folders(tree, depth, choice)
    return tree, depth, classes


def _layout(tree: Tree, depth: int, classes: Collection[Parts], choice: Choice) -> Layout:
    items = []
    ignored = tree.ignored.copy()
    for path in tree.images:
        if depth and not split_of(path[0]):
            ignored[f"{path[0]}{'/' if len(path) > 1 else ''} beside the split folders"] += 1
        elif len(path) < depth + 2:
            ignored[_OUTSIDE] += 1
        elif path[: depth + 1] not in classes:
            ignored[f"{'/'.join(path[: depth + 1])}/ (not in data.classes)"] += 1
        else:
            split = split_of(path[0]) if depth else None
            items.append(Item("/".join((*tree.base, *path)), path[depth], split))
    if not items:
        raise DataError(f"the images in {tree.where} are in no class folder; expected {LAYOUTS}")
    items.sort(key=lambda item: natural_key(item.path))
    patients = choice.patients([item.path for item in items])
    items = [replace(item, patient=name) for item, name in zip(items, patients, strict=True)]
    return Layout(tuple(items), dict(sorted(ignored.items())))


def _refuse_empty_folders(tree: Tree, depth: int, choice: Choice) -> None:
    """depth: 0 where class folders are on top, 1 where they are in the folders of splits."""
    wanted = None if choice.classes is None else {label_of(name) for name in choice.classes}
    empty = [
        "/".join(path)
        for path in sorted(tree.folders)
        if path not in tree.filled
        and 1 <= len(path) <= depth + 1
        and (not depth or split_of(path[0]))
        and (wanted is None or len(path) <= depth or label_of(path[-1]) in wanted)
    ]
    if empty:
        raise DataError(
            f"no image in the class folder {', '.join(empty[:10])} of {tree.where}; put its images "
            f"there, or leave it out with {pasteable('data.ignore', empty)}"
        )


@dataclass(frozen=True)
class _Unclear:
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
            tree, depth, classes = _look(files, folders, start, choice)
        except DataError:
            return []
        if choice.classes is None and find_doubts(folders_at(tree.images, depth)):
            return []
        return _class_names(sorted(classes))


# settings, as words of a command, and what they mean
_Reading = tuple[str, str]


def _ask(unclear: _Unclear) -> str:
    """The sentence with all readings that work, a line each."""
    parts = _parts_alone(unclear)
    found = [*_without_doubtful(unclear), *parts, *_all_classes(unclear)]
    found += [] if parts else _all_without_held_out(unclear)
    why = listed([doubt.why for doubt in unclear.doubts], 3, "; ")
    if not found:
        return f"{unclear.tree.where} is not clear ({why}); name its classes: 'data.classes=[A,B]'"
    if len(found) == 1:
        ask_for = f"is not clear ({why}); if this is right, add it to the command:"
    else:
        ways = {2: "two", 3: "three"}.get(len(found), str(len(found)))
        ask_for = f"can be read in {ways} ways ({why}); add the right one to the command:"
    width = min(max(len(settings) for settings, _ in found), 60)
    lines = [f"  {settings:<{width}}  {meaning}" for settings, meaning in found]
    return "\n".join([f"{unclear.tree.where} {ask_for}", *lines])


def _without_doubtful(unclear: _Unclear) -> list[_Reading]:
    """What leaves no doubt is the data set, the rest is left out."""
    doubtful = unclear.doubtful
    if not unclear.sure:
        return []
    is_held_out = all(len(path) > 1 and split_of(path[0]) != "train" for path in doubtful)
    names, rest = _class_names(unclear.sure), listed(_places(doubtful), _SHOWN)
    if is_held_out:
        choice = replace(unclear.choice, ignore=unclear.ignoring(doubtful))
        settings = pasteable("data.ignore", choice.ignore)
    else:
        choice = replace(unclear.choice, classes=tuple(names))
        settings = pasteable("data.classes", names)
    classes = unclear.classes(choice)
    shown = f"{listed(names, _SHOWN)} are the classes"
    has_parts = any(doubt.inner for doubt in unclear.doubts)
    if len(classes) == 1 and is_known_class(names[0]) and not has_parts:
        shown = f"{names[0]} is the only class, which bt-eval takes and bt-train does not"
    elif len(classes) < 2:
        return []
    return [(settings, f"{shown}; {rest} {'is' if len(doubtful) == 1 else 'are'} left out")]


def _parts_alone(unclear: _Unclear) -> list[_Reading]:
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
            part, shown = "/".join(doubt.inner), listed(classes, _SHOWN)
            readings.append((settings, f"only {part} is the data set; its classes are {shown}"))
    return readings


def _all_classes(unclear: _Unclear) -> list[_Reading]:
    """Every folder is a class, whatever its name."""
    names = _class_names([*unclear.sure, *unclear.doubtful])
    choice = replace(unclear.choice, classes=tuple(names))
    if len(unclear.classes(choice)) < 2:
        return []
    settings, meaning = pasteable("data.classes", names), "each of these folders is a class"
    if any(_splits_in(path, unclear.found[path]) for path in unclear.found):
        meaning += "; folders of splits in them are not told apart"
    trained = {label_of(p[-1]) for p in unclear.found if split_of(p[0]) == "train"}
    if trained and any(label_of(name) not in trained for name in names):
        # bt-train and bt-data refuse a class that official splits never train
        settings += " split=stratified"
        meaning += "; training and test are divided anew (bt-train, bt-data)"
    return [(settings, meaning)]


def _all_without_held_out(unclear: _Unclear) -> list[_Reading]:
    """Where every class has its own train/ and test/: the training images alone."""
    names = _class_names(unclear.found)
    inside = [_splits_in(path, images) for path, images in unclear.found.items()]
    left_out = [path for paths in inside for path in paths if split_of(path[-1]) != "train"]
    choice = Choice(tuple(names), unclear.ignoring(left_out))
    if not all(inside) or not left_out or len(unclear.classes(choice)) < 2:
        return []
    settings = f"{pasteable('data.classes', names)} {pasteable('data.ignore', choice.ignore)}"
    return [(settings, f"the same without {listed(_places(left_out), _SHOWN)}")]


def _class_names(folders: Iterable[Parts]) -> list[str]:
    """The names of class folders, one a class, in order."""
    by_label: dict[str, str] = {}
    for path in folders:
        by_label.setdefault(label_of(path[-1]), path[-1])
    return list(by_label.values())


def _splits_in(folder: Parts, images: Sequence[Parts]) -> list[Parts]:
    """Folders of splits in a class folder."""
    inside = {image[0] for image in images if len(image) > 1}
    return [(*folder, name) for name in sorted(inside) if split_of(name)]


def _places(folders: Sequence[Parts]) -> list[str]:
    return ["/".join(path) for path in folders]
