"""A patient's head: its shape in three dimensions and the settings of its scan.

Coordinates as in `_phantom_canvas`. Heights: -0.15 pons and cerebellum, 0 sella, 0.12 midbrain,
0.3 basal ganglia, 0.6 centrum semiovale, 1.0 near the vertex.
Intensities are those of a T1-weighted scan after contrast medium: fat and vessels bright, bone,
air and fluid dark, white matter a little brighter than grey.
Proportions were read off axial slices by eye: a picture book, not a simulation of tissue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from braintumor.data.sources._phantom_canvas import Pose, ellipse, waves


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What stays the same in all slices of a patient. Lengths in head units."""

    half_width: float  # of the head, the half length being 1
    egg: float  # how much wider the back is than the front
    harmonics: np.ndarray  # (4, 2) cosine and sine of 2 to 5 waves round the outline
    scalp: float  # mean thickness
    padding: np.ndarray  # waves of its thickness
    skull: float  # thickness
    ventricles: float  # width, 1 is usual
    atrophy: float  # width of sulci and cisterns, 1 is usual
    side: float  # -1 or 1: which side is the larger
    lopsided: float  # larger ventricle over the smaller, less 1
    pitch: float  # slice height gained per unit to the back
    gland: float  # half width of the healthy pituitary gland
    air: float  # size of the sinuses, 1 is usual
    orbit: float  # height of the middle of the eyes
    jitter: tuple[float, ...]  # 24, deviation 1: small liberties of single structures
    folds: tuple[np.ndarray, np.ndarray]  # waves of the cortex at two heights
    warp: tuple[np.ndarray, ...]  # waves of dx and of dy, each at two heights
    fat: float
    white: float
    grey: float
    fluid: float
    vessel: float
    marrow: float
    pose: Pose
    gain: float  # brightness of the whole scan
    gamma: float
    noise: float  # deviation, as a share of white
    blur: float  # px at 224 px
    bias: np.ndarray  # waves of the coil's sensitivity


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A new patient and scan; the same for the same state of rng."""
    u, normal = rng.uniform, rng.normal
    white = u(0.38, 0.50)
    return Anatomy(
        half_width=u(0.72, 0.86),
        egg=u(0.0, 0.12),
        harmonics=normal(0, 1, (4, 2)) * np.array([0.012, 0.010, 0.008, 0.005])[:, None],
        scalp=u(0.045, 0.085),
        padding=waves(rng, 1, 4, fall=1.0),
        skull=u(0.045, 0.075),
        ventricles=math.exp(normal(-0.05, 0.3)),
        atrophy=math.exp(normal(0, 0.3)),
        side=float(rng.choice((-1.0, 1.0))),
        lopsided=abs(normal(0, 0.25)),
        pitch=normal(0, 0.08),
        gland=u(0.05, 0.085),
        air=u(0.7, 1.2),
        orbit=normal(-0.02, 0.035),
        jitter=tuple(np.clip(normal(0, 1, 24), -2, 2).tolist()),
        folds=(waves(rng, 5, 14), waves(rng, 5, 14)),
        warp=tuple(waves(rng, 1, 12, fall=1.4) for _ in range(4)),
        fat=u(0.75, 1.05),
        white=white,
        grey=white * u(0.72, 0.88),
        fluid=u(0.08, 0.17),
        vessel=u(0.6, 0.95),
        marrow=u(0.08, 0.45),
        pose=Pose((0.5 + normal(0, 0.018), 0.5 + normal(0, 0.018)), u(0.36, 0.46), normal(0, 0.09)),
        gain=u(0.62, 1.05),
        gamma=u(0.85, 1.25),
        noise=u(0.012, 0.06),
        blur=u(0.4, 0.9),
        bias=waves(rng, 1, 2),
    )


def head_distance(anatomy: Anatomy, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Nearly the signed distance from the skin at height z; negative inside the head."""
    low = min(1.0, max(0.0, (0.15 - z) / 0.3))  # grows as the face comes into the slice
    size = max(0.15, 1 - (max(z - 0.22, 0) / 0.98) ** 2.3) ** 0.5 * (1 - 0.05 * low)
    a, b = anatomy.half_width * size, size
    narrow = anatomy.egg + 0.05 * low
    x = x / (a + a * narrow * y)
    y = y * (1 / b)
    rho = np.sqrt(x * x + y * y) + 1e-6
    turn = np.empty(rho.shape, np.complex64)
    turn.real, turn.imag = x / rho, y / rho
    power, swell = turn, np.ones_like(rho)
    for cosine, sine in anatomy.harmonics:
        power = power * turn
        swell += (power * np.complex64(cosine - 1j * sine)).real
    return (rho / swell - 1) * (a * b) ** 0.5


def cavity_distance(
    anatomy: Anatomy, x: np.ndarray, y: np.ndarray, z: float, head: np.ndarray | None = None
) -> np.ndarray:
    """Nearly the signed distance from the inside of the skull at height z; negative within.

    Below the brow it is the union of the two middle fossae and the posterior fossa; with
    height these swell until they fill the vault.
    head: `head_distance` of the same points, when it is at hand.
    """
    head = head_distance(anatomy, x, y, z) if head is None else head
    vault = head + (anatomy.scalp + anatomy.skull)
    if z > 0.42:
        return vault
    w = anatomy.half_width / 0.79
    j = [1 + 0.05 * liberty for liberty in anatomy.jitter[:4]]
    middle = ellipse(
        np.abs(x) - (0.40 * w),
        y + 0.13,
        (0.29 * w * j[0], 0.36 * j[1]),
        -0.25,
    )
    back = ellipse(x, y - 0.40, (0.62 * w * j[2], 0.52))
    stem = ellipse(x, y - 0.02, (0.30 * w, 0.26))
    floor = np.minimum(np.minimum(middle, back), stem) + (max(0.0, -z) * 0.35)
    # At the height of the orbital roofs the frontal lobes rise into the slice.
    front = ellipse(x, y + 0.45, (0.50 * w, 0.42 * j[3])) + (0.5 - 2.8 * z)
    swell = 1.1 * max(0.0, z - 0.06)
    return np.maximum(vault, np.minimum(floor, front) - swell)
