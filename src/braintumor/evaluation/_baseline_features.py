"""What a floor sees of a picture: few numbers, none of which needs to know a brain.

All pictures are read once, in blocks, and each block is made grey once for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from braintumor.data.images import RIM_SHARE, rim_px

# N images, B images of a block, S side in px, F features

Describe = Callable[[np.ndarray], np.ndarray]  # grey float32 (B, S, S) in [0, 255] -> (B, F)

_BLOCK = 16  # images; 3 MB of float32 at 224 px stay in the cache (64: a quarter slower)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"
_DARK = 16  # of 256 grey levels: air with its noise
_RIM_CELLS = 16  # a strip of the frame is read as so many means, of 14 px length at 224 px


def describe(
    pixels: np.ndarray, rows: np.ndarray, wanted: Mapping[str, Describe]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Features (N, F) of the images in `rows`, and the seconds they took, by name.

    pixels: uint8 (…, S, S) or (…, S, S, 3).  rows: int (N,), at least one.
    Reading and making grey is shared, and counted for none of them.
    """
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    seconds = dict.fromkeys(wanted, 0.0)
    for start in range(0, len(rows), _BLOCK):
        grey = _to_grey(pixels[rows[start : start + _BLOCK]])
        for name, function in wanted.items():
            before = time.perf_counter()
            blocks[name].append(function(grey))
            seconds[name] += time.perf_counter() - before
    return {name: np.concatenate(parts) for name, parts in blocks.items()}, seconds


def thumbnails(side_px: int) -> Describe:
    """Means over a grid of side_px x side_px cells: uint8 (B, F); a smaller picture as it is."""

    def shrink(grey: np.ndarray) -> np.ndarray:
        side = min(side_px, grey.shape[1])
        return np.rint(_cell_means(grey, side, side)).astype(np.uint8).reshape(len(grey), -1)

    return shrink


def intensities(grey: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, quartiles (3), maximum, share of black, share of dark pixels.

    float32 (B, 8). Black is level 0, dark is below level 16. The minimum is not among them: it
    is 0 in most pictures, and the share of black says more.
    """
    levels = grey.astype(np.uint8).reshape(len(grey), -1)
    counts = np.stack([np.bincount(picture, minlength=256) for picture in levels])
    share = counts / levels.shape[1]
    up_to = np.cumsum(counts, axis=1)
    values = np.arange(256)
    mean = share @ values
    deviation = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    # a quartile is the lowest level that a quarter of the pixels do not exceed
    quartiles = [(4 * up_to >= k * levels.shape[1]).argmax(axis=1) for k in (1, 2, 3)]
    dark = share[:, :_DARK].sum(axis=1)
    columns = [mean, deviation, *quartiles, levels.max(axis=1), share[:, 0], dark]
    return np.stack(columns, axis=1).astype(np.float32)


def rim(grey: np.ndarray) -> np.ndarray:
    """Means along the four strips of the outer frame, 16 a strip: float32 (B, 64).

    The frame is the one of data.blank at RIM_SHARE; no pixel inside it is read.
    """
    side = grey.shape[1]
    width = rim_px(side, RIM_SHARE)
    inside = slice(width, side - width)
    strips = [
        grey[:, :width],
        grey[:, -width:],
        grey[:, inside, :width].swapaxes(1, 2),
        grey[:, inside, -width:].swapaxes(1, 2),
    ]
    cells = [_cell_means(strip, 1, min(_RIM_CELLS, strip.shape[2])) for strip in strips]
    return np.concatenate([cell.reshape(len(grey), -1) for cell in cells], axis=1)


def metadata(manifest: pd.DataFrame) -> np.ndarray:
    """Width and height in px, their ratio, and the mode as a number: float64 (N, 4).

    Names of files are left out, although they are no picture: most of them spell the class.
    So are groups and hashes, by which a copy would be looked up and not judged.
    """
    width, height = manifest["width"].to_numpy(float), manifest["height"].to_numpy(float)
    mode = pd.factorize(manifest["mode"], sort=True)[0]
    return np.stack([width, height, width / height, mode], axis=1)


def _to_grey(images: np.ndarray) -> np.ndarray:
    """float32 (B, S, S), whole numbers in [0, 255]."""
    if images.ndim == 3:
        return images.astype(np.float32)
    # channel by channel: a product with the short last axis takes twice as long
    red, green, blue = (images[..., k] * _LUMA[k] for k in range(3))
    return np.rint(red + green + blue)


def _cell_means(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over a grid of cells; where a cell ends inside a pixel, its part counts.

    images: float32 (B, h, w) -> (B, rows, columns).
    """
    down, across = _shares(images.shape[1], rows), _shares(images.shape[2], columns)
    return np.matmul(np.matmul(down, images), across.T)


def _shares(length: int, cells: int) -> np.ndarray:
    """The weight of each pixel in the mean of each cell: float32 (cells, length), rows sum to 1."""
    edges = np.linspace(0, length, cells + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(overlap, 0) * cells / length).astype(np.float32)
