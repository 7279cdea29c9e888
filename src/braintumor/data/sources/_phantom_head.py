"""The head of a phantom: what all have, what one has at random, and where its pixels lie.

Lengths are in head units: half the length of the head is 1 (about 90 mm); x to the right of the
picture, y to the back of the head, z up. Heights: -0.15 pons and cerebellum, 0 sella, 0.12
midbrain, 0.3 basal ganglia, 0.6 centrum semiovale, 1.0 near the vertex.
Brightness is that of a T1-weighted scan after contrast medium, 0 (air) to about 1 (fat). A cover
is 1 inside a shape and 0 outside, soft at its edge.
# h, w <= size_px the part of a picture that holds the head. All fields are float32 (h, w).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Paint = float | np.ndarray  # brightness, of all pixels or of each
Line = tuple[float, float, float, float, float, float]  # x, y to x, y; radius at the two ends

HUB = 0.1  # y of the middle of the cavity
_SPAN = 2.2  # from one edge of a texture to the other
_FINEST = 80  # half periods of the finest texture over _SPAN
_FLOOR: tuple[Line, ...] = (  # of the skull: middle fossa, posterior fossa, between them
    (0.38, -0.20, 0.42, -0.06, 0.29, 0.29),
    (0.0, 0.40, 0.1, 0.40, 0.52, 0.52),
    (0.0, 0.02, 0.04, 0.02, 0.26, 0.26),
)


class Part(NamedTuple):
    """Something round: a line in the right half of the head, thickest at z, gone at z ± half."""

    tissue: str
    z: float
    half: float
    line: Line  # drawn on both sides unless it lies across the midline
    group: str = ""  # of parts that share a size
    edge: float = 0.016  # how soft
    opacity: float = 1.0


BRAIN = (
    Part("nucleus", 0.30, 0.17, (0.325, -0.195, 0.255, 0.035, 0.07, 0.07), "", 0.045),
    Part("nucleus", 0.30, 0.15, (0.10, 0.074, 0.14, 0.166, 0.10, 0.10), "", 0.045),  # thalamus
    Part("nucleus", 0.33, 0.16, (0.15, -0.307, 0.19, -0.173, 0.05, 0.05), "", 0.035),  # caudate
    # Sylvian fissure and insula
    Part("fluid", 0.22, 0.19, (0.66, -0.13, 0.46, -0.09, 0.022, 0.015), "sulci", 0.03, 0.8),
    Part("fluid", 0.22, 0.19, (0.46, -0.09, 0.45, 0.13, 0.013, 0.007), "sulci", 0.03, 0.8),
    # Ventricles: frontal horn, body, atrium, occipital and temporal horn, plexus; third
    Part("fluid", 0.33, 0.16, (0.15, -0.37, 0.045, -0.13, 0.04, 0.022), "ventricle"),
    Part("fluid", 0.47, 0.13, (0.09, -0.33, 0.075, 0.0, 0.035, 0.04), "ventricle"),
    Part("fluid", 0.47, 0.13, (0.075, 0.0, 0.16, 0.32, 0.04, 0.05), "ventricle"),
    Part("fluid", 0.32, 0.16, (0.18, 0.25, 0.26, 0.38, 0.03, 0.05), "ventricle"),
    Part("fluid", 0.32, 0.16, (0.26, 0.38, 0.21, 0.52, 0.042, 0.008), "ventricle"),
    Part("fluid", 0.06, 0.10, (0.41, 0.02, 0.36, 0.2, 0.01, 0.02), "ventricle"),
    Part("vessel", 0.32, 0.16, (0.20, 0.28, 0.245, 0.36, 0.016, 0.024), "", 0.022, 0.6),
    Part("fluid", 0.24, 0.12, (0, -0.1, 0, 0.16, 0.02, 0.016), "ventricle"),
    # Cerebellum; cisterns, in them pons, midbrain and its peduncles; fourth ventricle
    Part("vessel", -0.2, 0.42, (-0.085, 0.52, 0.085, 0.52, 0.43, 0.43), "", 0.03, 0.3),
    Part("leaves", -0.2, 0.42, (-0.085, 0.52, 0.085, 0.52, 0.405, 0.405), "", 0.022),
    Part("fluid", -0.14, 0.22, (-0.04, 0.07, 0.04, 0.07, 0.15, 0.15), "", 0.03),
    Part("fluid", 0.13, 0.12, (-0.05, 0.12, 0.05, 0.12, 0.1, 0.1), "", 0.03),
    Part("fluid", 0.13, 0.12, (0.104, 0, 0.066, 0.07, 0.09, 0.09), "", 0.03),
    Part("white", -0.14, 0.22, (-0.04, 0.07, 0.04, 0.07, 0.13, 0.13), "", 0.03),
    Part("white", 0.13, 0.12, (-0.05, 0.12, 0.05, 0.12, 0.08, 0.08), "", 0.03),
    Part("white", 0.13, 0.12, (0.104, 0, 0.066, 0.07, 0.07, 0.07), "", 0.03),
    Part("fluid", -0.1, 0.17, (-0.035, 0.225, 0.035, 0.225, 0.03, 0.03), "ventricle", 0.022),
)
FACE = (
    # Orbit: bone, fat, eyeball
    Part("bone", 0, 0.19, (0.36, -0.68, 0.15, -0.33, 0.19, 0.03), "", 0.022),
    Part("fat", 0, 0.18, (0.36, -0.68, 0.15, -0.33, 0.165, 0.022), "", 0.022, 0.8),
    Part("grey", 0, 0.14, (0.36, -0.74, 0.36, -0.74, 0.125, 0.125)),
    Part("fluid", 0, 0.137, (0.36, -0.74, 0.36, -0.74, 0.103, 0.103)),
    # Nose and ethmoid cells with the septum; sphenoid and frontal sinus
    Part("cells", -0.14, 0.23, (0, -0.80, 0, -0.52, 0.077, 0.11), "sinus", 0.03),
    Part("white", -0.14, 0.23, (0, -0.86, 0, -0.45, 0.014, 0.008)),
    Part("bone", -0.13, 0.13, (-0.04, -0.37, 0.04, -0.37, 0.09, 0.09), "sinus"),
    Part("bone", 0.24, 0.12, (0.04, -0.85, 0.18, -0.83, 0.04, 0.03), "frontal"),
    Part("cells", -0.12, 0.2, (0.49, 0.15, 0.61, 0.15, 0.07, 0.07), "", 0.06, 0.8),  # petrous bone
    Part("fat", -0.12, 0.2, (0.75, 0.14, 0.81, 0.31, 0.035, 0.025), "", 0.022, 0.6),  # ear
    # Cistern over the sella; basilar and carotid arteries, pituitary gland, transverse sinus
    Part("fluid", 0.12, 0.09, (-0.03, -0.16, 0.03, -0.16, 0.1, 0.1), "", 0.045, 0.9),
    Part("fluid", 0.12, 0.09, (0.07, -0.17, 0.33, -0.22, 0.04, 0.012), "sulci", 0.035, 0.8),
    Part("vessel", -0.05, 0.26, (0, -0.1, 0, -0.1, 0.018, 0.018)),
    Part("bone", -0.02, 0.09, (0.13, -0.25, 0.13, -0.25, 0.028, 0.028), "", 0.022),
    Part("vessel", 0, 0.075, (-0.027, -0.22, 0.027, -0.22, 0.041, 0.041), "", 0.03, 0.7),
    Part("vessel", -0.02, 0.14, (0.55, 0.40, 0.28, 0.76, 0.03, 0.027), "drain", 0.035, 0.75),
)


def random_waves(
    rng: np.random.Generator, low: int, high: int, fall: float = 0.0, count: int = 1
) -> np.ndarray:
    """Amplitudes of `count` textures with `low` to `high` half periods over _SPAN.

    fall: amplitudes go with half periods^-fall; the larger, the smoother.
    float32 (count, high + 1, high + 1).
    """
    k = np.hypot(*np.ogrid[: high + 1, : high + 1])
    weights = np.where((k < low) | (k > high), 0, np.maximum(k, 1) ** -fall).astype(np.float32)
    drawn = rng.standard_normal((count, *k.shape), np.float32) * weights
    drawn *= 2 / np.linalg.norm(drawn, axis=(1, 2), keepdims=True)
    return drawn


def blend(waves: np.ndarray, turn: float) -> np.ndarray:
    """One texture (or several) of twice as many, changing steadily with a turn in radians."""
    half = len(waves) // 2
    return waves[:half] * math.cos(turn) + waves[half:] * math.sin(turn)


# How hard a class is: radius, brightness over white matter, brightness of the core over that of
# the rest, oedema over the radius (none below 0); raggedness, what it leaves free under the skull.
_RANGES = {
    "glioma": ((0.13, 0.30), (1.25, 2.1), (0.0, 0.3), (0.5, 1.3), 0.12, 0.03),
    "meningioma": ((0.11, 0.26), (1.25, 2.0), (0.85, 1.0), (-0.8, 0.8), 0.08, 0.0),
    "pituitary": ((0.10, 0.19), (1.25, 1.9), (0.6, 1.0), (0.0, 0.0), 0.11, -1.0),  # grows past it
}


class Lesion:
    """A tumour."""

    def __init__(self, rng: np.random.Generator, kind: str, z: float) -> None:
        u = rng.uniform
        self.kind, self.z = kind, z
        *ranges, self.ragged, self.clear = _RANGES[kind]
        self.radius, self.bright, self.core, oedema = (u(low, high) for low, high in ranges)
        self.oedema = max(0.0, oedema) * self.radius
        self.half = self.radius * u(0.8, 1.2)  # of its height
        # Low down, straight ahead, the nearest bone is the sella: no telling the classes apart.
        ahead = 0.8 if kind == "meningioma" and z < 0.3 else 0.0
        self.turn = u(ahead, 2 * math.pi - ahead) - math.pi / 2  # radians from right, clockwise
        self.reach = u(0.25, 0.95)  # how near a glioma is to the skull, 0 to 1
        self.outline = random_waves(rng, 3, 20, fall=0.5, count=2)
        self.rim = u(0.022, 0.05)  # thickness of a glioma's ring
        self.push = u(0.15, 0.45)  # how far neighbours are moved aside, over the radius


class Patient:
    """A head, its tumour if it has one, and its scan: what stays the same in all slices."""

    def __init__(self, rng: np.random.Generator, label: str) -> None:
        u, normal = rng.uniform, rng.normal
        # Every class has slices through the sella, or the height would give pituitary away.
        self.z = u(-0.13, 0.2) if rng.random() < 0.45 else u(0.2, 0.86)  # middle of the scan
        self.z = u(-0.02, 0.1) if label == "pituitary" else self.z
        self.lesion = None if label == "no_tumor" else Lesion(rng, label, self.z)
        self.half = self.lesion.half if self.lesion else u(0.1, 0.25)  # of the scan's height
        # Where and how the head lies: from the middle of the picture, as a share of its side.
        self.x, self.y, self.scale = normal(0, 0.018), normal(0, 0.018), u(0.36, 0.46)
        self.angle = normal(0, 0.09)  # radians, clockwise
        self.gain, self.gamma = u(0.62, 1.05), u(0.85, 1.25)  # of the picture
        self.blur, self.noise = u(0.4, 0.9), u(0.005, 0.027)  # px at 224 px; standard deviation
        self.bias = random_waves(rng, 1, 4)[0]  # of the coil's sensitivity
        self.half_width = u(0.72, 0.86)  # of the head, the half length being 1
        self.egg = u(0.0, 0.12)  # how much wider the back is than the front
        self.outline = random_waves(rng, 2, 7, fall=0.5)[0]  # by which the head is no ellipse
        self.scalp, self.skull = u(0.045, 0.085), u(0.045, 0.075)  # thickness
        self.padding = random_waves(rng, 2, 8, fall=1.0)[0]  # of the scalp
        self.pitch = normal(0, 0.08)  # slice height gained per unit to the back
        self.orbit = normal(-0.02, 0.035)  # height of the middle of the eyes
        self.folds = random_waves(rng, 10, 28, count=4)  # coarse textures of the brain
        self.warp = random_waves(rng, 2, 24, fall=1.4, count=4)  # of soft tissue
        self.sulci, air, wide = math.exp(normal(0, 0.3)), u(0.7, 1.2), math.exp(normal(-0.05, 0.3))
        # Of groups of parts, on one side and on the other; 1 is usual.
        sizes = {"ventricle": (wide, wide * (1 + abs(normal(0, 0.25)))), "drain": (0.5, 1.0)}
        sizes |= {"sulci": (self.sulci,) * 2, "sinus": (air, air), "frontal": (0.55 * air, air)}
        larger = int(rng.choice((-1, 1)))
        self.sizes = {group: pair[::larger] for group, pair in sizes.items()}
        self.white, self.fluid, self.fat = u(0.38, 0.50), u(0.08, 0.17), u(0.75, 1.05)
        self.grey, self.bone = self.white * u(0.72, 0.88), 0.045
        self.vessel, self.marrow = u(0.6, 0.95), u(0.08, 0.45)
        self.nucleus = 0.8 * self.grey + 0.2 * self.white


class Slice:
    """A head at height z: what is known of its pixels, and what has been drawn.

    image: brightness. window: where it lies in the whole picture. pixel: side of one.
    x, y: coordinates of the head; bent_x, bent_y: the same for soft tissue, after `bend`.
    skin, cavity: nearly the signed distances from the skin and from the inside of the skull,
        negative within. coarse, twist: textures as coarse as gyri. grain: a fine one.
    """

    def __init__(self, patient: Patient, z: float, size_px: int, rng: np.random.Generator) -> None:
        self.patient, self.z = patient, z
        # The head moves a little while it is scanned.
        dx, dy, turn = rng.normal(0, (0.006, 0.006, 0.025)).tolist()
        self.pixel = 1 / (size_px * patient.scale)
        grid = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px - 0.5
        lines = [(grid - at) / patient.scale for at in (patient.x + dx, patient.y + dy)]
        across, down = (np.flatnonzero(np.abs(line) < _SPAN / 2) for line in lines)
        self.window = np.s_[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        self._u, self._v = lines[0][self.window[1]], lines[1][self.window[0]]
        k = np.arange(_FINEST + 1, dtype=np.float32) * np.float32(math.pi / _SPAN)
        self._cosines = [np.cos((line[:, None] + _SPAN / 2) * k) for line in (self._v, self._u)]
        self._cos, self._sin = math.cos(patient.angle + turn), math.sin(patient.angle + turn)
        self.x = self._cos * self._u + self._sin * self._v[:, None]
        self.y = self._cos * self._v[:, None] - self._sin * self._u
        self.bent_x, self.bent_y, self._farthest = self.x, self.y, 0.0
        self.skin, self.cavity = self._shape()
        # Folds change within a few millimetres of height.
        self.coarse, self.twist = (self.texture(w) for w in blend(patient.folds, 24 * z))
        self.grain = self.texture(random_waves(rng, 16, _FINEST)[0])
        self.image = np.zeros_like(self.x)

    def _shape(self) -> tuple[np.ndarray, np.ndarray]:
        p, x, y, z = self.patient, self.x, self.y, self.z
        low = min(1.0, max(0.0, (0.15 - z) / 0.3))  # grows as the face comes into the slice
        size = max(0.15, 1 - (max(z - 0.22, 0) / 0.98) ** 2.3) ** 0.5 * (1 - 0.05 * low)
        across = x / (p.half_width + p.half_width * (p.egg + 0.05 * low) * y)
        skin = (np.sqrt(across * across + y * y) - size) * p.half_width**0.5
        skin += 0.008 * self.texture(p.outline)
        cavity = skin + (p.scalp + p.skull)
        if z < 0.42:
            # Below the brow the cavity is the union of the fossae; with height these swell until
            # they fill the vault. At the orbital roofs the frontal lobes rise into the slice.
            x = np.abs(x) * (0.79 / p.half_width)
            floor = np.minimum.reduce([_distance(x, y, room) for room in _FLOOR])
            front = _distance(x, y, (0, -0.45, 0.08, -0.45, 0.42, 0.42))
            floor = np.minimum(floor + 0.35 * max(0.0, -z), front + (0.5 - 2.8 * z))
            cavity = np.maximum(cavity, floor - 1.1 * max(0.0, z - 0.06))
        return skin, cavity

    def texture(self, waves: np.ndarray) -> np.ndarray:
        """The field of `random_waves`: mean 0, deviation 1, alike at every size."""
        down, across = (cosines[:, : waves.shape[-1]] for cosines in self._cosines)
        return down @ waves @ across.T

    def to_skull(self, turn: float) -> float:
        """How far the skull is from the middle of the cavity, in a direction."""
        cos, sin, y = math.cos(turn), math.sin(turn), self.y - HUB
        along = cos * self.x + sin * y
        ray = (np.abs(cos * y - sin * self.x) < self.pixel) & (along > 0)
        return float(along[ray & (self.cavity >= 0)].min(initial=_SPAN / 2))

    def bend(self, dx: np.ndarray, dy: np.ndarray) -> None:
        """Shift where soft tissue is looked up."""
        self.bent_x, self.bent_y = self.x + dx, self.y + dy
        self._farthest = float(np.hypot(dx, dy).max())

    def paint(self, cover: np.ndarray, value: Paint, box: tuple[slice, ...] = np.s_[:, :]) -> None:
        """Let `value` cover the picture where cover is 1."""
        under = self.image[box]
        under += cover * (value - under)

    def line(self, line: Line, value: Paint, edge: float = 0.016, opacity: float = 1.0) -> None:
        """Paint a tapering line of soft tissue; edge is how soft it is."""
        x, y, to_x, to_y, *radii = line
        reach = math.hypot(to_x - x, to_y - y) / 2 + max(radii) + edge + 1.5 * self._farthest
        x, y = (x + to_x) / 2, (y + to_y) / 2
        u, v = self._cos * x - self._sin * y, self._sin * x + self._cos * y
        top, bottom = np.searchsorted(self._v, (v - reach, v + reach))
        left, right = np.searchsorted(self._u, (u - reach, u + reach))
        box = np.s_[top:bottom, left:right]
        distance = _distance(self.bent_x[box], self.bent_y[box], line)
        value = value[box] if isinstance(value, np.ndarray) else value
        self.paint(opacity * soft(distance, max(edge, 1.5 * self.pixel)), value, box)


def _distance(x: np.ndarray, y: np.ndarray, line: Line) -> np.ndarray:
    """Signed distance from a tapering line with round ends; negative inside."""
    dx, dy = line[2] - line[0], line[3] - line[1]
    x, y = x - line[0], y - line[1]
    along = ((x * dx + y * dy) * (1 / (dx * dx + dy * dy + 1e-12))).clip(0, 1)
    x -= along * dx
    y -= along * dy
    return np.sqrt(x * x + y * y) - (line[4] + along * (line[5] - line[4]))


def soft(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 where distance is negative, 0 where positive, a ramp of width `edge` between."""
    return (0.5 - distance * (1 / edge)).clip(0, 1)


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, smooth between (3t² - 2t³)."""
    t = ((value - low) * (1 / (high - low))).clip(0, 1)
    return t * t * (3 - 2 * t)


def span(z: float, middle: float, half: float) -> float:
    """Thickness, 0 to 1, of something round that reaches from middle - half to middle + half."""
    return max(0.0, 1 - ((z - middle) / half) ** 2) ** 0.5
