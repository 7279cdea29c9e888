"""Which files of a tree are pictures, as their names say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from braintumor.data.images import is_image_name
from braintumor.files import MARKER

Parts = tuple[str, ...]  # of a relative path

_NOISE = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
_KINDS = {  # what the field keeps pictures in that is no image file
    "dcm": "DICOM", "dicom": "DICOM", "ima": "DICOM", "nii": "NIfTI", "nii.gz": "NIfTI",
    "hdr": "Analyze", "mha": "MetaImage", "mhd": "MetaImage", "nrrd": "NRRD", "mat": "MATLAB",
    "h5": "HDF5", "hdf5": "HDF5", "tfrecord": "TensorFlow", "tfrecords": "TensorFlow",
    "parquet": "Parquet", "pkl": "pickled", "pickle": "pickled", "pt": "PyTorch",
    "jp2": "JPEG 2000", "avif": "AVIF", "heic": "HEIC", "heif": "HEIF",
    "npz": "NumPy", "npy": "NumPy", "gz": "packed", "zip": "archive", "tar": "archive",
}  # fmt: skip
_VOLUMES = {"DICOM", "NIfTI", "Analyze", "MetaImage", "NRRD", "MATLAB", "HDF5"}  # or slices of them
AS_SLICES = "save each slice as a PNG file, as docs/data.md shows"
_PACKED = {"packed", "archive", "NumPy"}
# an outline beside its picture: 12_mask.png, mask_12.png, 1_seg_70.png beside 1_flair_70.png
_OUTLINE = re.compile(
    r"(?<![^\W\d_])(masks?|seg(mentation)?s?|segmented|ground[ _-]?truth|gt|rois?|labels?|"
    r"contours?|outlines?|annotat(ed|ions?))(?![^\W\d_])"
)
_SEQUENCE = re.compile(
    r"(?<![^\W_])(flair|t1(c|ce|gd|w|wce|n|km)?|t2(w|f|wi)?|dwi|adc|pd|mri?)(?![^\W_])"
)


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

    The outline of a picture beside it, such as a_mask.png beside a.png, is no image of its own,
    and neither is what this toolkit drew, where a folder of its work lies among the images.
    """
    files = list(files)
    own = work_folders(files)
    images = []
    for name in files:
        path = tuple(name.split("/"))
        if is_inside(path, own):
            ignored["files in folders of braintumor's own work"] += 1
        elif noise := noise_in(path):
            ignored[noise] += 1
        elif not is_image_name(path[-1]):
            ignored[kind_of(path[-1])] += 1
        else:
            images.append(path)
    outlines = _outlines(images)
    if outlines:
        ignored["outline files beside their pictures (such as *_mask)"] += len(outlines)
    return [path for path in images if path not in outlines]


def work_folders(files: Iterable[str]) -> set[Parts]:
    """Folders that this toolkit wrote, by the mark in them; not the one that was given."""
    return {tuple(name.split("/")[:-1]) for name in files if name.endswith(f"/{MARKER}")}


def is_inside(path: Parts, folders: Collection[Parts]) -> bool:
    """Whether the path is one of the folders, or lies in one."""
    return bool(folders) and any(path[:end] in folders for end in range(1, len(path) + 1))


def _outlines(images: Iterable[Parts]) -> set[Parts]:
    """Those whose name is that of a picture beside them but for a word that says outline.

    Where pictures are named by their sequence, that word stands in the place of the sequence's.
    """
    stems = {path: path[-1].rpartition(".")[0].casefold() for path in images}
    named = {path for path, stem in stems.items() if _OUTLINE.search(stem)}
    if not named:
        return named
    pictures = {
        (*path[:-1], _plain(name))
        for path, stem in stems.items()
        if path not in named
        for name in (stem, _SEQUENCE.sub("", stem))
    }

    def is_beside(path: Parts) -> bool:
        bare = _OUTLINE.sub("", stems[path])
        names = bare, re.sub(r"[\W_]\d+$", "", bare)  # a_mask_1.png is of a.png
        return any((*path[:-1], _plain(name)) in pictures for name in names)

    return set(filter(is_beside, named))


def _plain(stem: str) -> str:
    """The words of a name, however they are joined."""
    return " ".join(re.findall(r"[^\W_]+", stem))


def kind_of(name: str) -> str:
    """What a file that is no image is, in words, by the end of its name."""
    _, dot, suffix = name.lower().rpartition(".")
    suffix = "nii.gz" if name.lower().endswith(".nii.gz") else suffix
    kind = f"{_KINDS[suffix]} files (*.{suffix})" if suffix in _KINDS else f"*.{suffix}"
    return kind if dot else "files without a suffix"


def how_to_convert(kinds: Iterable[str]) -> str:
    """What makes images of files of the kinds that `kind_of` names; "" where nobody knows."""
    names = {kind.partition(" files (")[0] for kind in kinds}
    is_known = names & ({*_KINDS.values()} - _PACKED)
    return AS_SLICES if names & _VOLUMES else "save them as PNG files" if is_known else ""
