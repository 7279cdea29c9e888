"""Phantoms: T1-like axial slices of heads that never lived, for trying things without data.

A patient has a head, a class and, but for `no_tumor`, a tumour, all in three dimensions; the
slices of a patient cut them at several heights. Every picture is a function of
(seed, patient, slice) alone, so neither order nor threads nor the number of patients change it.
What a model scores on phantoms says that the code works, nothing about medicine: proportions were
read off axial slices by eye, and tissue is not simulated.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from scipy import ndimage

from braintumor.data.sources import Item
from braintumor.data.sources._phantom_head import (
    BRAIN,
    FACE,
    HUB,
    Lesion,
    Part,
    Patient,
    Slice,
    blend,
    ramp,
    soft,
    span,
)
from braintumor.ranges import Count, Within
from braintumor.runtime import mix_seed

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")
_VERSION = 1  # of the drawing; raise it when a picture changes, or runs would take the old one
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, less whole numbers, spread evenly


@dataclass(frozen=True)
class Phantom:
    """Generates a picture when it is read; nothing is kept.

    test_share: 0: no split of its own.
    """

    patients: Annotated[int, Within(2 * len(CLASSES))]
    slices_per_patient: Count
    size_px: Annotated[int, Within(48)]
    seed: int
    test_share: Annotated[float, Within(0, 0.5)]

    ignored: ClassVar[Mapping[str, int]] = {}

    @functools.cached_property
    def items(self) -> tuple[Item, ...]:
        """All slices of a patient, then those of the next."""
        items: list[Item] = []
        for patient in range(self.patients):
            name, label = f"p{patient:04d}", _label_of(self.seed, patient)
            paths = [f"phantom/{name}_s{number}" for number in range(self.slices_per_patient)]
            split = _split_of(patient, self.test_share)
            items += [Item(path, label, split, name) for path in paths]
        return tuple(items)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without its items, which a process that draws has no use for."""
        return Phantom, astuple(self)

    def identity(self, item: Item) -> str:
        """What the picture is a function of."""
        return f"phantom {_VERSION} seed {self.seed} {item.path} {self.size_px} px"

    def read(self, item: Item) -> np.ndarray:
        """The picture: uint8 (size_px, size_px)."""
        cut, rng = self._slice(item)
        _draw_slice(cut, rng)
        return _scan(cut, self.size_px, rng)

    def mask(self, item: Item) -> np.ndarray:
        """Where the tumour is: bool (size_px, size_px), all False for `no_tumor`."""
        cut, rng = self._slice(item)
        mask = np.zeros((self.size_px, self.size_px), bool)
        mask[cut.window] = _draw_slice(cut, rng)
        return mask

    def _slice(self, item: Item) -> tuple[Slice, np.random.Generator]:
        """The slice, not drawn yet, and the chance that is to draw it."""
        number, slice_number = map(int, item.path.removeprefix("phantom/p").split("_s"))
        patient = _patient(self.seed, number)
        rng = np.random.default_rng(mix_seed(self.seed, "phantom", number, slice_number))
        # Four slices from bottom to top like a scan, then four between them, and so on:
        # never twice at nearly the same height.
        layer, step = divmod(slice_number, 4)
        place = (step + (0.5 + layer * _GOLDEN) % 1 + rng.uniform(-0.1, 0.1)) / 4
        z = patient.z + patient.half * (1.8 * place - 0.9)
        return Slice(patient, z, self.size_px, rng), rng


build = Phantom


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


def _draw_slice(cut: Slice, rng: np.random.Generator) -> np.ndarray:
    """Draw all there is; where the tumour is, without its oedema: bool (h, w)."""
    p, lesion = cut.patient, cut.patient.lesion
    # Small random shifts of all soft tissue, so that nothing is a perfect ellipse.
    dx, dy = (0.016 * cut.texture(waves) for waves in blend(p.warp, 9 * cut.z))
    outline = np.ones_like(cut.x)
    if lesion:
        outline, x, y = _outline(cut, lesion)
        # Mass effect: what is now at a pixel used to be nearer to the middle of the tumour.
        pull = lesion.push * np.exp((x * x + y * y) / (-4.5 * lesion.radius**2))
        dx, dy = dx - pull * x, dy - pull * y
    loose = ramp(-cut.cavity, 0.0, 0.1)  # nothing moves where it touches the skull
    cut.bend(loose * dx, loose * dy)
    row = np.sqrt(0.5 * cut.bent_x**2 + (cut.bent_y + 0.15) ** 2)
    leaves = p.grey * (1 + 0.08 * np.sin(row * (2 * math.pi / 0.05) + 0.8 * cut.coarse))
    cells = 0.04 + 0.5 * ramp(cut.grain, 0.6, 1.6)  # of air
    tissues = {**vars(p), "leaves": leaves, "cells": cells}  # by the names of parts
    _draw_cortex(cut)
    _draw_parts(cut, BRAIN, cut.z, tissues)
    _draw_vessels(cut, rng)
    _draw_outside(cut)
    _draw_parts(cut, FACE, cut.z - p.orbit, tissues)
    if lesion:
        _draw_lesion(cut, lesion, outline)
    return outline < 0


