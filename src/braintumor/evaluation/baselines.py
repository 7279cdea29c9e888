"""How far one comes without looking at the brain: what any model's accuracy has to beat.

Six answers that know nothing of anatomy, each trained on the training images and asked about the
same images as the model. Where one of them comes near the model, the test rewards copies,
brightness or the cut of the pictures, and not the reading of a scan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from braintumor import cache
from braintumor.data.images import rim_px
from braintumor.data.manifest import class_numbers
from braintumor.data.split import seen_in_training
from braintumor.errors import DataError
from braintumor.evaluation.baseline_figures import Baselines, baseline_figures
from braintumor.progress import waiting
from braintumor.runtime import in_threads

# N training images, M images tested, B images of a block, S side in px, F features, K classes

Describe = Callable[[np.ndarray], np.ndarray]  # grey float32 (B, S, S) in [0, 255] -> (B, F)

# features and labels of training, features of test -> predicted (M,)
_Answer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_NEAREST_CELLS = 2**24  # of training x test at a time: 200 MB
_BLOCK = 2**21  # pixels that a thread describes at a time: 42 images at 224 px
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"
_DARK = 16  # of 256 grey levels: air with its noise
_VERSION = 3  # of what the cache holds; raise it when floors are measured in another way
_WORTH_KEEPING_S = 1.0  # what takes less is measured again
_RIM_CELLS = 16  # a strip of the frame is read as so many means, of 14 px length at 224 px


@waiting("measuring floors")
def cached_baselines(
    pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str], split: str = "test"
) -> Baselines:
    """What answer_baselines gives; from the cache where it gave it for the same before.

    Baselines belong to the data alone: measured for the first model, they serve all others.
    pixels: uint8 (N, S, S[, 3]).  The seconds are those of the measurement.
    Raises DataError as answer_baselines does.
    """
    names = list(BASELINES)
    about = (_VERSION, sklearn.__version__, names, list(classes), split)
    columns = ["path", "label", "split", "width", "height", "mode"]
    rows = manifest[columns].to_csv(index=False)
    # the pixels and not the files: other sizes and fits give others
    contents = np.ascontiguousarray(pixels).data
    path = cache.entry_path("floors", about, rows, pixels.shape, contents)
    known = cache.read_entry(path, ["answers", "seconds"])
    asked = pd.Index(manifest["path"][manifest["split"] == split])
    if known is not None:
        known.touch()
        answers = np.array(list(classes), dtype=object)[known.columns["answers"]]
        seconds = pd.Series(known.columns["seconds"], index=names)
        return Baselines(pd.DataFrame(answers, index=asked, columns=names), seconds)
    found = answer_baselines(pixels, manifest, classes, split)
    if found.seconds.sum() > _WORTH_KEEPING_S:
        numbers = found.answers.map(list(classes).index).to_numpy(dtype=np.int16)
        cache.write_entry(path, {"answers": numbers, "seconds": found.seconds.to_numpy()})
    return found


def measure_baselines(
    pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """`baseline_figures` of test; clean are the images that no training image is known of.

    Arguments, and what it raises, as those of answer_baselines.
    """
    found = cached_baselines(pixels, manifest, classes)
    truth = manifest["label"][manifest["split"] == "test"].to_numpy(dtype=object)
    return baseline_figures(found, truth, ~seen_in_training(manifest, "test"), classes)


# on several cores threads of scikit-learn and torch wait for each other: 172 s, and 4 s on one
@threadpool_limits.wrap(limits=1)
def answer_baselines(
    pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str], split: str = "test"
) -> Baselines:
    """What each baseline answers on the images of `split`, in the order of the manifest.

    pixels: uint8 (…, S, S) or (…, S, S, 3), row i that of manifest row i.  classes: all that occur.
    They learn from the rows of train and choose nothing, so val is not read.
    Raises DataError when train or `split` has no image.
    """
    in_order = manifest["path"][manifest["split"] == split]
    # By path, so that a draw between neighbours or a sum in another order cannot change a figure.
    order = np.array(sorted(range(len(manifest)), key=list(manifest["path"]).__getitem__))
    manifest = manifest.iloc[order]
    train, test = (np.flatnonzero(manifest["split"] == part) for part in ("train", split))
    for part, rows in (("train", train), (split, test)):
        if not len(rows):
            raise DataError(
                f"no image is in the split {part}, so no floor can be measured; assign splits "
                "first, such as with split=auto"
            )
    labels = class_numbers(manifest["label"], classes)
    known = labels[train]

    used = np.concatenate([train, test])
    wanted = {name: see for name, (see, _) in BASELINES.items() if see is not None}
    features, seconds = describe(pixels, order[used], wanted)
    about = metadata(manifest.iloc[used])
    answers = {}
    for name, (_, answer) in BASELINES.items():
        seen, asked = np.split(features.get(name, about), [len(train)])
        before = time.perf_counter()
        if (known == known[0]).all():  # nothing can be learnt but that class
            predicted = np.full(len(asked), known[0])
        else:
            predicted = answer(seen, known, asked)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - before
        answers[name] = np.array(list(classes), dtype=object)[predicted]
    table = pd.DataFrame(answers, index=pd.Index(manifest["path"].iloc[test]))
    return Baselines(table.loc[in_order], pd.Series(seconds)[list(BASELINES)])


def _majority(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The most frequent class of training, the first of equals."""
    return np.full(len(asked), np.bincount(labels).argmax())


