"""A folder of image files: Training/ and Testing/, train|val|test/, or one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from braintumor import limits
from braintumor.config import first_of
from braintumor.data.images import is_image_name
from braintumor.data.names import is_never_class, names_nothing, split_of
from braintumor.data.signatures import HEAD_BYTES, named_by_content
from braintumor.data.sources import FileSource, Source, archive, require_root
from braintumor.data.sources._layout import read_layout
from braintumor.data.sources._look import LAYOUTS, Choice, Names
from braintumor.data.sources._pictures import AS_SLICES, how_to_convert, kind_of, noise_in
from braintumor.errors import DataError
from braintumor.files import open_bounded, read_bounded
from braintumor.quoting import pasteable

OTHER_SOURCES = {".npz": "npz", ".csv": "table", ".tsv": "table"}
_UNPACKED_BY_HAND = (".rar", ".7z", ".gz", ".bz2", ".xz", ".z01")


def build(
    root: Path | None, classes: Names = None, ignore: Names = None, patient_regex: str | None = None
) -> Source:
    """The images under root, which may also be a zip or tar file of such a folder.

    classes: names of the folders that are the classes; what lies beside them is left out.
    ignore: folders to leave out, as paths from where the classes or splits are.
    patient_regex: finds the patient in the path of an image: its first group, or all of the match.
    Raises DataError when root is missing, holds no image, has an empty class folder, or can be
    read in two ways, and ConfigError when patient_regex is none or finds no patient.
    """
    if root is None:
        raise DataError(f"data=folder needs data.root=FOLDER with {LAYOUTS}")
    require_root(root)
    if root.is_dir():
        files, folders, twice = walk(root)
        for first, again in twice.items():
            raise DataError(
                f"{first} and {again} in {root} are one folder, since one is a link to the other; "
                "remove the link, or each image would count twice"
            )
        _refuse_packed(root, files)
        choice = Choice.given(classes, ignore, patient_regex)
        # a zip file of Windows that was unpacked elsewhere has names such as "yes\\1.png"
        places = {name.replace("\\", "/"): root / name for name in files}
        if len(places) < len(files):
            lost = next(name for name in files if places[name.replace("\\", "/")] != root / name)
            raise DataError(f"{root} holds {lost} once with / and once with \\; rename one of them")
        found = read_layout(places, folders, str(root), choice, is_folder=True)
        return FileSource(*found, lambda path: read_bounded(places[path], limits.FILE_BYTES))
    if archive.is_archive_name(root.name):
        return archive.build(root, classes, ignore, patient_regex)
    suffix, hint = root.suffix.lower(), how_to_convert([kind_of(root.name)])
    if suffix in OTHER_SOURCES:
        hint = f"use data={OTHER_SOURCES[suffix]} for it"
    elif not hint:
        unpacked = "unpack it, and " if suffix in _UNPACKED_BY_HAND else ""
        hint = f"{unpacked}give a folder with {LAYOUTS}"
    raise DataError(f"data.root={root} is a file, and no zip or tar; {hint}")


def _refuse_packed(root: Path, files: Sequence[str]) -> None:
    """A folder without images that holds archives, arrays or else: how to read those."""
    clean = [name for name in files if not noise_in(tuple(name.split("/")))]
    if any(is_image_name(name) for name in clean):
        return
    packed = [root / name for name in sorted(clean) if archive.is_archive_name(name)]
    if packed:
        raise DataError(f"{root} holds no image, but {_ways_to_unpack(root, packed)}")
    arrays = [name for name in sorted(clean) if name.lower().endswith((".npz", ".npy"))]
    folders = {name.split("/")[-2] for name in arrays if name.endswith(".npy") and "/" in name}
    none = {name for f in (split_of, names_nothing, is_never_class) for name in filter(f, folders)}
    if len(folders) > 1 and folders - none:
        raise DataError(
            f"{root} holds arrays of a picture each ({first_of(arrays)}), which are not read; save "
            "them as PNG files, or all together as X and Y of one .npz file for data=npz"
        )
    if arrays:
        raise DataError(
            f"{root} holds no image, but arrays ({first_of(arrays)}): data=npz "
            f"{pasteable('data.root', str(root))}"
        )
    for name in sorted(clean)[:1]:  # such as IM-0001, whose end says nothing
        what = None
        with (
            suppress(OSError, DataError),
            open_bounded(root / name, limits.FILE_BYTES) as (file, _),
        ):
            what = named_by_content(file.read(HEAD_BYTES), also_packed=False)
        if what and not how_to_convert([kind_of(name)]):
            raise DataError(f"{root} holds no image: {name} is {what}; {AS_SLICES}")


def _ways_to_unpack(root: Path, packed: Sequence[Path]) -> str:
    """What to do with archives: give the one, or unpack them side by side, a command each."""
    if len(packed) == 1:
        return f"an archive; give it: {pasteable('data.root', str(packed[0]))}"
    whole = [pasteable("data.root", str(path)) for path in packed if _is_data_set(path)]
    alone = f" (for one of them alone {first_of(whole)})" if whole else ""
    place = root / "unpacked"
    lines = [f"  {archive.unpack_line(path, place)}" for path in packed]
    unpacked = pasteable("data.root", str(place))
    return "\n".join([f"archives; add {unpacked} once they are unpacked{alone}:", *lines])


def _is_data_set(path: Path) -> bool:
    """Whether a zip file can be trained on; to look into a tar file takes as long as to read it."""
    try:
        items = archive.build(path).items if path.suffix.lower() == ".zip" else ()
    except DataError:
        return False
    return len({item.label for item in items if item.split != "test"}) > 1


def walk(root: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Files and folders below root as relative posix paths; links to folders are followed.

    A folder is entered once, by its own name where that lies beside the link. A link to a folder
    around it is left out; where two names lead to one folder, the third holds
    {the name entered: the other}.
    Raises DataError where a folder cannot be listed, or there are more files than in any data set.
    """
    files, folders = [], []
    twice: dict[str, str] = {}
    seen: dict[Path, Path] = {}  # folder -> its name below root
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_raise):
        inside, real = Path(folder).relative_to(root), Path(folder).resolve()
        first = seen.setdefault(real, inside)
        if first != inside:
            subfolders.clear()
            if first not in inside.parents:
                twice[first.as_posix()] = inside.as_posix()
            continue
        subfolders.sort(key=lambda name: ((Path(folder) / name).is_symlink(), name))
        if inside.parts:
            folders.append(inside.as_posix())
        files += [(inside / name).as_posix() for name in names]
        if len(files) > limits.MEMBERS:
            raise DataError(
                f"{root} holds more than {limits.MEMBERS:,} files; give the folder of the images "
                "alone, and look for a link that leads out of it"
            )
    return files, folders, twice


def _raise(error: OSError) -> None:
    raise DataError(f"cannot list {error.filename} ({error.strerror}); check its permissions")