def _draw_cortex(cut: Slice) -> None:
    """Fluid under the skull, cortex with its folds, white matter."""
    p, x, y, z = cut.patient, np.abs(cut.bent_x), cut.bent_y, cut.z
    # Sulci run from the surface of each half towards its middle: the zeros of a wave round
    # that middle, bent and forked by the coarse texture.
    hub_x, hub_y = x - 0.33 * p.half_width, (y - 0.03) * 0.72
    wave = np.cos(12 * np.arctan2(hub_y, hub_x) + 1.5 * cut.twist) + 0.45 * cut.coarse
    folds = np.abs(wave) + 0.01 / (hub_x * hub_x + hub_y * hub_y + 1e-6)
    # The halves part in front and behind where the slice meets the corpus callosum, all along
    # above it, and only in front below it.
    half = 0.42 * max(0.0, 1 - (max(0.0, z - 0.3) / 0.3) ** 2) ** 0.5
    joined = np.maximum(half - np.abs(y) if z > 0.17 else y + 0.4, 0)
    depth = np.minimum(-cut.cavity, x + 1.5 * joined) - 0.012 * p.sulci
    # Some folds reach deep, some are dimples; all die out towards the middle.
    uneven, edge = depth + 0.045 * cut.coarse, 2 * cut.pixel
    ribbon = soft(folds - 0.62 * (1 - ramp(uneven, 0.07, 0.32)), 0.3)
    cut.image[:] = p.white + np.maximum(ribbon, soft(depth - 0.04, edge)) * (p.grey - p.white)
    narrow = 0.13 * p.sulci * (1 - ramp(uneven, 0.01, 0.23))
    sulci = soft(folds - narrow, 0.25) * (narrow > 0.004)
    cut.paint(0.85 * np.maximum(sulci, soft(depth, edge)), p.fluid)
    cut.image *= 1 + 0.025 * cut.grain


def _draw_parts(cut: Slice, parts: tuple[Part, ...], z: float, tissues: dict[str, Any]) -> None:
    wider = cut.patient.half_width / 0.79
    for tissue, middle, half, (x0, y0, x1, y1, *radii), group, edge, opacity in parts:
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        size = span(z + cut.patient.pitch * y, middle, half)
        dx, dy = (x1 - x0) / 2 * size**0.25, (y1 - y0) / 2 * size**0.25
        for side, own in zip((-1, 1), cut.patient.sizes.get(group, (1, 1)), strict=True):
            if size > 0.2 and (x != 0 or side > 0):  # no slivers, and what is midline once
                ends = side * wider * (x - dx), y - dy, side * wider * (x + dx), y + dy
                thick = size * own * radii[0], size * own * radii[1]
                cut.line((*ends, *thick), tissues[tissue], edge, opacity)


def _draw_vessels(cut: Slice, rng: np.random.Generator) -> None:
    """Falx, sagittal sinus, and a few veins anywhere in the brain, others in every slice."""
    p, core = cut.patient, 0.42 * span(cut.z, 0.28, 0.3)  # where the halves are joined
    back, front = (HUB + side * cut.to_skull(side * math.pi / 2) for side in (1, -1))
    if cut.z > 0.15:
        cut.line((0, back, 0, core + 0.02, 0.01, 0.006), p.vessel, opacity=0.5)
        cut.line((0, front, 0, -core - 0.04, 0.009, 0.006), p.vessel, opacity=0.4)
        cut.line((0, front + 0.015, 0, front + 0.05, 0.024, 0.006), p.vessel, 0.022)
    cut.line((0, back - 0.01, 0, back - 0.08, 0.035, 0.008), p.vessel, 0.022)
    for _ in range(int(rng.integers(3, 11))):
        x, y, dx, dy = (rng.normal(0, 1, 4) * (0.35 * p.half_width, 0.4, 0.03, 0.03)).tolist()
        cut.line((x, y, x + dx, y + dy, 0.009, 0.005), p.vessel * rng.uniform(0.6, 1), 0.016, 0.8)


