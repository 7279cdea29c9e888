"""Pictures without labels: files, folders, Pillow images and arrays, as a checkpoint wants them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image

from braintumor.data.images import decode, from_pillow, is_image_name, resize
from braintumor.errors import DataError
from braintumor.files import natural_key

if TYPE_CHECKING:
    from braintumor.runs.checkpoint import Card

# h, w height and width of a picture, S side of the square that the model sees

Picture = Union[str, Path, np.ndarray, "Image.Image"]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures at the size of a model.

    names: N, a path or "picture 3".  pixels: uint8 (N, S, S) when all are grey, else
    (N, S, S, 3).  sizes: of each its own (height, width).
    """

    names: tuple[str, ...]
    pixels: np.ndarray
    sizes: tuple[tuple[int, int], ...]


def read_pictures(
    pictures: Picture | Sequence[Picture], card: Card, *, skip_unreadable: bool = False
) -> Pictures:
    """All pictures, decoded, grey where they are grey, and square.

    pictures: one or several of: path of a file or folder, Pillow image, array as `from_array`
        takes it.  A file is named by its path below its folder.
    Raises DataError that names all that cannot be read.
    """
    one = isinstance(pictures, str | bytes | Path | np.ndarray | Image.Image)
    several: Sequence[Any] = [pictures] if one else list(pictures)  # type: ignore[arg-type]
    names, squares, sizes, bad, count = [], [], [], [], 0
    for name, picture in _listed(several):
        count += 1
        try:
            pixels = _decoded(picture)
        except (DataError, OSError) as error:
            bad.append(f"{picture if isinstance(picture, Path) else name}: {error}")
            continue
        names.append(name)
        sizes.append(pixels.shape[:2])
        squares.append(resize(pixels, card.image_size, card.fit))
    if not count:
        raise DataError("there are no pictures to read; give paths, arrays or Pillow images")
    if bad and (not skip_unreadable or not names):
        listed = "\n  ".join(bad[:20])
        raise DataError(
            f"{len(bad)} of {count} pictures cannot be read; mend or remove them, or use "
            f"skip_unreadable=true:\n  {listed}"
        )
    if any(p.ndim == 3 for p in squares):
        squares = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in squares]
    return Pictures(tuple(names), np.stack(squares), tuple(sizes))


def _listed(pictures: Sequence[Picture]) -> Iterable[tuple[str, Path | np.ndarray | Image.Image]]:
    """Each with its name: below the folder that was given alone, else as it was given.

    A folder is searched in depth, in natural order.
    """
    for number, picture in enumerate(pictures):
        if not isinstance(picture, str | Path):
            yield f"picture {number}", picture
            continue
        root = Path(picture).expanduser()
        if not root.exists():
            raise DataError(f"there is no file or folder {root}; check the path")
        files = [root] if root.is_file() else [
            path for path in root.rglob("*")
            if path.is_file() and is_image_name(path.name) and not path.name.startswith(".")
        ]  # fmt: skip
        if not files:
            raise DataError(
                f"{root} holds no pictures; they are PNG, JPEG, BMP, TIFF, GIF or WebP files"
            )
        parent = root.parent if root.is_file() else root
        for file in sorted(files, key=lambda path: natural_key(path.as_posix())):
            named = file.relative_to(parent) if len(pictures) == 1 else file
            yield named.as_posix(), file


def _decoded(picture: Path | np.ndarray | Image.Image) -> np.ndarray:
    """uint8 (h, w[, 3])."""
    if isinstance(picture, Path):
        return decode(picture.read_bytes()).pixels
    if isinstance(picture, np.ndarray):
        return decode(from_array(picture)).pixels
    if isinstance(picture, Image.Image):
        return from_pillow(picture)
    raise DataError(
        f"{type(picture).__name__} is no picture; give a path, an array or a Pillow image"
    )


def from_array(values: np.ndarray) -> np.ndarray:
    """An array of one picture as uint8 (h, w[, 1 or 3]); nothing is scaled by guessing.

    values: (h, w), (h, w, 1) or (h, w, 3); uint8, or floats in [0, 1] or in [0, 255].

    >>> from_array(np.array([[0.0, 0.5], [1.0, 0.2]])).tolist()
    [[0, 128], [255, 51]]

    Raises DataError on other types and on floats of which it is not clear what white is.
    """
    if values.ndim == 3 and values.shape[2] not in (1, 3):
        raise DataError(
            f"an array of shape {values.shape} is no picture of (height, width) or (height, width, "
            "3); several are a list: list(array)"
        )
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(
            f"an array of {values.dtype} has no known white; scale it to uint8, or to floats in "
            "[0, 1]"
        )
    if not values.size or not np.isfinite(values).all():
        raise DataError("an array with no values, or with NaN or infinity, is no picture")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or 1 < high < 10:
        raise DataError(
            f"floats from {low:.4g} to {high:.4g} are neither in [0, 1] nor clearly in [0, 255]; "
            "scale them to one of the two"
        )
    return np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)
