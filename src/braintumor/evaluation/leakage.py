"""Which evaluated images the model knows from training, and how far one comes without a model.

A split of the run's own data set is judged by its groups, for which pixels were compared. Of any
other data set only the hashes on the card are known: there a copy has a similar perceptual hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from braintumor.data.dataset import Dataset
from braintumor.data.duplicates import hamming, hash_words
from braintumor.data.duplicates import phashes as hash_thumbnails
from braintumor.data.manifest import KNOWN, group_numbers
from braintumor.data.split import seen_in_training
from braintumor.errors import CheckpointError
from braintumor.evaluation.baselines import cached_baselines
from braintumor.evaluation.provenance import patients_elsewhere, patients_within
from braintumor.evaluation.record import Leakage

if TYPE_CHECKING:
    from braintumor.runs.checkpoint import Card

# N images of the data set, M images evaluated, T training images, W = 4 words of 64 bits

_BLOCK = 256  # images at once: 256 x 10,000 distances are 5 MB
_RADIUS = 22  # bits; copy_bits of bt-eval, see find_contaminated
_HEX = 64  # characters of a hash of 256 bits


def leakage_by_groups(
    data: Dataset, split: str, card: Card | None = None, *, refit: bool
) -> Leakage:
    """For a split of the data set that the model was trained on, by its groups.

    split "all": training and validation images count as seen. split "train": nothing is said,
    since all of it is what the model was trained on.
    card: of the model; where it began with the weights of another run (init), what that one was
        trained on is known to it too.
    refit: the model was trained on val too, and so are the baselines.
    """
    manifest = data.manifest
    is_asked = manifest["split"].eq(split) | (split == "all")
    patients = patients_within(manifest, is_asked)
    groups = group_numbers(manifest["group"][is_asked])
    if refit:
        manifest = manifest.assign(split=manifest["split"].replace("val", "train"))
    contaminated = baselines = None
    if split == "all":
        contaminated = manifest["split"].isin(KNOWN).to_numpy(copy=True)
        for part in ("test", "excluded"):
            rows = np.flatnonzero(manifest["split"] == part)
            contaminated[rows] = seen_in_training(manifest, part)
    elif split != "train":
        contaminated = seen_in_training(manifest, split)
        baselines = cached_baselines(data.pixels, manifest, data.classes, split)
    if contaminated is not None and card and card.settings.get("init"):
        # by training images on the card that are not of this data set
        own = data.manifest["split"].isin(KNOWN).to_numpy()
        others = (
            sorted(set(card.training_hashes) - set(data.manifest["sha256"][own])),
            sorted(set(card.training_phashes) - set(data.phashes[own].tolist())),
        )
        contaminated = contaminated | _copies(data, np.flatnonzero(is_asked), *others, _RADIUS)
    is_seen = split == "train" if contaminated is None else bool(contaminated.all())
    return Leakage(contaminated, baselines, replace(patients, all_seen=is_seen), groups)


def leakage_by_hashes(data: Dataset, rows: np.ndarray, card: Card, radius: int) -> Leakage:
    """For the chosen rows, int (M,), of any other data set, by the hashes on the card.

    radius: bits, see find_contaminated.
    """
    manifest = data.manifest.iloc[rows]
    contaminated = _copies(data, rows, card.training_hashes, card.training_phashes, radius)
    patients = patients_elsewhere(manifest, card.patients)
    patients = replace(patients, all_seen=bool(contaminated.all()))
    return Leakage(contaminated, None, patients, group_numbers(manifest["group"]))


def _copies(
    data: Dataset, rows: np.ndarray, hashes: Sequence[str], phashes: Sequence[str], radius: int
) -> np.ndarray:
    """`find_contaminated` of the chosen rows, by hashes of training images."""
    mirrored = hash_thumbnails(data.fingerprints.thumbnails[rows][:, :, ::-1])
    sha256 = data.manifest["sha256"].to_numpy()[rows]
    return find_contaminated(sha256, data.phashes[rows], mirrored, hashes, phashes, radius)


def find_contaminated(
    sha256: Sequence[str] | np.ndarray,
    phashes: Sequence[str] | np.ndarray,
    mirrored_phashes: Sequence[str] | np.ndarray,
    card_hashes: Sequence[str],
    card_phashes: Sequence[str],
    radius: int,
) -> np.ndarray:
    """Whether each image has a copy among the training images: bool (M,).

    sha256, phashes: M texts each, of the images; mirrored_phashes: of their mirror images.
    card_hashes, card_phashes: sha256 and perceptual hashes of the training images (T).
    A copy is byte for byte a training image, or its hash or that of its mirror image differs from
    a training image's in at most `radius` bits of 256.

    Measured on Nickparvar's 1,311 test images against its 5,708 training images, of which 992
    are copies by correlation of local contrast (>= .86, both mirror states):
        radius       16    20    22    24    28    32    40
        precision  1.00  .992  .989  .981  .966  .941  .885
        recall     .873  .944  .963  .978  .990  .998  1.00
    Re-encoding (JPEG quality 20), resizing to 128 or 512 px, 5 % brightness, 10 % contrast and
    mirroring move a hash by at most 16 bits (250 slices each, real and phantom). A crop of 2 %
    a side moves it by 36 (median) and is mostly missed. Of 1,000 phantom slices of 250 patients
    none lies within 22 bits of another patient's, and 1 within 24; 47 lie within 22 bits of
    another slice of their own patient and are called copies, which is the safe side. With more
    training images chance hits grow.
    Raises CheckpointError when a hash on the card is not one.
    Source: perceptual hash as in imagehash.phash, hash_size=16.
    """
    is_copy = np.isin(np.asarray(sha256, dtype=str), np.asarray(card_hashes, dtype=str))
    known = np.unique(_words_of_card(card_phashes), axis=0)
    if not len(known):
        return is_copy
    for hashes in (phashes, mirrored_phashes):
        queries, open_rows = hash_words(hashes), np.flatnonzero(~is_copy)
        for start in range(0, len(open_rows), _BLOCK):
            rows = open_rows[start : start + _BLOCK]
            is_copy[rows] = hamming(queries[rows], known).min(axis=1) <= radius
    return is_copy


def _words_of_card(hashes: Sequence[str]) -> np.ndarray:
    """64 hex characters each -> uint64 (T, W)."""
    wrong = [text for text in hashes if len(text) != _HEX]
    try:
        if not wrong:
            return hash_words(hashes)
    except ValueError:
        wrong = list(hashes)
    raise CheckpointError(
        f"the card holds a perceptual hash that is not {_HEX} hex characters "
        f"({wrong[0][:80]!r}); it was changed or cut: use the file that the run wrote"
    )