def _draw_outside(cut: Slice) -> None:
    """Skin, fat, flesh where the face is in the slice, skull with its marrow, dura."""
    p, pixel, cavity, grain, brain = cut.patient, cut.pixel, cut.cavity, cut.grain, cut.image
    skin, fat = cut.skin - 0.2 * p.scalp * cut.texture(p.padding), p.fat
    rim = ramp(-skin, 0.0, 0.025)  # the skin is darker than the fat under it
    cut.image = soft(skin, pixel) * fat * (0.95 + 0.05 * grain) * (0.5 + 0.5 * rim)
    muscle = 0.85 * p.grey * (1 + 0.1 * grain) + 0.5 * fat * ramp(grain, 0.6, 1.8)
    cut.paint(soft(np.maximum(skin + 0.8 * p.scalp, p.skull - cavity), 2.5 * pixel), muscle)
    bone = np.maximum(cavity - p.skull, skin + 0.3 * p.scalp)
    cut.paint(soft(bone, 1.5 * pixel), p.bone)
    marrow = np.abs(cavity - 0.55 * p.skull) - 0.17 * p.skull
    cut.paint(soft(marrow, 2 * pixel), p.marrow * (1 + 0.2 * grain))
    cut.paint(soft(cavity, 1.5 * pixel), brain)
    cut.paint(0.5 * soft(np.abs(cavity + 0.004) - 0.005, 2 * pixel), p.vessel)


def _outline(cut: Slice, lesion: Lesion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signed distance from the edge of a tumour, negative inside; x and y from its middle."""
    radius, skull = lesion.radius * span(cut.z, lesion.z, lesion.half), cut.to_skull(lesion.turn)
    far = skull - 0.55 * radius  # a meningioma sits on the dura
    if lesion.kind == "glioma":
        far = max(0.0, min(lesion.reach * skull, skull - 0.04 - 0.85 * radius))
    x, y = cut.x - far * math.cos(lesion.turn), cut.y - HUB - far * math.sin(lesion.turn)
    if lesion.kind == "pituitary":
        x, y = cut.x - 0.02 * math.cos(lesion.turn), cut.y + 0.20
    lobes = cut.texture(blend(lesion.outline, 2 * (cut.z - lesion.z) / lesion.radius)[0])
    outline = np.sqrt(x * x + y * y) - radius * (1 + lesion.ragged * lobes)
    return np.maximum(outline, cut.cavity + lesion.clear), x, y


def _draw_lesion(cut: Slice, lesion: Lesion, outline: np.ndarray) -> None:
    """Oedema that follows the folds; in it a ring with a dark middle, or an even, bright mass."""
    p, pixel, coarse, grain = cut.patient, cut.pixel, cut.coarse, cut.grain
    inside, bright = soft(cut.cavity + lesion.clear, 2 * pixel), lesion.bright * p.white
    if lesion.oedema > 0:
        swollen = outline - 0.08 * np.minimum(np.abs(cut.twist), 1.3)
        swollen = 1 - ramp(swollen, 0.2 * lesion.oedema, lesion.oedema + 0.03)
        cut.paint(0.7 * swollen * inside, 0.5 * (p.fluid + p.grey))
    if lesion.kind == "glioma":
        frayed = outline + 0.006 * grain + 0.012 * coarse
        dead = (1.3 * p.fluid + lesion.core * p.white) * (1 + 0.12 * grain + 0.15 * coarse)
        cut.paint(soft(frayed, 2.5 * pixel), dead)
        rim = lesion.rim * np.maximum(1 + 0.55 * coarse, 0.2)
        uptake = (0.45 + 0.55 * ramp(coarse, -1.5, 0.5)) * (1 + 0.1 * grain)
        ring = soft(np.abs(frayed + rim) - rim, 3.5 * pixel)
        cut.paint(ring * np.minimum(uptake, 1), bright)
        return
    cut.paint(0.55 * soft(outline - 0.016, 2.5 * pixel) * inside, p.fluid)  # a cleft round it
    if lesion.kind == "meningioma":  # its tail along the dura
        tail = np.maximum(-cut.cavity - 0.02, outline - 0.11)
        cut.paint(0.7 * soft(tail, 2 * pixel) * inside, bright)
    deep = ramp(-outline, 0.25 * lesion.radius, 0.75 * lesion.radius)
    filling = (1 + 0.03 * grain + 0.04 * coarse) * (1 - (1 - lesion.core) * deep)
    cut.paint(soft(outline, 1.5 * pixel), bright * filling)
