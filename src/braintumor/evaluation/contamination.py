"""Which images of an evaluation the model has seen in training, known from its card alone.

The card holds hashes and no pictures, so a copy is recognised by its perceptual hash. A split of
the run's own data set is judged better by its groups (`data.split.seen_in_training`), for which
the pixels of both sides were compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braintumor.data.fingerprints import hamming, hash_words
from braintumor.errors import CheckpointError

# M images evaluated, T training images, W = 4 words of 64 bits

_BLOCK = 256  # images at once: 256 x 10,000 distances are 5 MB
_HEX = 64  # characters of a hash of 256 bits


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
    radius: bits of 256 in which the hash of a copy may differ.
    An image is a copy when it is byte for byte a training image, or when its hash or that of its
    mirror image lies within the radius of a training image's.

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
    known = np.unique(_words(card_phashes, "the card"), axis=0)
    for queries in (_words(phashes, "the data"), _words(mirrored_phashes, "the data")):
        open_rows = np.flatnonzero(~is_copy)
        for start in range(0, len(open_rows), _BLOCK):
            rows = open_rows[start : start + _BLOCK]
            is_copy[rows] = _nearest(queries[rows], known) <= radius
    return is_copy


def _nearest(queries: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Least number of differing bits: queries uint64 (B, W), known uint64 (T, W) -> (B,)."""
    if not len(known):
        return np.full(len(queries), 64 * known.shape[1], np.uint16)
    return np.asarray(hamming(queries, known).min(axis=1))


def _words(hashes: Sequence[str] | np.ndarray, owner: str) -> np.ndarray:
    """64 hex characters each -> uint64 (N, W)."""
    texts = [str(text) for text in hashes]
    wrong = [text for text in texts if len(text) != _HEX]
    try:
        if not wrong:
            return hash_words(texts)
    except ValueError:
        wrong = texts
    raise CheckpointError(
        f"{owner} holds a perceptual hash that is not {_HEX} hex characters "
        f"({wrong[0][:80]!r}); it was changed or cut: use the file that the run wrote"
    )
