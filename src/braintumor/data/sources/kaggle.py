"""A public data set from Kaggle: the copy under root, or a download when that is asked for."""

from __future__ import annotations

from pathlib import Path

from braintumor.data.sources import Source, archive, folder
from braintumor.data.sources._look import Names
from braintumor.errors import DataError


def build(
    handle: str,
    page: str,
    root: Path | None,
    download: bool,
    classes: Names = None,
    ignore: Names = None,
    patient_regex: str | None = None,
) -> Source:
    """The images under root (a folder, or an archive, or a folder with one archive in it).

    handle, page: "owner/name" and web address of the data set, for kagglehub and for people.
    download: fetch the set into kagglehub's cache when root holds nothing.
    classes, ignore, patient_regex: as in folder.build.
    Raises DataError when there are no images and no download is asked for, or it fails.
    """
    if root is not None and (found := _what_is_there(root)) is not None:
        return folder.build(found, classes, ignore, patient_regex)
    if not download:
        raise DataError(
            f"no images at data.root={root}; three ways: {_by_hand(page, root)}, name a copy that "
            "you have with data.root=FOLDER, or let it be fetched with data.download=true"
        )
    return folder.build(_download(handle, page, root), classes, ignore, patient_regex)


def _what_is_there(root: Path) -> Path | None:
    """root if it is an archive or a folder with folders in it; the one archive in a folder."""
    if root.is_file():
        return root
    inside = [path for path in root.iterdir() if path.name[0] != "."] if root.is_dir() else []
    if any(path.is_dir() for path in inside):
        return root
    archives = [path for path in inside if archive.is_archive_name(path.name)]
    return archives[0] if len(archives) == 1 else None


def _download(handle: str, page: str, root: Path | None) -> Path:
    try:
        import kagglehub  # an optional dependency
    except ImportError as error:
        raise DataError(
            'data.download=true needs kagglehub: pip install "braintumor[download]"; '
            f"or {_by_hand(page, root)}"
        ) from error
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # network, login, licence: many kinds, one remedy
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{handle} could not be downloaded ({reason}); {_by_hand(page, root)}"
        ) from error


def _by_hand(page: str, root: Path | None) -> str:
    return f"download it by hand from {page} and put the zip file, or what is in it, into {root}"
