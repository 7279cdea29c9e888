"""Phantoms: T1-like axial slices of heads that never lived, for trying things without data.

A patient has a head, a class and, but for `no_tumor`, a tumour, all in three dimensions; the
slices of a patient cut them at several heights. Every picture is a function of
(seed, patient, slice) alone, so neither order nor threads nor the number of patients change it.
What a model scores on phantoms says that the code works, nothing about medicine.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from braintumor.data.sources import Item
from braintumor.data.sources._phantom_anatomy import (
    Anatomy,
    cavity_distance,
    draw_anatomy,
    head_distance,
)
from braintumor.data.sources._phantom_base import draw_fossa, draw_vessels
from braintumor.data.sources._phantom_brain import brain_fields, draw_brain, draw_ventricles
from braintumor.data.sources._phantom_canvas import ALL, Canvas, Pose, soft, waves
from braintumor.data.sources._phantom_face import draw_face, draw_outside
from braintumor.data.sources._phantom_lesions import (
    Lesion,
    cut,
    displacement,
    draw_lesion,
    draw_tumour,
)
from braintumor.errors import DataError
from braintumor.runtime import mix_seed

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")
_BEND = 0.016  # head units: how far soft tissue strays from the textbook, standard deviation
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, less whole numbers, spread evenly
_LEVELS = 4096  # of the signal before windowing, as a scanner's 12 bits


def build(
    patients: int, slices_per_patient: int, size_px: int, seed: int, test_share: float
) -> Phantom:
    """The source `phantom`. Raises DataError when an option is out of range."""
    for name, value, least in (
        ("patients", patients, 2 * len(CLASSES)),
        ("slices_per_patient", slices_per_patient, 1),
        ("size_px", size_px, 48),
    ):
        if value < least:
            raise DataError(f"data.{name}={value} is too few for phantoms; use {least} or more")
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
        for patient in range(patients):
            for number in range(slices_per_patient):
                path = f"phantom/p{patient:04d}_s{number}"
                split = _split_of(patient, test_share)
                label = _label_of(seed, patient)
                items.append(Item(path, label, split, f"p{patient:04d}"))
                self._place[path] = patient, number
        self.items: Sequence[Item] = tuple(items)

    def read(self, item: Item) -> np.ndarray:
        """The picture: uint8 (size_px, size_px)."""
        return render(*self._slice(item), self._size_px)[0]

    def mask(self, item: Item) -> np.ndarray:
        """Where the tumour is: bool (size_px, size_px), all False for `no_tumor`."""
        return render(*self._slice(item), self._size_px)[1]

    def _slice(self, item: Item) -> tuple[np.random.Generator, Anatomy, Lesion | None, float]:
        """What `render` needs, with the height of the slice last."""
        number, slice_number = self._place[item.path]
        patient = _draw_patient(self._seed, number)
        rng = np.random.default_rng(mix_seed(self._seed, "phantom", number, slice_number))
        # Four slices from bottom to top like a scan, then four between them, and so on:
        # never twice at nearly the same height.
        layer, step = divmod(slice_number, 4)
        place = (step + (0.5 + layer * _GOLDEN) % 1 + rng.uniform(-0.1, 0.1)) / 4
        z = patient.height + patient.reach * (1.8 * place - 0.9)
        # The head moves a little while it is scanned.
        pose, move = patient.anatomy.pose, rng.normal(0, (0.006, 0.006, 0.025))
        centre = pose.centre[0] + move[0], pose.centre[1] + move[1]
        pose = Pose(centre, pose.scale, pose.angle + move[2])
        return rng, dataclasses.replace(patient.anatomy, pose=pose), patient.lesion, z


@dataclass(frozen=True, eq=False)
class _Patient:
    anatomy: Anatomy
    lesion: Lesion | None
    height: float  # of the middle of the scan: where the tumour is
    reach: float  # of the tumour, up and down


@functools.lru_cache(maxsize=8)  # slices of a patient are mostly read in a row
def _draw_patient(seed: int, number: int) -> _Patient:
    rng = np.random.default_rng(mix_seed(seed, "phantom", number))
    anatomy, label = draw_anatomy(rng), _label_of(seed, number)
    # Every class has slices through the sella, or the height would give pituitary away.
    height = rng.uniform(-0.13, 0.2) if rng.random() < 0.45 else rng.uniform(0.2, 0.86)
    if label == "no_tumor":
        return _Patient(anatomy, None, height, rng.uniform(0.1, 0.25))
    if label == "pituitary":
        height = rng.uniform(-0.02, 0.1)
    lesion = draw_lesion(rng, label, height)
    return _Patient(anatomy, lesion, height, lesion.radius * lesion.tall)


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


def render(
    rng: np.random.Generator, anatomy: Anatomy, lesion: Lesion | None, z: float, size_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """One slice at height z: picture uint8 (S, S) and mask of the lesion bool (S, S)."""
    canvas = Canvas(size_px, anatomy.pose, anatomy.half_width)
    grain = canvas.field(waves(rng, 8, 40))
    head = head_distance(anatomy, canvas.x0, canvas.y0, z)
    cavity = cavity_distance(anatomy, canvas.x0, canvas.y0, z, head)
    canvas.displace(*_bend(canvas, anatomy, z))
    section = cut(lesion, anatomy, z) if lesion else None
    if lesion and section:
        canvas.displace(*displacement(canvas, lesion, section))
    skin = head - 0.2 * anatomy.scalp * canvas.field(anatomy.padding)
    draw_outside(canvas, anatomy, skin, cavity, grain)
    draw_face(canvas, anatomy, z, head, grain)
    tissue = brain_fields(canvas, anatomy, cavity, grain, z)
    draw_brain(canvas, anatomy, tissue)
    skull = canvas.image.copy()
    draw_ventricles(canvas, anatomy, z)
    # A large tumour pushes fissures through the bone; what is left of it there is the bone.
    canvas.paint(ALL, soft(-cavity, canvas.edge), skull)
    draw_fossa(canvas, anatomy, tissue, z)
    draw_vessels(canvas, anatomy, tissue, z, rng)
    mask = np.zeros((size_px, size_px), bool)
    if lesion and section:
        box, inside = draw_tumour(canvas, anatomy, lesion, section, tissue, z)
        mask[canvas.window][box] = inside
    return _scan(canvas, anatomy, rng), mask


def _bend(canvas: Canvas, anatomy: Anatomy, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Small random shifts of all soft tissue, so that no structure is a perfect ellipse."""
    cos, sin = math.cos(9 * z), math.sin(9 * z)
    w = anatomy.warp
    dx, dy = canvas.field(w[0] * cos + w[1] * sin), canvas.field(w[2] * cos + w[3] * sin)
    return _BEND * dx, _BEND * dy


def _scan(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of it: blur, uneven coil, Rician noise, window: uint8 (S, S)."""
    size = canvas.size_px
    image = ndimage.gaussian_filter(canvas.image, anatomy.blur * size / 224, truncate=2.5)
    image *= 1 + 0.09 * canvas.field(anatomy.bias)
    # Normal numbers by table: three times as fast as drawing them.
    drawn = rng.integers(0, 1 << 16, (2, size, size), np.uint16)
    noise = _normal_table().take(drawn, mode="clip")
    noise *= anatomy.noise * anatomy.white
    noise[0][canvas.window] += image
    level = np.sqrt(noise[0] ** 2 + noise[1] ** 2) * (_LEVELS / 1.25)
    steps = np.minimum(level, _LEVELS - 1).astype(np.uint16)
    window = anatomy.gain * np.linspace(0, 1.25, _LEVELS) ** anatomy.gamma
    return (window.clip(0, 1) * 255 + 0.5).astype(np.uint8).take(steps, mode="clip")


@functools.cache
def _normal_table() -> np.ndarray:
    """The 65,536 quantiles of the standard normal distribution: float32 (65536,)."""
    return ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)
