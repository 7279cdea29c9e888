"""Folders that look like classes and may be none: masks, a second set, images without labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from braintumor.config import first_of
from braintumor.data.labels import CANONICAL, classes_in, is_known_class, label_of
from braintumor.data.names import (
    MADE_OF_ANOTHER,
    SPLIT_WORDS,
    is_never_class,
    is_view,
    names_nothing,
    split_in,
    split_of,
    words_of,
)
from braintumor.data.patients import is_patient
from braintumor.data.sources._folders import Folders, wrapping_folder
from braintumor.data.sources._pictures import Parts


@dataclass(frozen=True)
class Doubt:
    """A folder that may be no class. inner: a folder in it that may be a data set of its own."""

    folder: Parts
    why: str
    inner: Parts | None = None


def find_doubts(folders: Folders) -> list[Doubt]:
    """Folders that would be classes, and of which the names around them say otherwise."""
    known = {label_of(path[-1]) for path in folders}
    doubts = {path: doubt for path in folders if (doubt := _by_content(path, folders[path], known))}
    doubts |= _alike_inside({p: i for p, i in folders.items() if p not in doubts}, known)
    of_names = (_never_a_class, _made_of_another, _split_and_class)
    for rule in (_untrained, *of_names, _beside_a_binary_set, _naming_nothing):
        sure = [path for path in folders if path not in doubts]
        doubts |= {path: Doubt(path, why) for path, why in rule(sure).items()}
    return [doubts[path] for path in folders if path in doubts]


def _by_content(path: Parts, images: Sequence[Parts], known: set[str]) -> Doubt | None:
    """A doubt about one folder, for its name or for the folders in it."""
    place, base = "/".join(path), wrapping_folder(images)
    inside = sorted({image[len(base)] for image in images if len(image) > len(base) + 1})
    holds_images = any(len(image) == len(base) + 1 for image in images)
    splits = [name for name in inside if split_of(name)]
    own = classes_in(path[-1])
    own |= {"tumor"} if own - {"no_tumor"} else set()
    again = [n for n in inside if label_of(n) in known - own - {label_of(path[-1])}]
    speaking = [name for name in inside if _speaks_of(name, path[-1]) - own]
    if split_of(path[-1]):
        why = f"{place} has the name of a split"
    elif splits:
        why = f"{place}/ holds folders of splits: {first_of(splits)}"
    elif again:
        why = f"{place}/ holds class folders again: {first_of(again)}"
    elif speaking and not holds_images:
        why = f"{place}/ holds folders that name classes: {first_of(speaking)}"
    elif never := outlines_in(path, images):
        why = f"{place}/ holds what is seldom of a class: {first_of([name for *_, name in never])}"
    elif is_patient(path[-1]):
        return Doubt(path, f"{path[-1]} is the name of a patient, not of a class")
    else:
        return None
    if split_in(path[-1]):
        why += f"; if it is a split, rename it to {split_in(path[-1])}"
    return Doubt(path, why, (*path, *base))


def outlines_in(folder: Parts, images: Sequence[Parts]) -> list[Parts]:
    """Folders in a class folder, at any depth, that are none of its images: masks, labels."""
    inside = {image[:end] for image in images for end in range(1, len(image))}
    return [(*folder, *p) for p in sorted(inside) if is_never_class(p[-1]) and not split_of(p[-1])]


def hold_splits(folders: Folders) -> bool:
    """Whether each class folder holds folders of splits alone, and these no class again."""
    known = {label_of(path[-1]) for path in folders} | set(CANONICAL)
    return all(
        len(image) > 1 and split_of(image[0]) and known.isdisjoint(map(label_of, image[1:-1]))
        for images in folders.values()
        for image in images
    )


def find_beside(images: Sequence[Parts]) -> list[Doubt]:
    """Folders beside those of splits that hold the same class folders, as eval/ does."""
    inside = {label_of(path[1]) for path in images if len(path) > 2 and split_of(path[0])}
    tops = {
        path[0]
        for path in images
        if len(path) > 2 and label_of(path[1]) in inside
        if not split_of(path[0]) and not is_never_class(path[0])
    }
    why = "holds class folders too; if it is a split, rename it to train, val or test"
    return [Doubt((top,), f"{top}/ {why}", (top,)) for top in sorted(tops)]


def _speaks_of(inner: str, outer: str) -> set[str]:
    """Classes that a folder in a class folder names; where that is a known one, by its whole name.

    Below glioma/ may be "glioma normal dose"; what is below "Raw Data" is read word by word.
    """
    if is_known_class(outer):
        return {label_of(inner)} & set(CANONICAL)
    return classes_in(inner)


def _alike_inside(folders: Folders, known: set[str]) -> dict[Parts, Doubt]:
    """Folders without an image of their own that hold the same two names or more as another."""
    if known & set(CANONICAL):
        return {}
    names: dict[str, set[str]] = defaultdict(set)  # class folder -> folders in it, in any split
    bases = {path: wrapping_folder(images) for path, images in folders.items()}
    for path, images in folders.items():
        depth = len(bases[path])
        if all(len(image) > depth + 1 for image in images):
            inside = {image[depth].casefold() for image in images}
            names[path[-1]] |= {n for n in inside if not (is_patient(n) or is_view(n))}
    doubts = {}
    for path, base in bases.items():
        others = [name for name in names if name != path[-1]]
        same = next((s for o in others if len(s := names[o] & names[path[-1]]) > 1), None)
        if same:
            why = f"{'/'.join(path)}/ holds folders as others do: {first_of(sorted(same))}"
            doubts[path] = Doubt(path, why, (*path, *base))
    return doubts


def _untrained(folders: Sequence[Parts]) -> dict[Parts, str]:
    """Folders of val or test that train has not; a known class is one, whether trained or not.

    With one folder in train, or none, nothing can be learned and nothing is said here.
    """
    trained = {label_of(path[-1]) for path in folders if split_of(path[0]) == "train"}
    return {
        path: f"{'/'.join(path)} has no folder in train"
        for path in folders
        if len(path) > 1 and len(trained) > 1 and label_of(path[-1]) not in {*trained, *CANONICAL}
    }


def _never_a_class(folders: Sequence[Parts]) -> dict[Parts, str]:
    never = {path: f"{path[-1]} is seldom a class" for path in folders if is_never_class(path[-1])}
    return never if len(never) < len(folders) else {}


def _made_of_another(folders: Sequence[Parts]) -> dict[Parts, str]:
    """As "glioma - Copy (1)" beside glioma, and synthetic_glioma beside real_glioma."""
    first, bare = {label_of(path[-1]): path[-1] for path in folders}, {}
    for path in sorted(folders, key=lambda path: len(path[-1])):
        words = [word for word in words_of(path[-1]) if not word.isdecimal()]
        bare[path] = label_of(" ".join(word for word in words if word not in MADE_OF_ANOTHER))
        if bare[path] and not MADE_OF_ANOTHER.isdisjoint(words):
            first.setdefault(bare[path], path[-1])
    return {
        path: f"{path[-1]} seems to be {first[label]} once more"
        for path, label in bare.items()
        if label in first and label_of(path[-1]) not in (label, label_of(first[label]))
    }


def _split_and_class(folders: Sequence[Parts]) -> dict[Parts, str]:
    """As train_glioma beside test_glioma: one class, and not two."""
    bare = {p: " ".join(w for w in words_of(p[-1]) if w not in SPLIT_WORDS) for p in folders}
    told = {path: (split_in(path[-1]), name) for path, name in bare.items()}
    splits = {name: {s for s, other in told.values() if other == name} for _, name in told.values()}
    return {
        path: f"{path[-1]} seems to be {name} of {split}: make it {split}/{name}"
        for path, (split, name) in told.items()
        if split and len(splits[name]) > 1
    }


def _naming_nothing(folders: Sequence[Parts]) -> dict[Parts, str]:
    """Where no folder says more than that it holds pictures."""
    if not all(names_nothing(path[-1]) for path in folders):
        return {}
    return {path: f"{'/'.join(path)} names no class" for path in folders}


def _beside_a_binary_set(folders: Sequence[Parts]) -> dict[Parts, str]:
    """What lies beside yes/ and no/ that is no known class: between them there is no third one."""
    labels = {path: label_of(path[-1]) for path in folders}
    known = set(labels.values()) & set(CANONICAL)
    if known != {"no_tumor", "tumor"}:
        return {}
    shown = " and ".join(sorted({path[-1] for path in folders if labels[path] in known}))
    return {
        path: f"{path[-1]} lies beside {shown}, which are all classes of such a set"
        + ("; if it is one of them, rename it" if path[-1].isdecimal() else "")
        for path in folders
        if labels[path] not in known
    }
