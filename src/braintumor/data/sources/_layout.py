"""Which class and split an image belongs to, told from its path alone; for folders and archives.

Where a tree can be read in two ways, both are given, as settings to add to the command.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from braintumor.data.labels import is_known_class
from braintumor.data.names import split_of
from braintumor.data.sources import Item
from braintumor.data.sources._doubts import find_beside, find_doubts, hold_splits
from braintumor.data.sources._folders import Tree, folders_at
from braintumor.data.sources._look import LAYOUTS, Choice, ask_a_table, boxes_in, look
from braintumor.data.sources._pictures import Parts
from braintumor.data.sources._readings import Unclear, ask
from braintumor.errors import DataError
from braintumor.files import natural_key

# images found, in natural order, and what was passed over: name -> count
Found = tuple[tuple[Item, ...], dict[str, int]]


def read_layout(
    files: Collection[str], folders: Collection[str], where: str, choice: Choice, *, is_folder: bool
) -> Found:
    """Classes and splits of the image files of a tree.

    files, folders: posix paths relative to `where`, in any order; folders may be left out
    where a format does not list them, but then an empty class folder cannot be seen.
    choice: what the user said of it.  is_folder: whether a folder in `where` can be a root too.
    Wrapping folders are looked through; noise and a nested copy of the tree are ignored.
    Raises DataError when there is no image in any known layout, a class folder is empty, or the
    tree can be read in two ways, which are then listed.
    """
    if choice.classes is None and (boxes := boxes_in(files)):
        raise DataError(
            f"{where} has the layout of {boxes}, which holds boxes in pictures and no class of "
            f"each; {ask_a_table(files, where, is_folder=is_folder)}"
        )
    tree, depth, classes = look(files, folders, where, choice)
    found = folders_at(tree.images, depth)
    own = {path: images for path, images in found.items() if path in classes}
    are_classes = choice.classes is not None or any(is_known_class(path[-1]) for path in own)
    split_at = 1 if not depth and are_classes and hold_splits(own) else _split_level(classes)
    doubts = [] if split_at else find_doubts(found)
    doubts += find_beside(tree.images) if depth else []
    if choice.classes is None and doubts:
        raise DataError(ask(Unclear(files, folders, is_folder, tree, found, doubts, choice)))
    found_items, ignored = _layout(tree, depth, split_at, classes, choice)
    if not found_items:
        a_table = ask_a_table(files, tree.where, is_folder=is_folder)
        raise DataError(
            f"the images in {tree.where} are in no class folder; expected {LAYOUTS}; or {a_table}"
        )
    return found_items, ignored


def _split_level(classes: Collection[Parts]) -> int | None:
    """The level of splits above the classes: train/axial/glioma and axial/train/glioma."""
    levels = range(min(map(len, classes), default=1) - 1)
    return next((level for level in levels if all(split_of(p[level]) for p in classes)), None)


def _layout(
    tree: Tree, depth: int, split_at: int | None, classes: Collection[Parts], choice: Choice
) -> Found:
    """depth, split_at: the levels of classes and of splits, of which there may be none."""
    items = []
    ignored = tree.ignored.copy()
    for path in tree.images:
        if path[: depth + 1] in classes:
            split = None if split_at is None else split_of(path[split_at])
            items.append(Item("/".join((*tree.base, *path)), path[depth], split))
        elif depth and not split_of(path[0]):
            ignored[f"{path[0]}{'/' if len(path) > 1 else ''} beside the split folders"] += 1
        elif len(path) < depth + 2:
            ignored["images outside a class folder"] += 1
        else:
            ignored[f"{'/'.join(path[: depth + 1])}/ (not in data.classes)"] += 1
    items.sort(key=lambda item: natural_key(item.path))
    patients = choice.patients([item.path for item in items])
    items = [replace(item, patient=name) for item, name in zip(items, patients, strict=True)]
    return tuple(items), dict(sorted(ignored.items()))
