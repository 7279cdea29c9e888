"""Drawing a healthy brain at one height: cortex with its folds, ventricles, deep grey matter."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from braintumor.data.sources._phantom_anatomy import Anatomy
from braintumor.data.sources._phantom_canvas import ALL, Box, Canvas, ramp, soft, span


@dataclass(frozen=True, eq=False)
class Fields:
    """What drawing needs to know of every pixel: float32 (h, w) each, lengths in head units."""

    cavity: np.ndarray  # distance from the inside of the skull, negative within
    depth: np.ndarray  # under the surface of the brain, the fissure between its halves counted
    folds: np.ndarray  # 0 along sulci, about 1 in the middle of gyri
    coarse: np.ndarray  # texture as coarse as gyri, deviation 1
    grain: np.ndarray  # fine texture, deviation 1

    def at(self, box: Box) -> Fields:
        """The same of some pixels only."""
        return Fields(*(getattr(self, field.name)[box] for field in fields(self)))


def brain_fields(
    canvas: Canvas, a: Anatomy, cavity: np.ndarray, grain: np.ndarray, z: float
) -> Fields:
    """The fields of a slice. Folds change within a few millimetres of height."""
    cos, sin = math.cos(24.0 * z), math.sin(24.0 * z)
    coarse = canvas.field(a.folds[0] * cos + a.folds[1] * sin)
    bend = 1.5 * canvas.field(a.folds[1] * cos - a.folds[0] * sin)
    x, y = np.abs(canvas.x), canvas.y
    # Sulci run from the surface of each half towards its middle: the zeros of a wave round
    # that middle, bent and forked by the coarse texture.
    hub_x, hub_y = x - 0.33 * a.half_width, (y - 0.03) * 0.72
    xx, yy = hub_x * hub_x, hub_y * hub_y
    square = xx + yy + 1e-6
    # cos and sin of 2, 4 and 12 times the angle, without ever taking the angle.
    cos2, sin2 = (xx - yy) / square, 2 * hub_x * hub_y / square
    cos4, sin4 = 2 * cos2 * cos2 - 1, 2 * sin2 * cos2
    cos12, sin12 = cos4 * (4 * cos4 * cos4 - 3), sin4 * (3 - 4 * sin4 * sin4)
    folds = np.abs(cos12 * np.cos(bend) - sin12 * np.sin(bend) + 0.45 * coarse)
    folds += 0.01 / square  # so close to the hub the lines would crowd
    # The halves part in front and behind where the slice meets the corpus callosum, all along
    # above it, and only in front below it.
    if z < 0.17:
        joined = np.maximum(y + 0.4, 0)
    else:
        half = 0.42 * max(0.0, 1 - (max(0.0, z - 0.3) / 0.3) ** 2) ** 0.5
        joined = np.maximum(half - np.abs(y), 0)
    depth = np.minimum(-cavity, x + 1.5 * joined)
    return Fields(cavity, depth, folds, coarse, grain)


def draw_brain(canvas: Canvas, a: Anatomy, tissue: Fields) -> None:
    """Fluid under the skull, cortex with its folds, white matter, dura."""
    edge, depth = canvas.edge, tissue.depth
    gap = 0.012 * a.atrophy
    # Some folds reach deep, some are dimples; all die out towards the middle.
    uneven = depth + 0.045 * tissue.coarse
    shallow = 1 - ramp(uneven, 0.08, 0.33)
    ribbon = 0.62 * shallow
    cortex = np.maximum(soft(tissue.folds - ribbon, 0.3), soft(depth - gap - 0.04, 2 * edge))
    brain = a.white + cortex * (a.grey - a.white)
    narrow = 0.13 * a.atrophy * (1 - ramp(uneven, 0.02, 0.24))
    fluid = np.maximum(
        soft(tissue.folds - narrow, 0.25) * (narrow > 0.004), soft(depth - gap, 2 * edge)
    )
    brain += 0.85 * fluid * (a.fluid - brain)
    brain *= 1 + 0.025 * tissue.grain
    canvas.paint(ALL, soft(tissue.cavity, 1.5 * edge), brain)
    dura = np.abs(tissue.cavity + 0.004) - 0.005
    canvas.paint(ALL, 0.5 * soft(dura, 2 * edge), a.vessel)


def draw_ventricles(canvas: Canvas, a: Anatomy, z: float) -> None:
    """Deep grey matter, Sylvian fissures, lateral and third ventricles, choroid plexus."""
    for side in (-1, 1):
        wider = 1 + (a.lopsided if side == a.side else 0.0)
        _draw_nuclei(canvas, a, z, side, a.ventricles * wider)
        _draw_fissure(canvas, a, z, side)
        _draw_lateral(canvas, a, z, side, a.ventricles * wider)
    third = span(z, 0.24, 0.12) * a.ventricles
    canvas.stroke((0, -0.1), (0, 0.16), (0.02 * third, 0.016 * third), a.fluid, blur=1.5)
    septum = span(z, 0.4, 0.16)
    canvas.stroke((0, -0.3), (0, 0), (0.007, 0.007), a.white, opacity=septum, blur=1.5)


def _draw_nuclei(canvas: Canvas, a: Anatomy, z: float, s: int, v: float) -> None:
    """Lentiform nucleus, thalamus and head of the caudate of side s; v: ventricle's width."""
    deep = 0.8 * a.grey + 0.2 * a.white
    lentiform, caudate = span(z - 0.25 * a.pitch, 0.3, 0.17), span(z - 0.25 * a.pitch, 0.33, 0.16)
    thalamus = span(z + 0.25 * a.pitch, 0.3, 0.15)
    for x, y, wide, long, angle, blur in (
        (0.29, -0.08, 0.07 * lentiform, 0.19 * lentiform, 0.3, 4),
        (0.12, 0.12, 0.10 * thalamus, 0.15 * thalamus, -0.4, 4),
        (0.12 + 0.05 * v, -0.24, 0.05 * caudate, 0.12 * caudate, -0.3, 3),
    ):
        canvas.disc(s * x, y, (wide, long), deep, s * angle, blur=blur)


