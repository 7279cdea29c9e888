"""Tumours: where one lies in a patient's head, and its drawing at one height."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from braintumor.data.sources._phantom_anatomy import Anatomy, cavity_distance
from braintumor.data.sources._phantom_brain import Fields
from braintumor.data.sources._phantom_canvas import Box, Canvas, ramp, soft, span


@dataclass(frozen=True, eq=False)
class Lesion:
    """A tumour in head units; all that varies from patient to patient."""

    kind: str  # glioma, meningioma or pituitary
    z: float  # height of the centre
    turn: float  # radians, clockwise from the right of the picture: where it lies (not pituitary)
    reach: float  # 0 to 1 of the way to the skull: glioma
    radius: float
    tall: float  # height over width
    wide: float  # length over width
    lobes: np.ndarray  # (5, 3) cosine, sine and twist with height of 2 to 6 waves of the outline
    bright: float  # of what takes up contrast medium, over white matter
    rim: float  # thickness of the ring (glioma)
    core: float  # 0 dead or cystic, 1 as bright as the rest
    oedema: float  # reach of the swelling beyond the tumour, over the radius
    push: float  # how far neighbours are moved aside, over the radius


_RANGES = {  # of radius, brightness, brightness of the core, reach of the oedema
    "glioma": ((0.13, 0.30), (1.25, 2.1), (0.0, 0.3), (0.5, 1.3)),
    "meningioma": ((0.11, 0.26), (1.25, 2.0), (0.85, 1.0), (-0.8, 0.8)),  # half have no oedema
    "pituitary": ((0.10, 0.19), (1.25, 1.9), (0.6, 1.0), (0.0, 0.0)),
}
_RAGGED = {"glioma": 0.075, "meningioma": 0.025, "pituitary": 0.035}  # of the outline
_HUB = 0.1  # y of the middle of the cavity
_CLEAR = 0.03  # head units: what a glioma leaves free under the skull


def draw_lesion(rng: np.random.Generator, kind: str, z: float) -> Lesion:
    """A new tumour with its centre at height z."""
    u = rng.uniform
    lobes = rng.normal(0, _RAGGED[kind], (5, 3)) / np.arange(1, 6)[:, None] ** 0.4
    lobes[:, 2] = rng.normal(0, 4, 5)
    radius, bright, core, oedema = (u(low, high) for low, high in _RANGES[kind])
    # Low down, straight ahead, the nearest bone is the sella: nobody could tell the classes apart.
    ahead = 0.8 if kind == "meningioma" and z < 0.3 else 0.0
    return Lesion(
        kind=kind,
        z=z,
        turn=u(ahead, 2 * math.pi - ahead) - math.pi / 2,
        reach=u(0.25, 0.95),
        radius=radius,
        tall=u(0.8, 1.2),
        wide=u(0.8, 1.2),
        lobes=lobes,
        bright=bright,
        rim=u(0.022, 0.05),
        core=core,
        oedema=max(0.0, oedema),
        push=u(0.15, 0.45),
    )


@dataclass(frozen=True)
class Section:
    """Where a slice cuts a lesion: centre and radius of the cut in head units."""

    x: float
    y: float
    radius: float
    angle: float


def cut(lesion: Lesion, anatomy: Anatomy, z: float) -> Section:
    """The section of a lesion at height z."""
    radius = lesion.radius * span(z, lesion.z, lesion.radius * lesion.tall)
    if lesion.kind == "pituitary":
        return Section(0.02 * math.cos(lesion.turn), -0.20, radius, 0.0)
    cos, sin = math.cos(lesion.turn), math.sin(lesion.turn)
    skull = _to_skull(anatomy, cos, sin, z)
    if lesion.kind == "meningioma":
        middle = skull - 0.55 * radius
    else:
        middle = min(lesion.reach * skull, skull - 0.04 - 0.85 * radius)
        middle = max(middle, 0.0)
    return Section(cos * middle, _HUB + sin * middle, radius, lesion.turn)


def _to_skull(anatomy: Anatomy, cos: float, sin: float, z: float) -> float:
    """Distance from the middle of the cavity to the skull in one direction."""
    steps = np.linspace(0, 1.2, 241, dtype=np.float32)
    inside = cavity_distance(anatomy, cos * steps, _HUB + sin * steps, z) < 0
    return float(steps[np.argmin(inside)]) if not inside.all() else 1.2


def displacement(canvas: Canvas, lesion: Lesion, section: Section) -> tuple[np.ndarray, np.ndarray]:
    """Mass effect: how far from each pixel the tissue that is now there used to be."""
    dx, dy = canvas.x0 - section.x, canvas.y0 - section.y
    reach = 2 * (1.5 * lesion.radius) ** 2
    pull = -lesion.push * np.exp(-(dx * dx + dy * dy) / reach)
    return pull * dx, pull * dy


def draw_tumour(
    canvas: Canvas, a: Anatomy, lesion: Lesion, section: Section, tissue: Fields, z: float
) -> tuple[Box, np.ndarray]:
    """Paint the lesion; where it may be, and there bool: the tumour itself, without oedema."""
    reach = lesion.radius * (1.3 + lesion.oedema) + 0.12
    box = canvas.box(section.x, section.y, reach, reach)
    near = tissue.at(box)
    distance = _outline(canvas.x0[box], canvas.y0[box], lesion, section, z)
    _DRAW[lesion.kind](canvas, box, a, lesion, near, distance)
    margin = {"glioma": -_CLEAR, "meningioma": 0.0, "pituitary": 1.0}[lesion.kind]
    return box, (distance < 0) & (near.cavity < margin)


def _outline(
    x: np.ndarray, y: np.ndarray, lesion: Lesion, section: Section, z: float
) -> np.ndarray:
    """Signed distance from the edge of the lesion in this slice, negative inside."""
    x, y = x - section.x, y - section.y
    cos, sin = math.cos(section.angle), math.sin(section.angle)
    x, y = cos * x + sin * y, (cos * y - sin * x) / lesion.wide
    rho = np.sqrt(x * x + y * y) + 1e-6
    turn = np.empty(rho.shape, np.complex64)
    turn.real, turn.imag = x / rho, y / rho
    power, swell = turn, np.ones_like(rho)
    for cosine, sine, twist in lesion.lobes:
        power = power * turn
        phase = np.exp(1j * twist * (z - lesion.z)) * (cosine - 1j * sine)
        swell += (power * np.complex64(phase)).real
    return rho - section.radius * swell


def _draw_glioma(
    canvas: Canvas, box: Box, a: Anatomy, lesion: Lesion, tissue: Fields, distance: np.ndarray
) -> None:
    """Oedema along the white matter, a broken bright ring, a dark middle."""
    edge = canvas.edge
    inside = soft(tissue.cavity + _CLEAR, 2 * edge)
    reach = lesion.oedema * lesion.radius
    fingers = np.minimum(tissue.folds, 1.3) * 0.10
    swollen = 1 - ramp(distance - fingers, 0.2 * reach, reach)
    canvas.paint(box, 0.75 * swollen * inside, 0.5 * (a.fluid + a.grey))
    frayed = distance + 0.006 * tissue.grain + 0.012 * tissue.coarse
    patchy = 1 + 0.12 * tissue.grain + 0.15 * tissue.coarse
    dead = (a.fluid * 1.3 + lesion.core * a.white) * patchy
    canvas.paint(box, soft(frayed, 2.5 * edge) * inside, dead)
    rim = lesion.rim * np.maximum(1 + 0.55 * tissue.coarse, 0.2)
    ring = np.abs(frayed + rim) - rim
    uptake = 0.45 + 0.55 * ramp(tissue.coarse, -1.5, 0.5)
    uptake *= 1 + 0.1 * tissue.grain
    bright = lesion.bright * a.white
    canvas.paint(box, soft(ring, 3.5 * edge) * inside * np.minimum(uptake, 1), bright)


def _draw_meningioma(
    canvas: Canvas, box: Box, a: Anatomy, lesion: Lesion, tissue: Fields, distance: np.ndarray
) -> None:
    """A round, even, bright mass on the dura, with a cleft of fluid and a dural tail."""
    edge = canvas.edge
    inside = soft(tissue.cavity, 1.5 * edge)
    if lesion.oedema > 0:
        fingers = 0.05 * tissue.folds
        swollen = 1 - ramp(distance - fingers, 0.0, lesion.oedema * lesion.radius + 0.05)
        wet = 0.5 * (a.fluid + a.grey)
        canvas.paint(box, 0.6 * swollen * inside, wet)
    cleft = soft(distance - 0.014, 2 * edge) * inside
    canvas.paint(box, 0.55 * cleft, a.fluid)
    value = lesion.bright * a.white
    tail = np.maximum(-tissue.cavity - 0.02, distance - 0.11)
    canvas.paint(box, 0.7 * soft(tail, 2 * edge) * inside, value)
    canvas.paint(
        box, soft(distance, 1.5 * edge) * inside, _filling(lesion, tissue, distance) * value
    )


def _draw_pituitary(
    canvas: Canvas, box: Box, a: Anatomy, lesion: Lesion, tissue: Fields, distance: np.ndarray
) -> None:
    """A smooth midline mass in and over the sella, with a fluid rim where it meets the cistern."""
    rim = soft(distance - 0.02, 3 * canvas.edge)
    canvas.paint(box, 0.5 * rim, a.fluid)
    value = lesion.bright * a.white
    canvas.paint(box, soft(distance, 1.5 * canvas.edge), _filling(lesion, tissue, distance) * value)


def _filling(lesion: Lesion, tissue: Fields, distance: np.ndarray) -> np.ndarray:
    """Brightness over that of the tumour's edge: slightly uneven, duller towards a soft core."""
    deep = ramp(-distance, 0.25 * lesion.radius, 0.75 * lesion.radius)
    uneven = 1 + 0.03 * tissue.grain + 0.04 * tissue.coarse
    return uneven * (1 - (1 - lesion.core) * deep)


_DRAW: dict[str, Callable[..., None]] = {
    "glioma": _draw_glioma,
    "meningioma": _draw_meningioma,
    "pituitary": _draw_pituitary,
}