def _nearest(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The label of the training picture at the least Euclidean distance, the first of equals."""
    # Centred bytes: 1,024 products of at most 2**14 add up to whole numbers that float32 holds
    # exactly, and no order of summation can turn a draw.
    known, query = (x.astype(np.float32) - 128 for x in (seen, asked))
    square = (known.astype(np.float64) ** 2).sum(axis=1)
    rows = max(1, _NEAREST_CELLS // len(known))
    nearest = [
        (square - 2.0 * (query[start : start + rows] @ known.T).astype(np.float64)).argmin(axis=1)
        for start in range(0, len(query), rows)
    ]
    return labels[np.concatenate(nearest)]


def _logistic(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    # C=0.01 is the best of 0.001, 0.01, 0.1 and 1 in 4-fold cross-validation by groups within the
    # 5,708 training images of Nickparvar (79.4 %), and converges in 80 steps.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return np.asarray(model.fit(seen.astype(np.float64), labels).predict(asked.astype(np.float64)))


def _boosting(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    # Without early stopping, which scikit-learn would switch on by itself above 10,000 images.
    model = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
    return np.asarray(model.fit(seen, labels).predict(asked))


def describe(
    pixels: np.ndarray, rows: np.ndarray, wanted: Mapping[str, Describe]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Features (N, F) of the images in `rows`, and the seconds they took, by name.

    pixels: uint8 (…, S, S) or (…, S, S, 3).  rows: int (N,), at least one.
    Reading and making grey is shared, and counted for none of them; seconds are those of all
    threads.
    """
    count = max(1, _BLOCK // pixels.shape[1] ** 2)

    def describe_block(start: int) -> dict[str, tuple[np.ndarray, float]]:
        grey = _to_grey(pixels[rows[start : start + count]])
        found = {}
        for name, function in wanted.items():
            before = time.perf_counter()
            found[name] = (function(grey), time.perf_counter() - before)
        return found

    blocks = list(in_threads(describe_block, range(0, len(rows), count)))
    features = {name: np.concatenate([block[name][0] for block in blocks]) for name in wanted}
    return features, {name: sum(block[name][1] for block in blocks) for name in wanted}


def thumbnails(side_px: int) -> Describe:
    """Means over a grid of side_px x side_px cells: uint8 (B, F); a smaller picture as it is."""

    def shrink(grey: np.ndarray) -> np.ndarray:
        side = min(side_px, grey.shape[1])
        return np.rint(_cell_means(grey, side, side)).astype(np.uint8).reshape(len(grey), -1)

    return shrink


def intensities(grey: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, quartiles (3), maximum, shares of black and dark: float32 (B, 8).

    Black is level 0, dark is below 16. The minimum, 0 in most pictures, says less than black.
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

    The frame is that of data.images.occlude_rim; no pixel inside it is read.
    """
    side = grey.shape[1]
    width = rim_px(side)
    left_right = grey[:, width : side - width].swapaxes(1, 2)
    strips = (grey[:, :width], grey[:, -width:], left_right[:, :width], left_right[:, -width:])
    cells = [_cell_means(strip, 1, min(_RIM_CELLS, strip.shape[2])) for strip in strips]
    return np.concatenate([cell.reshape(len(grey), -1) for cell in cells], axis=1)


def metadata(manifest: pd.DataFrame) -> np.ndarray:
    """Width and height in px, their ratio, and the mode as a number: float64 (N, 4).

    Without names of files, most of which spell the class, and without groups and hashes, by which
    a copy would be looked up and not judged.
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

    def weights(length: int, cells: int) -> np.ndarray:
        """Of each pixel in the mean of each cell: float32 (cells, length), rows sum to 1."""
        edges, pixel = np.linspace(0, length, cells + 1), np.arange(length)
        overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        return (np.maximum(overlap, 0) * cells / length).astype(np.float32)

    return weights(images.shape[1], rows) @ images @ weights(images.shape[2], columns).T


# name -> what it sees of a picture (None: the manifest's metadata), and how it answers
BASELINES: dict[str, tuple[Describe | None, _Answer]] = {
    "majority class": (None, _majority),
    "1-nearest neighbour on pixels": (thumbnails(32), _nearest),
    "16x16 thumbnails": (thumbnails(16), _logistic),
    "metadata only": (None, _boosting),
    "eight intensity statistics": (intensities, _boosting),
    # Boosting: 89.0 % against 64.1 % of a logistic regression, in the same cross-validation.
    "outer rim only": (rim, _boosting),
}
