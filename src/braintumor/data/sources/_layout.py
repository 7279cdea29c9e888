"""Which class and split an image belongs to, told from its path alone; for folders and archives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from braintumor.config import pasteable
from braintumor.data.sources import Item
from braintumor.data.sources._classes import chosen_folders, depth_of, find_doubts, folders_at
from braintumor.data.sources._folder_names import label_of, split_of
from braintumor.data.sources._readings import Choice, Question, ask, class_names
from braintumor.data.sources._tree import Path, Tree, grow_tree
from braintumor.errors import DataError
from braintumor.files import natural_key

LAYOUTS = "Training/<class>/ and Testing/<class>/, train|val|test/<class>/, or just <class>/"

_OUTSIDE = "images outside a class folder"


@dataclass(frozen=True)
class Layout:
    """Images found, in natural order, and what was passed over: name -> count."""

    items: tuple[Item, ...]
    ignored: dict[str, int]


def read_layout(
    files: Collection[str],
    folders: Collection[str],
    where: str,
    choice: Choice,
    *,
    is_folder: bool,
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

        def classes_under(other: Choice, inner: Path) -> list[str]:
            return _classes_under(files, folders, other, inner)

        question = Question(is_folder, tree, found, doubts, choice, classes_under)
        raise DataError(ask(question))
    return _layout(tree, depth, classes)


def _look(
    files: Collection[str], folders: Collection[str], where: str, choice: Choice
) -> tuple[Tree, int, set[Path]]:
    """The tree, how deep its class folders are, and those that are taken."""
    tree = grow_tree(files, folders, where, choice.ignore)
    if not tree.images:
        raise DataError(f"no image in {where}; expected {LAYOUTS} with image files inside")
    if choice.classes is None:
        depth = depth_of(tree.images)
        classes = set(folders_at(tree.images, depth))
    else:
        depth, classes = chosen_folders(tree, choice.classes)
    _refuse_empty_folders(tree, depth, choice)
    return tree, depth, classes


def _classes_under(
    files: Collection[str], folders: Collection[str], choice: Choice, inner: Path
) -> list[str]:
    """Names of the classes below `inner` under that choice; none if they would be refused."""
    start = "".join(f"{part}/" for part in inner)
    inside = [name.removeprefix(start) for name in files if name.startswith(start)]
    below = [name.removeprefix(start) for name in folders if name.startswith(start)]
    try:
        tree, depth, classes = _look(inside, below, start, choice)
    except DataError:
        return []
    if choice.classes is None and find_doubts(folders_at(tree.images, depth)):
        return []
    return class_names(sorted(classes))


def _layout(tree: Tree, depth: int, classes: Collection[Path]) -> Layout:
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
            items.append(Item("/".join((*tree.base, *path)), path[depth], split, None))
    if not items:
        raise DataError(f"the images in {tree.where} are in no class folder; expected {LAYOUTS}")
    items.sort(key=lambda item: natural_key(item.path))
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