def _draw_fissure(canvas: Canvas, a: Anatomy, z: float, s: int) -> None:
    """Sylvian fissure and insula of side s, with the artery in it."""
    j, here = a.jitter, span(z, 0.22, 0.19)
    w = here * a.atrophy * (0.022 + 0.005 * j[12])
    x, y = 0.46 + 0.015 * j[13], -0.09 + 0.03 * j[14] + 0.02 * s * j[15]
    for start, end, widths in (
        ((0.66, y - 0.04), (x, y), (w, 0.7 * w)),
        ((x, y), (x - 0.05, -0.26), (0.7 * w, 0.3 * w)),
        ((x, y), (x - 0.01, 0.13), (0.6 * w, 0.3 * w)),
    ):
        start, end = (s * start[0], start[1]), (s * end[0], end[1])
        canvas.stroke(start, end, widths, a.fluid, opacity=0.8, blur=2.5)
    canvas.disc(s * (x + 0.02), y, (0.013, 0.013), a.vessel, opacity=0.8 * here)


def _draw_lateral(canvas: Canvas, a: Anatomy, z: float, s: int, v: float) -> None:
    """Lateral ventricle of side s: frontal horn, body, atrium with plexus, two more horns."""
    j = a.jitter
    horn, body = v * span(z - 0.25 * a.pitch, 0.33, 0.16), v * span(z, 0.47, 0.13)
    atrium, temporal = span(z + 0.25 * a.pitch, 0.32, 0.16), v * span(z, 0.06, 0.1)
    tip = 0.008 if atrium else 0.0
    for start, end, widths in (
        ((0.09 + 0.06 * v, -0.37), (0.045, -0.13), (0.04 * horn, 0.022 * horn)),
        ((0.09 * v**0.5, -0.33), (0.075, 0.0), (0.035 * body, 0.04 * body)),
        ((0.075, 0.0), (0.16 + 0.01 * j[16], 0.32), (0.04 * body, 0.05 * body)),
        ((0.18, 0.25), (0.26, 0.38), (0.03 * v * atrium, 0.05 * v * atrium)),
        ((0.26, 0.38), (0.21, 0.52 + 0.05 * j[17]), (0.042 * v * atrium, tip)),
        ((0.41, 0.02), (0.36, 0.2), (0.01 * temporal, 0.02 * temporal)),
    ):
        start, end = (s * start[0], start[1]), (s * end[0], end[1])
        canvas.stroke(start, end, widths, a.fluid, blur=1.5)
    plexus = (s * 0.20, 0.28), (s * 0.245, 0.36)
    canvas.stroke(*plexus, (0.016, 0.024), 0.85 * a.vessel, opacity=0.8 * atrium, blur=2)
