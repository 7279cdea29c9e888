"""What lies round the brain: skin, fat and skull; eyes, nose, sinuses and ears below the brow."""

from __future__ import annotations

import numpy as np

from braintumor.data.sources._phantom_anatomy import Anatomy
from braintumor.data.sources._phantom_canvas import ALL, Canvas, ramp, soft, span, taper


def draw_outside(
    canvas: Canvas, a: Anatomy, skin: np.ndarray, cavity: np.ndarray, grain: np.ndarray
) -> None:
    """Skin, fat, skull, and soft tissue where the face is in the slice.

    skin, cavity: signed distances from the skin and from the inside of the skull.
    grain: fine texture, deviation 1.
    """
    edge = canvas.edge
    rim = ramp(-skin, 0.0, 0.025)  # the skin is darker than the fat under it
    fat = a.fat * (0.95 + 0.05 * grain)
    canvas.paint(ALL, soft(skin, edge), fat * (0.5 + 0.5 * rim))
    lumps = 0.5 * a.fat * ramp(grain, 0.6, 1.8)
    muscle = 0.85 * a.grey * (1 + 0.1 * grain) + lumps
    flesh = np.maximum(skin + 0.8 * a.scalp, a.skull - cavity)
    canvas.paint(ALL, soft(flesh, 2.5 * edge), muscle)
    bone = np.maximum(cavity - a.skull, skin + 0.3 * a.scalp)
    canvas.paint(ALL, soft(bone, 1.5 * edge), 0.045)
    marrow = np.abs(cavity - 0.55 * a.skull) - 0.17 * a.skull
    canvas.paint(ALL, soft(marrow, 2 * edge), a.marrow * (1 + 0.2 * grain))


def draw_face(canvas: Canvas, a: Anatomy, z: float, head: np.ndarray, grain: np.ndarray) -> None:
    """Eyes, nose, sinuses and ears, where they are in the slice; tumours do not bend them."""
    tissue = canvas.x, canvas.y
    canvas.x, canvas.y = canvas.x0, canvas.y0
    _draw_nose(canvas, a, z, head, grain)
    _draw_orbits(canvas, a, z)
    _draw_mastoids(canvas, a, z, grain)
    canvas.x, canvas.y = tissue


def _draw_orbits(canvas: Canvas, a: Anatomy, z: float) -> None:
    """Bony funnels filled with fat, eyeballs with their lenses, muscles and optic nerve."""
    open_ = span(z, a.orbit, 0.19)
    if open_ < 0.2:
        return
    w = a.half_width / 0.79
    x, y = (0.36 + 0.012 * a.jitter[4]) * w, -0.68 + 0.015 * a.jitter[5]
    apex = 0.15 + 0.01 * a.jitter[6], -0.33
    globe = (0.125 + 0.007 * a.jitter[7]) * span(z, a.orbit, 0.14)
    for s in (-1, 1):
        tip = s * apex[0], apex[1]
        canvas.stroke((s * x, y), tip, (0.19 * open_, 0.03), 0.05, blur=2)
        canvas.stroke((s * x, y), tip, (0.165 * open_, 0.022), 0.8 * a.fat, blur=2)
        for lateral in (-1, 1):  # the muscles that turn the eye
            canvas.stroke(
                (s * x + lateral * 0.125 * open_, y + 0.03),
                (s * (apex[0] + 0.01), -0.36),
                (0.02, 0.013),
                1.1 * a.white,
                blur=2,
            )
        if open_ > 0.85:
            canvas.stroke((s * x, y), tip, (0.02, 0.018), a.grey, blur=2)
        canvas.disc(s * x, y - 0.06, (globe, globe), 0.75 * a.white, blur=1.5)
        canvas.disc(s * x, y - 0.06, (globe - 0.022, globe - 0.022), 1.1 * a.fluid)
        canvas.disc(s * x, y - 0.06 - 0.78 * globe, (0.32 * globe, 0.17 * globe), a.grey)


def _draw_nose(canvas: Canvas, a: Anatomy, z: float, head: np.ndarray, grain: np.ndarray) -> None:
    """Ethmoid cells and nasal cavity, sphenoid and frontal sinus: air between bright mucosa."""
    high = span(z, -0.14, 0.23)
    if high > 0:
        box = canvas.box(0, -0.68, 0.2, 0.36)
        x, y = canvas.x[box], canvas.y[box]
        wide = high * a.air * (0.11 + 0.01 * a.jitter[8])
        room = taper(x, y, (0.0, -0.80), (0.0, -0.52), (0.7 * wide, wide))
        room = np.maximum(room + 0.012 * grain[box], head[box] + 0.05)
        walls = ramp(np.abs(np.sin(x * 50) + 0.8 * grain[box]), 0.0, 0.7)
        mucosa = 0.03 + (1 - walls) * (0.6 * a.vessel)
        canvas.paint(box, soft(room, 2 * canvas.edge), mucosa)
        canvas.stroke(
            (0.012 * a.jitter[9], -0.86), (0, -0.45), (0.014 * high, 0.008), a.white, blur=1.5
        )
    sphenoid = span(z, -0.13, 0.13) * a.air  # under and before the sella
    canvas.disc(0.04 * a.side, -0.37, (0.13 * sphenoid, 0.09 * sphenoid), 0.03, blur=1.5)
    frontal = span(z, 0.24 + 0.02 * a.jitter[10], 0.12) * a.air
    for s in (-1, 1):
        size = frontal * (1.0 if s == a.side else 0.55)
        box = canvas.box(s * 0.11, -0.87, 0.18, 0.08)
        shape = np.hypot(canvas.x[box] - s * 0.11, 3 * (canvas.y[box] + 0.87))
        pocket = np.maximum(shape - (0.14 * size), head[box] + a.scalp)
        canvas.paint(box, soft(pocket, 1.5 * canvas.edge), 0.03)


def _draw_mastoids(canvas: Canvas, a: Anatomy, z: float, grain: np.ndarray) -> None:
    """Petrous bone with its air cells, ear canals, and the ears."""
    low = span(z, -0.12, 0.2)
    if low < 0.1:
        return
    w = a.half_width / 0.79
    for s in (-1, 1):
        box = canvas.box(s * 0.55 * w, 0.15, 0.2, 0.15)
        x, y = canvas.x[box] - (s * 0.55 * w), canvas.y[box] - 0.15
        bone = np.hypot(x * 0.9, y * 1.5) - 0.13 * low
        bone += 0.02 * grain[box]
        cells = 0.04 + 0.5 * ramp(grain[box], 0.6, 1.6)
        canvas.paint(box, soft(bone, 2 * canvas.edge), cells)
        ear = s * (a.half_width + 0.01), 0.16 + 0.03 * a.jitter[11]
        canvas.stroke(
            ear, (ear[0] + s * 0.035, ear[1] + 0.1), (0.018, 0.024 * low), 0.6 * a.fat, blur=2
        )
        canvas.stroke(
            (ear[0] + s * 0.035, ear[1] + 0.1),
            (ear[0] + s * 0.015, ear[1] + 0.2),
            (0.02 * low, 0.012),
            0.5 * a.fat,
            blur=2,
        )
