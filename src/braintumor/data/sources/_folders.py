"""The folders of a tree of images, and which of them are its classes.

A tree is grown from paths alone (`grow_tree`); its classes lie on top or in folders of splits
(`depth_of`).
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from braintumor.config import did_you_mean
from braintumor.data.labels import CANONICAL, is_known_class, label_of
from braintumor.data.names import is_never_class, names_nothing, split_of
from braintumor.data.sources._pictures import Parts, image_paths, is_inside, noise_in, work_folders
from braintumor.errors import DataError

Folders = Mapping[Parts, Sequence[Parts]]  # class folder -> its images, from the class folder on


@dataclass(frozen=True)
class Tree:
    """Images and folders below `base`, the folders around all images.

    where: the name of the tree in messages.
    outer: base as it was before data.ignore was applied; paths in data.ignore begin there.
    images: paths below base, without those of nested copies and ignored folders. Where the folder
        of a split holds one that says no more, as train/images/<class>, both are one level.
    folders: all folders below base that are no noise, filled: those that hold an image.
    ignored: what was passed over, name -> count.
    """

    where: str
    outer: Parts
    base: Parts
    images: list[Parts]
    folders: list[Parts]
    filled: set[Parts]
    ignored: Counter[str]


def grow_tree(
    files: Iterable[str], folders: Iterable[str], where: str, ignore: Sequence[str]
) -> Tree:
    """The tree of those files; without an image where there is none.

    files, folders: posix paths.  ignore: paths of folders to leave out, from where the classes or
    splits are, in any case.
    Raises DataError when a folder to leave out is not there.
    """
    ignored: Counter[str] = Counter()
    files = list(files)
    images, own = image_paths(files, ignored), work_folders(files)
    paths = [tuple(name.rstrip("/").split("/")) for name in folders]
    paths = [path for path in paths if not noise_in(path) and not is_inside(path, own)]
    outer, filled = wrapping_folder(images), _holding(images)
    known = {path[len(outer) :] for path in (*filled, *paths) if path[: len(outer)] == outer}
    for name in ignore:
        left_out = (*outer, *_folder_named(name, known - {()}, "/".join((where, *outer))))
        count = len(images)
        images = [path for path in images if path[: len(left_out)] != left_out]
        paths = [path for path in paths if path[: len(left_out)] != left_out]
        ignored[f"{'/'.join(left_out)}/ (data.ignore)"] += count - len(images)
    emptied = filled - _holding(images)  # what held nothing else is left out with it
    paths = [path for path in paths if path not in emptied]
    base = wrapping_folder(images)
    below = [path[len(base) :] for path in images]
    joined = _joined_levels(below)
    below = [_joined(path, joined) for path in below]
    inside = [path[len(base) :] for path in paths if path[: len(base)] == base]
    return Tree(
        where=where,
        outer=outer,
        base=base,
        images=_without_nested_copies(below, ignored),
        folders=[_joined(path, joined) for path in inside if path not in joined],
        filled=_holding(below),
        ignored=+ignored,
    )


def wrapping_folder(images: Collection[Parts]) -> Parts:
    """The folders around all images that are neither a split nor a class, such as archive/.

    Nor is "Brain Tumor" one around glioma, or around 1, 2 and 3.
    """
    base: Parts = ()
    while images:
        tops = {path[len(base)] for path in images}
        top = min(tops)
        if len(tops) > 1 or split_of(top) or any(len(path) <= len(base) + 2 for path in images):
            break  # it holds images itself, or is one
        if is_known_class(top):
            inside = {part for path in images for part in path[len(base) + 1 : -1]}
            others = {label_of(part) for part in inside} & {*CANONICAL} - {"tumor"}
            are_numbers = 1 < len(inside) < 10 and all(map(str.isdecimal, inside))
            if label_of(top) != "tumor" or not (others or are_numbers):
                break
        base = (*base, top)
    return base


def _joined_levels(images: Sequence[Parts]) -> dict[Parts, Parts]:
    """Folders of splits that hold one folder alone, which is no class -> that folder.

    As train/train/<class>, Testing/images/<class>, train/original/glioma, at any depth.
    """
    inside: dict[Parts, set[Parts]] = defaultdict(set)
    for path in images:
        for level in range(1, len(path)):
            inside[path[:level]].add(path[: level + 1])
    joined: dict[Parts, Parts] = {}
    for top in [path for path in inside if len(path) == 1 and split_of(path[0])]:
        folder: Parts = top
        while len(inside[folder]) == 1:
            (inner,) = inside[folder]
            if _holds_images(inner, inside):
                break
            says_no_more = split_of(inner[-1]) == split_of(top[0]) or names_nothing(inner[-1])
            if not says_no_more and not _holds_classes(inner, inside[inner]):
                break  # a class
            joined[folder] = folder = inner
        known = any(is_known_class(path[-1]) for path in inside[top])
        if folder == top and not known and not any(_holds_images(p, inside) for p in inside[top]):
            return {}  # two kinds in this split, as original/ and augmented/: which, is asked
    return joined


def _holds_images(folder: Parts, inside: Mapping[Parts, Collection[Parts]]) -> bool:
    return any(path not in inside for path in inside.get(folder, ()))


def _holds_classes(folder: Parts, inside: Iterable[Parts]) -> bool:
    """Whether a folder that is no class itself holds one that is."""
    name = folder[-1]
    is_none = not is_known_class(name) and not is_never_class(name)
    return is_none and any(is_known_class(path[-1]) for path in inside)


def _joined(path: Parts, joined: Mapping[Parts, Parts]) -> Parts:
    if not path:
        return path
    folder = path[:1]
    while path[: len(folder) + 1] == joined.get(folder):
        folder = joined[folder]
    return ("/".join(folder), *path[len(folder) :])


def _holding(images: Iterable[Parts]) -> set[Parts]:
    """Folders that hold an image, at any depth."""
    return {path[:level] for path in images for level in range(1, len(path))}


def _folder_named(name: str, folders: Collection[Parts], where: str) -> Parts:
    """The one of the folders that a path in data.ignore means."""
    known = {"/".join(path): path for path in sorted(folders)}
    wanted = "/".join(part for part in name.split("/") if part not in ("", "."))
    found = [text for text in known if text == wanted]
    found += [text for text in known if text.casefold() == wanted.casefold()]
    if not found:
        raise DataError(f"data.ignore: no folder {name} is in {where}; {nearest(name, known)}")
    return known[found[0]]


def _without_nested_copies(images: list[Parts], ignored: Counter[str]) -> list[Parts]:
    """Images without those of a top folder that repeats, name for name, what is beside it.

    Navoneel's set comes with yes/, no/ and brain_tumor_dataset/{yes,no}/ of the same files.
    """
    known = set(images)
    for top in sorted({path[0] for path in images if len(path) > 2}):
        nested = [path for path in images if path[0] == top]
        if all(path[1:] in known for path in nested):
            ignored[f"{top}/ (the same names as in the folders beside it)"] += len(nested)
            known.difference_update(nested)
    return [path for path in images if path in known]


def depth_of(images: Sequence[Parts]) -> int:
    """1 where the class folders are in folders of splits, 0 where they are on top.

    0 too where classes lie beside folders of splits: `find_doubts` then finds the latter.
    """
    tops = {path[0] for path in images if len(path) > 1}
    splits = {split_of(top) for top in tops} - {None}
    inside = {label_of(path[1]) for path in images if len(path) > 2 and split_of(path[0])}
    beside = [top for top in tops if not split_of(top) and not is_never_class(top)]
    if any(label_of(top) in {*inside, *CANONICAL} for top in beside):
        return 0
    if "train" not in splits and len(beside) > 1:
        return 0
    return 1 if splits else 0


def folders_at(
    images: Sequence[Parts], depth: int, *, any_top: bool = False
) -> dict[Parts, list[Parts]]:
    """The folders at the depth of classes, sorted; below the top in splits only, or in any."""
    found: dict[Parts, list[Parts]] = defaultdict(list)
    for path in images:
        if len(path) > depth + 1 and (depth == 0 or any_top or split_of(path[0])):
            found[path[: depth + 1]].append(path[depth + 1 :])
    return dict(sorted(found.items()))


def chosen_folders(tree: Tree, classes: Sequence[str]) -> tuple[int, set[Parts]]:
    """How deep the folders of data.classes are, and those folders: on top, else in the splits.

    Where there are no splits, else in the folders on top, together; or of all parts of each split.
    A name may be in any case, and of another spelling of the same class where none is its own.
    Raises DataError when one is not there.
    """
    folders: Folders = {}
    for depth in (0, 1, 2):
        below = folders_at(tree.images, depth)
        if depth and not below:  # parts of one data set that are no splits: axial/, coronal/
            below = folders_at(tree.images, depth, any_top=True)
        folders = below or folders
        found = {name: _matching(folders, name) for name in classes}
        if all(found.values()):
            return depth, set().union(*found.values())
    missing = next(name for name, paths in found.items() if not paths)
    known = {path[-1] for path in folders}
    where = "/".join((tree.where, *tree.base))
    raise DataError(
        f"data.classes: no class folder {missing} is in {where}; {nearest(missing, known)}"
    )


def _matching(folders: Folders, name: str) -> set[Parts]:
    found: set[Parts] = set()
    for parent in {path[:-1] for path in folders}:
        here = [path for path in folders if path[:-1] == parent]
        own = [path for path in here if path[-1].casefold() == name.casefold()]
        found.update(own or [path for path in here if label_of(path[-1]) == label_of(name)])
    return found


def nearest(name: str, known: Collection[str]) -> str:
    """As did_you_mean, of the folders that are most like the name."""
    near = difflib.get_close_matches(name, known, n=6, cutoff=0.4)
    return did_you_mean(name, near or sorted(known)[:12])
