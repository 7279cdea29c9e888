"""Drawing what lies low in the head, cerebellum, brain stem and sella; and all large vessels."""

from __future__ import annotations

import itertools
import math

import numpy as np

from braintumor.data.sources._phantom_anatomy import Anatomy
from braintumor.data.sources._phantom_brain import Fields
from braintumor.data.sources._phantom_canvas import Canvas, ramp, soft, span


def draw_fossa(canvas: Canvas, a: Anatomy, tissue: Fields, z: float) -> None:
    """Cerebellum, brain stem and sellar region, where they are in the slice."""
    height = z + 0.3 * a.pitch
    _draw_cerebellum(canvas, a, tissue, span(height, -0.2, 0.42))
    _draw_stem(canvas, a, height)
    _draw_sella(canvas, a, z)


def _draw_cerebellum(canvas: Canvas, a: Anatomy, tissue: Fields, size: float) -> None:
    """Leaves of grey and white matter under a bright tent; size: 0 to 1 of the largest section."""
    if size < 0.3:
        return
    box = canvas.box(0, 0.5, 0.52 * size + 0.04, 0.45 * size + 0.04)
    x, y = canvas.x[box], canvas.y[box]
    lobe = np.sqrt((x / (1.45 * size)) ** 2 + ((y - 0.52) / 1.2) ** 2) - 0.34 * size
    lobe = np.maximum(lobe, tissue.cavity[box] + 0.015) + 0.008 * tissue.coarse[box]
    row = np.sqrt(x * x * 0.5 + (y + 0.15) ** 2)
    stripes = np.sin(row * (2 * math.pi / 0.05) + 0.8 * tissue.coarse[box])
    core = 0.75 * ramp(-lobe, 0.03, 0.2)
    folia = a.grey * (1 + 0.08 * stripes * (1 - core))
    folia += core * (a.white - folia)
    tent = np.abs(lobe - 0.012) - 0.006
    canvas.paint(box, 0.4 * soft(tent, 0.02), a.vessel)
    canvas.paint(box, soft(lobe, 2 * canvas.edge), folia)
    canvas.disc(0, 0.48, (0.03, 0.2 * size), 0.93 * a.grey, opacity=0.6, blur=4)


def _draw_stem(canvas: Canvas, a: Anatomy, height: float) -> None:
    """Pons or midbrain in its cisterns, fourth ventricle, aqueduct, basilar artery."""
    pons, midbrain = span(height, -0.14, 0.22), span(height, 0.13, 0.12)
    for lay, value in ((0.02 * a.atrophy, a.fluid), (0.0, 0.97 * a.white)):  # fluid first
        for x, y, wide, long, angle, size in (
            (0.0, 0.07, 0.17, 0.13, 0.0, pons),
            (0.0, 0.12, 0.13, 0.08, 0.0, midbrain),
            (0.085, 0.035, 0.07, 0.11, 0.5, midbrain),  # peduncles, of the midbrain
            (0.26, 0.2, 0.09, 0.05 - 0.8 * lay, 0.5, pons),  # and to the cerebellum
        ):
            radii = (wide + lay) * size, (long + lay) * size
            for s in (-1, 1) if x else (1,):
                canvas.disc(s * x, y, radii, value, s * angle, blur=2.5)
    fourth = span(height, -0.1, 0.17) * a.ventricles**0.5
    canvas.disc(0, 0.225, (0.065 * fourth, 0.03 * fourth), a.fluid, blur=2)
    canvas.disc(0, 0.145, (0.014 * midbrain, 0.014 * midbrain), a.fluid, blur=1.5)
    if pons > 0:
        canvas.disc(0.015 * a.jitter[18], -0.09, (0.018, 0.018), a.vessel)


