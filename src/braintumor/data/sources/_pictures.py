"""Which files of a tree are pictures, as their names say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from braintumor.data.images import is_image_name

Parts = tuple[str, ...]  # of a relative path

_NOISE = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
_KINDS = {  # what the field keeps pictures in that is no image file
    "dcm": "DICOM", "dicom": "DICOM", "ima": "DICOM", "nii": "NIfTI", "nii.gz": "NIfTI",
    "hdr": "Analyze", "mha": "MetaImage", "mhd": "MetaImage", "nrrd": "NRRD", "mat": "MATLAB",
    "h5": "HDF5", "hdf5": "HDF5", "tfrecord": "TensorFlow", "tfrecords": "TensorFlow",
    "npz": "NumPy", "npy": "NumPy", "gz": "packed", "zip": "archive", "tar": "archive",
}  # fmt: skip
# an outline beside its picture, as scan_12.png and scan_12_mask.png
_OUTLINE = re.compile(r"(.+?)[ _.-]*(?:masks?|seg|segmentation|ground_?truth|annotations?)[ _]?\d*")


def noise_in(path: Parts) -> str | None:
    """The name under which a path is counted as noise, if it is."""
    for part in path:
        if part.startswith("._"):
            return "._*"
        if part.startswith(".") or part.casefold() in _NOISE:
            return part
    return None


def image_paths(files: Iterable[str], ignored: Counter[str]) -> list[Parts]:
    """The images among the files, by their names; others are counted in `ignored` by kind.

    The outline of a picture beside it, such as a_mask.png beside a.png, is no image of its own.
    """
    images = []
    for name in files:
        path = tuple(name.split("/"))
        if noise := noise_in(path):
            ignored[noise] += 1
        elif not is_image_name(path[-1]):
            ignored[_kind_of(path[-1].lower())] += 1
        else:
            images.append(path)
    pictures = {(*path[:-1], _stem(path)) for path in images}
    outlines = {path for path in images if _outlined(path) in pictures}
    if outlines:
        ignored["outline files beside their pictures (such as *_mask)"] += len(outlines)
    return [path for path in images if path not in outlines]


def _kind_of(name: str) -> str:
    """What a file that is no image is, in words, by the end of its name."""
    _, dot, suffix = name.rpartition(".")
    suffix = "nii.gz" if name.endswith(".nii.gz") else suffix
    kind = f"{_KINDS[suffix]} files (*.{suffix})" if suffix in _KINDS else f"*.{suffix}"
    return kind if dot else "files without a suffix"


def _stem(path: Parts) -> str:
    return path[-1].rpartition(".")[0].casefold()


def _outlined(path: Parts) -> Parts | None:
    """The picture that this one would be an outline of, without its suffix."""
    found = _OUTLINE.fullmatch(_stem(path))
    return (*path[:-1], found[1]) if found else None
