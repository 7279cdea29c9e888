"""Phantoms: T1-like axial slices of heads that never lived, for trying things without data.

A patient has a head, a class and, but for `no_tumor`, a tumour, all in three dimensions; the
slices of a patient cut them at several heights. Every picture is a function of
(seed, patient, slice) alone, so neither order nor threads nor the number of patients change it.
What a model scores on phantoms says that the code works, nothing about medicine.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from braintumor.data.sources import Item
from braintumor.data.sources._phantom_drawing import draw_slice
from braintumor.data.sources._phantom_head import Patient, Slice
from braintumor.errors import DataError
from braintumor.runtime import mix_seed

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, less whole numbers, spread evenly


def build(
    patients: int, slices_per_patient: int, size_px: int, seed: int, test_share: float
) -> Phantom:
    """The source `phantom`. Raises DataError when an option is out of range."""
    least = {"patients": 2 * len(CLASSES), "slices_per_patient": 1, "size_px": 48}
    values = patients, slices_per_patient, size_px
    for (name, low), value in zip(least.items(), values, strict=True):
        if value < low:
            raise DataError(f"data.{name}={value} is too few for phantoms; use {low} or more")
    if not 0 <= test_share <= 0.5:
        raise DataError(
            f"data.test_share={test_share} is out of range; use 0 (no split of its own) to 0.5"
        )
    return Phantom(patients, slices_per_patient, size_px, seed, test_share)


class Phantom:
    """Generates a picture when it is read; nothing is kept."""

    ignored: Mapping[str, int] = {}

    def __init__(
        self, patients: int, slices_per_patient: int, size_px: int, seed: int, test_share: float
    ) -> None:
        self._size_px, self._seed = size_px, seed
        self._place: dict[str, tuple[int, int]] = {}
        items = []
        for patient, number in itertools.product(range(patients), range(slices_per_patient)):
            path, split = f"phantom/p{patient:04d}_s{number}", _split_of(patient, test_share)
            items.append(Item(path, _label_of(seed, patient), split, f"p{patient:04d}"))
            self._place[path] = patient, number
        self.items: Sequence[Item] = tuple(items)

    def read(self, item: Item) -> np.ndarray:
        """The picture: uint8 (size_px, size_px)."""
        cut, rng = self._slice(item)
        draw_slice(cut, rng)
        return _scan(cut, self._size_px, rng)

    def mask(self, item: Item) -> np.ndarray:
        """Where the tumour is: bool (size_px, size_px), all False for `no_tumor`."""
        cut, rng = self._slice(item)
        mask = np.zeros((self._size_px, self._size_px), bool)
        mask[cut.window] = draw_slice(cut, rng)
        return mask

    def _slice(self, item: Item) -> tuple[Slice, np.random.Generator]:
        """The slice, not drawn yet, and the chance that is to draw it."""
        number, slice_number = self._place[item.path]
        patient = _patient(self._seed, number)
        rng = np.random.default_rng(mix_seed(self._seed, "phantom", number, slice_number))
        # Four slices from bottom to top like a scan, then four between them, and so on:
        # never twice at nearly the same height.
        layer, step = divmod(slice_number, 4)
        place = (step + (0.5 + layer * _GOLDEN) % 1 + rng.uniform(-0.1, 0.1)) / 4
        z = patient.z + patient.half * (1.8 * place - 0.9)
        return Slice(patient, z, self._size_px, rng), rng


@functools.lru_cache(maxsize=8)  # slices of a patient are mostly read in a row
def _patient(seed: int, number: int) -> Patient:
    rng = np.random.default_rng(mix_seed(seed, "phantom", number))
    return Patient(rng, _label_of(seed, number))


def _label_of(seed: int, patient: int) -> str:
    """Every four patients in a row have the four classes, in an order of their own."""
    block, place = divmod(patient, len(CLASSES))
    rng = np.random.default_rng(mix_seed(seed, "phantom classes", block))
    return CLASSES[rng.permutation(len(CLASSES))[place]]


def _split_of(patient: int, test_share: float) -> str | None:
    """Blocks of four patients, the first one included, go to test evenly along the row."""
    if test_share == 0:
        return None
    block = patient // len(CLASSES)
    before, after = (math.ceil(round(n * test_share, 9)) for n in (block, block + 1))
    return "test" if after > before else "train"


def _scan(cut: Slice, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of it: blur, uneven coil, Rician noise, window: uint8 (S, S)."""
    p = cut.patient
    image = ndimage.gaussian_filter(cut.image, p.blur * size_px / 224, truncate=2.5)
    signal = rng.standard_normal((2, size_px, size_px), np.float32) * np.float32(p.noise)
    signal[0][cut.window] += image * (1 + 0.09 * cut.texture(p.bias))
    level = p.gain * np.sqrt(signal[0] ** 2 + signal[1] ** 2) ** p.gamma
    return (255 * level.clip(0, 1) + 0.5).astype(np.uint8)