def _draw_sella(canvas: Canvas, a: Anatomy, z: float) -> None:
    """Suprasellar cistern, carotids and cavernous sinus, the healthy gland and its stalk."""
    j, star = a.jitter, span(z, 0.12, 0.09)
    if star > 0.2:
        canvas.disc(0, -0.16, (0.13 * star, 0.10 * star), a.fluid, blur=4, opacity=0.9)
        artery = min(0.7, max(0.0, star - 0.5 + 0.2 * j[22]))
        for s in (-1, 1):
            end = s * (0.33 + 0.03 * j[19]), -0.22 + 0.025 * j[20] + 0.02 * s * j[21]
            wide = 0.04 * star, 0.012
            canvas.stroke((s * 0.07, -0.17), end, wide, a.fluid, opacity=0.8, blur=3)
            canvas.stroke((s * 0.1, -0.19), end, (0.011, 0.006), a.vessel, opacity=artery, blur=1.5)
        canvas.disc(0, -0.19, (0.018, 0.018), a.vessel, opacity=star)
    sinus = span(z, -0.02, 0.09)
    for s in (-1, 1):
        canvas.disc(s * 0.14, -0.21, (0.055 * sinus, 0.09 * sinus), 0.7 * a.vessel, blur=4)
        canvas.disc(s * 0.13, -0.25, (0.028 * sinus, 0.028 * sinus), 0.08, blur=2)
    gland = span(z, -0.01, 0.075)
    canvas.disc(0, -0.22, (a.gland * gland, 0.6 * a.gland * gland), 0.8 * a.vessel, blur=2.5)


def draw_vessels(
    canvas: Canvas, a: Anatomy, tissue: Fields, z: float, rng: np.random.Generator
) -> None:
    """Falx, sagittal and transverse sinuses, scattered veins: bright with contrast medium."""
    v = a.vessel
    back, front = (_inner_edge(canvas, tissue.cavity, sign) for sign in (1.0, -1.0))
    core = 0.42 * span(z, 0.28, 0.3)
    if z > 0.12:
        canvas.stroke((0, back), (0, core + 0.02), (0.010, 0.006), 0.75 * v, opacity=0.7)
        canvas.stroke((0, -front), (0, -core - 0.04), (0.009, 0.006), 0.7 * v, opacity=0.6)
    width = 0.04 + 0.007 * a.jitter[23]
    canvas.stroke((0, back - 0.01), (0, back - 0.08), (width, 0.008), v, blur=2)
    if z > 0.2:
        tip = (0, 0.015 - front), (0, 0.05 - front)
        canvas.stroke(*tip, (0.6 * width, 0.006), 0.9 * v, blur=2)
    for s in (-1, 1):
        big = span(z, -0.02, 0.14) * (0.03 if s == a.side else 0.016)
        turn = s * 0.54 * a.half_width / 0.79
        for start, end in itertools.pairwise(((turn, 0.40), (0.75 * turn, 0.66), (s * 0.2, 0.8))):
            canvas.stroke(start, end, (big, 0.9 * big), v, opacity=0.75, blur=3)
    _draw_veins(canvas, a, tissue, rng)


def _draw_veins(canvas: Canvas, a: Anatomy, tissue: Fields, rng: np.random.Generator) -> None:
    """A few short bright lines anywhere in the brain, others in every slice."""
    for _ in range(int(rng.integers(3, 11))):
        turn, reach = rng.uniform(0, 2 * math.pi), 0.85 * rng.uniform(0.3, 0.9) ** 0.5
        x, y = a.half_width * reach * math.cos(turn), reach * math.sin(turn)
        bend, long = turn + rng.normal(0, 0.9), rng.exponential(0.04) + 1e-3
        bright = a.vessel * rng.uniform(0.6, 1.0)
        end = x + long * math.cos(bend), y + long * math.sin(bend)
        ends = (tissue.cavity[canvas.box(*point, 0.0, 0.0)] for point in ((x, y), end))
        if all((depth < -0.03).all() for depth in ends):
            canvas.stroke((x, y), end, (0.009, 0.005), bright, opacity=0.8)


def _inner_edge(canvas: Canvas, cavity: np.ndarray, sign: float) -> float:
    """How far the inside of the skull is from the sella to the back (1) or the front (-1)."""
    inside = (np.abs(canvas.x0) < canvas.edge) & (cavity < 0)
    return max(0.0, float((sign * canvas.y0[inside]).max())) if inside.any() else 0.0
