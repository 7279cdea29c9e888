"""Which class and split an image belongs to, told from its path alone; for folders and archives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from braintumor.data.images import is_image_name
from braintumor.data.labels import CANONICAL, harmonise
from braintumor.data.sources import Item
from braintumor.errors import DataError
from braintumor.files import natural_key

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LAYOUTS = "Training/<class>/ and Testing/<class>/, train|val|test/<class>/, or just <class>/"

_NOISE = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
_OUTSIDE = "images outside a class folder"

Path = tuple[str, ...]  # the parts of a relative path


@dataclass(frozen=True)
class Layout:
    """Images found, in natural order, and what was passed over: name -> count."""

    items: tuple[Item, ...]
    ignored: dict[str, int]


def read_layout(files: Iterable[str], folders: Iterable[str], where: str) -> Layout:
    """Classes and splits of the image files of a tree.

    files, folders: posix paths relative to `where`, in any order; folders may be left out
    where a format does not list them, but then an empty class folder cannot be seen.
    Wrapping folders are looked through; noise and a nested copy of the tree are ignored.
    Raises DataError when there is no image in any known layout, or a class folder is empty.
    """
    ignored: Counter[str] = Counter()
    images = _images(files, ignored)
    if not images:
        raise DataError(f"no image in {where}; expected {LAYOUTS} with image files inside")
    base = _wrapping_folder(images)
    below = [path[len(base) :] for path in images]
    inner = _without_nested_copies(below, ignored)
    tops = {path[0] for path in inner if len(path) > 1}
    depth = 1 if any(_split_of(top) for top in tops) else 0  # where the class folders are
    items = []
    for path in inner:
        if depth and not _split_of(path[0]):
            ignored[f"{path[0]}{'/' if len(path) > 1 else ''} beside the split folders"] += 1
        elif len(path) < depth + 2:
            ignored[_OUTSIDE] += 1
        else:
            split = _split_of(path[0]) if depth else None
            items.append(Item("/".join((*base, *path)), path[depth], split, None))
    if not items:
        raise DataError(f"the images in {where} are in no class folder; expected {LAYOUTS}")
    inside = [path[len(base) :] for path in _real_folders(folders) if path[: len(base)] == base]
    _refuse_empty_folders(inside, below, depth, where)
    if not depth:
        _refuse_classes_in_classes(inner, where)
    items.sort(key=lambda item: natural_key(item.path))
    return Layout(tuple(items), dict(sorted(ignored.items())))


def _split_of(folder: str) -> str | None:
    return SPLIT_NAMES.get(folder.casefold())


def _noise_in(path: Path) -> str | None:
    """The name under which a path is counted as noise, if it is."""
    for part in path:
        if part.startswith("._"):
            return "._*"
        if part.startswith(".") or part.casefold() in _NOISE:
            return part
    return None


def _images(files: Iterable[str], ignored: Counter[str]) -> list[Path]:
    images = []
    for name in files:
        path = tuple(name.split("/"))
        if noise := _noise_in(path):
            ignored[noise] += 1
        elif not is_image_name(path[-1]):
            _, dot, suffix = path[-1].rpartition(".")
            ignored[f"*.{suffix.lower()}" if dot else "files without a suffix"] += 1
        else:
            images.append(path)
    return images


def _real_folders(folders: Iterable[str]) -> list[Path]:
    paths = (tuple(name.rstrip("/").split("/")) for name in folders)
    return [path for path in paths if not _noise_in(path)]


def _wrapping_folder(images: Collection[Path]) -> Path:
    """The folders around all images that are neither a split nor a class, such as archive/."""
    base: Path = ()
    while True:
        tops = {path[len(base)] for path in images}
        top = min(tops)
        if len(tops) > 1 or _split_of(top) or any(len(path) <= len(base) + 2 for path in images):
            return base  # it holds images itself, or is one
        if harmonise(top) in CANONICAL:
            return base
        base = (*base, top)


def _without_nested_copies(images: list[Path], ignored: Counter[str]) -> list[Path]:
    """Images without those of a top folder that repeats, name for name, what is beside it.

    Navoneel's set comes with yes/, no/ and brain_tumor_dataset/{yes,no}/ of the same files.
    """
    known = set(images)
    for top in sorted({path[0] for path in images if len(path) > 2}):
        nested = [path for path in images if path[0] == top]
        if all(path[1:] in known for path in nested):
            ignored[f"{top}/ (a second copy of the folders beside it)"] += len(nested)
            known.difference_update(nested)
    return [path for path in images if path in known]


def _refuse_empty_folders(
    folders: Collection[Path], images: Collection[Path], depth: int, where: str
) -> None:
    """depth: 0 where class folders are on top, 1 where they are in the folders of splits."""
    filled = {path[:level] for path in images for level in range(1, len(path))}
    empty = [
        "/".join(path)
        for path in sorted(folders)
        if path not in filled and 1 <= len(path) <= depth + 1 and (not depth or _split_of(path[0]))
    ]
    if empty:
        raise DataError(
            f"no image in the class folder {', '.join(empty[:10])} of {where}; "
            "put its images there, or remove it when it is no class"
        )


def _refuse_classes_in_classes(images: Collection[Path], where: str) -> None:
    """A class folder that holds the names of classes again is a second data set, not a class."""
    classes = {harmonise(top) for top in {path[0] for path in images if len(path) > 1}}
    for top, inner in sorted({path[:2] for path in images if len(path) > 2}):
        if harmonise(inner) in classes - {harmonise(top)}:
            raise DataError(
                f"{top}/ in {where} holds class folders again ({inner}/), with images that are "
                f"not beside it; name the one to use with data.root={where}/{top}, or move it away"
            )
