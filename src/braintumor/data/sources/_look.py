"""A tree of images, how deep its class folders are, and which of them are taken by choice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from braintumor.config import first_of
from braintumor.data.labels import label_of
from braintumor.data.names import is_never_class, names_nothing, split_in, split_of
from braintumor.data.sources._folders import (
    Tree,
    chosen_folders,
    depth_of,
    folders_at,
    grow_tree,
    wrapping_folder,
)
from braintumor.data.sources._pictures import Parts, how_to_convert, image_paths, noise_in
from braintumor.data.sources._table_files import tables_in
from braintumor.errors import ConfigError, DataError
from braintumor.quoting import pasteable

Names = list[str | int] | None  # of folders; [0,1] on a command line are numbers

LAYOUTS = "Training/<class>/ and Testing/<class>/, train|val|test/<class>/, or just <class>/"

# text files that say where in a picture something is
_BOXES = re.compile(r"\.(txt|xml)$|(?:annotation|instances|coco)[^/]*(?:/[^/]*)?\.json$")
_SHOWN = 6  # kinds of files that are named


@dataclass(frozen=True)
class Choice:
    """What the user said: the folders that are classes (None: all), and those to leave out.

    patient: what finds the patient in a path; None where nothing does.
    """

    classes: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    patient: re.Pattern[str] | None = None

    @classmethod
    def given(cls, classes: Names, ignore: Names, patient_regex: str | None) -> Choice:
        """data.classes, ignore and patient_regex as given; an empty list of classes chooses none.

        Raises ConfigError when data.patient_regex is no regular expression.
        """
        try:
            patient = re.compile(patient_regex) if patient_regex else None
        except re.error as error:
            raise ConfigError(
                f"data.patient_regex={patient_regex} is no regular expression ({error}); such as "
                "'data.patient_regex=\"patient_([0-9]+)\"'"
            ) from error
        return cls(
            tuple(map(str, classes)) if classes else None, tuple(map(str, ignore or ())), patient
        )

    def patients(self, paths: Sequence[str]) -> list[str | None]:
        """Whom each image belongs to; None where the expression finds nobody.

        Raises ConfigError when it finds nobody at all.
        """
        if self.patient is None:
            return [None] * len(paths)
        found = [self.patient.search(path) for path in paths]
        if not any(found):
            raise ConfigError(
                f"data.patient_regex={self.patient.pattern} finds no patient in any path, such as "
                f"{paths[0]}"
            )
        return [(match and (match[1] if match.re.groups else match[0])) or None for match in found]


def look(
    files: Collection[str], folders: Collection[str], where: str, choice: Choice
) -> tuple[Tree, int, set[Parts]]:
    """The tree, how deep its class folders are, and those that are taken."""
    tree = grow_tree(files, folders, where, choice.ignore)
    if not tree.images:
        what = "PNG, JPEG or TIFF files inside, or .npz and .npy files for data=npz"
        way = how_to_convert(tree.ignored) or f"expected {LAYOUTS} with {what}"
        raise DataError(f"no image in {where}{_passed_over(tree)}; {way}")
    if choice.classes is None:
        depth = depth_of(tree.images)
        classes = set(folders_at(tree.images, depth))
    else:
        depth, classes = chosen_folders(tree, choice.classes)
    _refuse_empty_folders(tree, depth, choice)
    return tree, depth, classes


def _passed_over(tree: Tree) -> str:
    """The kinds of files that are no images, to add to a sentence."""
    found = [f"{count} {name}" for name, count in tree.ignored.most_common()]
    return f"; passed over: {first_of(found, _SHOWN)}" if found else ""


def _refuse_empty_folders(tree: Tree, depth: int, choice: Choice) -> None:
    """depth: 0 where class folders are on top, 1 where they are in the folders of splits."""
    wanted = None if choice.classes is None else {label_of(name) for name in choice.classes}
    empty = [
        "/".join(path)
        for path in sorted(tree.folders)
        if path not in tree.filled
        and 1 <= len(path) <= depth + 1
        and (not depth or split_of(path[0]))
        and (split_of(path[-1]) or not is_never_class(path[-1]))  # labels/ of a detection set
        and (wanted is None or len(path) <= depth or label_of(path[-1]) in wanted)
    ]
    if empty:
        others = {path[-1] for path in tree.filled if len(path) == depth + 1}
        put = how_to_convert(tree.ignored) or "put its images there"
        way = f", or leave it out with {pasteable('data.ignore', empty)}" if len(others) > 1 else ""
        raise DataError(
            f"no image in the class folder {', '.join(empty[:10])} of {tree.where}"
            f"{_passed_over(tree)}; {put}{way}"
        )


def boxes_in(files: Collection[str]) -> str | None:
    """The format of a set for detection, where its folders name no class; None of any other."""
    texts = [name for name in files if _BOXES.search(name) and not noise_in(tuple(name.split("/")))]
    images = image_paths(files, Counter()) if texts else []
    base = len(wrapping_folder(images))
    folders = {part for path in images for part in path[base:-1]}
    stems = {path[-1].rpartition(".")[0] for path in images}
    if all(split_in(part) or names_nothing(part) for part in folders):
        for name in texts:
            stem, _, suffix = name.rpartition("/")[2].rpartition(".")
            if stem in stems or suffix == "json":
                return {"txt": "YOLO", "xml": "Pascal VOC"}.get(suffix, "COCO")
    return None


def ask_a_table(files: Collection[str], where: str, *, is_folder: bool) -> str:
    """The way out by a table of labels, with the name of one of images, there or around it.

    files: paths below `where`.  is_folder: not inside an archive, where no table is read.
    """
    found = []
    if is_folder:
        root = Path(where)
        near = [root / name for name in files if not noise_in(tuple(name.split("/")))]
        near += [path for path in root.parent.glob("*") if not noise_in((path.name,))]
        found = tables_in(root, near)
    if not found:
        place = f" {pasteable('data.root', where)}" if is_folder else ""
        return (
            "say the class of each image in a table (a CSV with columns path,label): "
            f"data=table data.table=FILE.csv{place}"
        )
    first, *others = found
    more = f" (or {first_of(others, _SHOWN)})" if others else ""
    return f"use a table that says the class of each image: data=table {first}{more}"
