"""What a file is, told from its first bytes: no intact file is called damaged for being another."""

from __future__ import annotations

HEAD_BYTES = 512
_READ = {  # what an image file that is read begins with
    b"BM": "BMP", b"GIF8": "GIF", b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"II*\0": "TIFF",
    b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip
_OTHERS = {
    b"\x89HDF": "an HDF5 file (.h5, or .mat of MATLAB 7.3)",
    b"MATLAB 5": "a MATLAB file (.mat)",
    b"NRRD0": "a NRRD file",
    b"ObjectType =": "a MetaImage file (.mha)",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript file",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "an icon (ICO)",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\xd0\xcf\x11\xe0": "an old Office file",
    b"SQLite": "a database (SQLite)",
    b"PAR1": "a Parquet file",
}
_PACKED = {  # data sets, which are damaged where they begin so and cannot be opened
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"PK\x03\x04": "a zip file, as workbooks and .npz files are",
    b"\x1f\x8b": "a gzip file, as .nii.gz is",
}
_BRANDS = {b"avif": "an AVIF picture", b"heic": "a HEIC picture", b"mif1": "a HEIF picture"}


def named_by_content(head: bytes, *, also_packed: bool) -> str | None:
    """ "a MATLAB file (.mat)", of what is never read as a picture; None where not known.

    head: the first HEAD_BYTES of it, or fewer.  also_packed: arrays and archives too.
    """
    if head[128:132] == b"DICM":
        return "a DICOM file"
    if head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2"):
        return "a NIfTI file"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video or picture in an MP4 container")
    known = _OTHERS | _PACKED if also_packed else _OTHERS
    return next((what for begins, what in known.items() if head.startswith(begins)), None)


def why_not_fetched(head: bytes) -> str | None:
    """What stands for a file that never came, and what to do; None where it is none of that."""
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is a web page (HTML): the download failed; get the file again"
    if text.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself; run `git lfs pull`"
    return None


def image_format(head: bytes) -> str | None:
    """The format that an image file begins as, of those that are read."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for begins, name in _READ.items() if head.startswith(begins)), None)
