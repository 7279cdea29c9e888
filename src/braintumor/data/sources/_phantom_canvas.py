"""The paper on which phantoms are drawn: coordinates, soft shapes, random textures.

# S picture side in px; h, w <= S the part of it that holds the head.
# Head units: half the length of the head is 1 (about 90 mm); x to the right of the picture,
# y to the back of the head, z up; (0, 0, 0) is the sella.
All fields are float32 (h, w). A mask is 0 outside, 1 inside, with an edge about a pixel wide.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

Box = tuple[slice, slice]
Point = tuple[float, float]

ALL: Box = (slice(None), slice(None))


@dataclass(frozen=True)
class Pose:
    """How the head lies in the picture; lengths as a share of the picture's side."""

    centre: Point  # of the head, (x, y) from the top left corner
    scale: float  # half the head's length
    angle: float  # radians, clockwise


class Canvas:
    """The part of a picture that holds the head, and the head coordinates of its pixels.

    image: what has been drawn, 0 (air) to about 1 (fat).
    window: where image lies in the whole picture.
    x0, y0: coordinates of the head as it is; skull, face and lesions live in these.
    x, y: the same, pulled out of shape by `displace`; soft tissue lives in these.
    edge: one pixel in head units.
    """

    def __init__(self, size_px: int, pose: Pose, half_width: float) -> None:
        self.size_px, self.pose = size_px, pose
        self.edge = 1.0 / (size_px * pose.scale)
        self._cos, self._sin = math.cos(pose.angle), math.sin(pose.angle)
        cos, sin = self._cos, abs(self._sin)
        long, wide = 1.06, half_width + 0.14  # with room for nose and ears
        self._bent = False
        rows, columns = (
            _cut(int(middle * size_px), int(half * pose.scale * size_px) + 1, size_px)
            for middle, half in (
                (pose.centre[1], long * cos + wide * sin),
                (pose.centre[0], wide * cos + long * sin),
            )
        )
        self.window, self._start = (rows, columns), (rows.start, columns.start)
        grid = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
        u = ((grid[columns] - pose.centre[0]) / pose.scale)[None, :]
        v = ((grid[rows] - pose.centre[1]) / pose.scale)[:, None]
        self.x0 = self._cos * u + self._sin * v
        self.y0 = self._cos * v - self._sin * u
        self.x, self.y = self.x0, self.y0
        self.image: np.ndarray = np.zeros(self.x0.shape, np.float32)

    def field(self, amplitudes: np.ndarray) -> np.ndarray:
        """`texture` of some waves on the pixels of the canvas."""
        return texture(amplitudes, self.size_px, self.window)

    def displace(self, dx: np.ndarray, dy: np.ndarray) -> None:
        """Shift where soft tissue is looked up, by fields in head units."""
        self.x, self.y = self.x + dx, self.y + dy
        self._bent = True

    def box(self, x: float, y: float, reach_x: float, reach_y: float) -> Box:
        """Pixels that show what is within reach of a point, wherever `displace` has put it."""
        height, width = self.image.shape
        row, column = self._pixel(x, y)
        stretch = 1.0
        if self._bent:
            # What stands at (x, y) in the book is found where pixel + displacement = (x, y).
            here = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            dx, dy = self.x[here] - self.x0[here], self.y[here] - self.y0[here]
            row, column = self._pixel(x - float(dx), y - float(dy))
            stretch = 1.35  # displacement differs over a length by less than a third of it
        unit = self.pose.scale * self.size_px
        reach_x, reach_y = 0.025 + stretch * reach_x, 0.025 + stretch * reach_y
        cos, sin = self._cos, abs(self._sin)
        return (
            _cut(row, int(unit * (cos * reach_y + sin * reach_x)) + 1, height),
            _cut(column, int(unit * (cos * reach_x + sin * reach_y)) + 1, width),
        )

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        scale, (middle_x, middle_y) = self.pose.scale, self.pose.centre
        row = middle_y + scale * (self._sin * x + self._cos * y)
        column = middle_x + scale * (self._cos * x - self._sin * y)
        return int(row * self.size_px) - self._start[0], int(column * self.size_px) - self._start[1]

    def paint(self, box: Box, mask: np.ndarray, value: float | np.ndarray) -> None:
        """Let `value` cover the picture where mask is 1."""
        under = self.image[box]
        under += mask * (value - under)

    def disc(
        self,
        x: float,
        y: float,
        radii: Point,
        value: float,
        angle: float = 0.0,
        *,
        opacity: float = 1.0,
        blur: float = 1.0,
    ) -> None:
        """Paint an ellipse of soft tissue; radii in head units, angle in radians, blur in px."""
        if min(radii) < 0.003:
            return
        reach = max(radii) + blur * self.edge
        box = self.box(x, y, reach, reach)
        distance = ellipse(self.x[box] - x, self.y[box] - y, radii, angle)
        self.paint(box, opacity * soft(distance, blur * self.edge), value)

    def stroke(
        self,
        start: Point,
        end: Point,
        widths: Point,
        value: float,
        *,
        opacity: float = 1.0,
        blur: float = 1.0,
    ) -> None:
        """Paint a tapering line of soft tissue; widths are its radii at the two ends."""
        if max(widths) < 0.003 or opacity < 0.05:
            return
        margin = max(widths) + blur * self.edge
        (x, y), (to_x, to_y) = start, end
        reach_x, reach_y = abs(to_x - x) / 2 + margin, abs(to_y - y) / 2 + margin
        box = self.box((x + to_x) / 2, (y + to_y) / 2, reach_x, reach_y)
        distance = taper(self.x[box], self.y[box], start, end, widths)
        self.paint(box, opacity * soft(distance, blur * self.edge), value)


def _cut(middle: int, half: int, length: int) -> slice:
    low = min(max(0, middle - half), length)
    return slice(low, max(low, min(middle + half + 1, length)))


def soft(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 where distance is negative, 0 where positive, a ramp of width `edge` between."""
    mask = distance * (-1 / edge)
    mask += 0.5
    np.maximum(mask, 0, out=mask)
    return np.minimum(mask, 1, out=mask)


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, smooth between (3t² - 2t³)."""
    t = soft(((low + high) / 2) - value, high - low)
    return t * t * (3 - 2 * t)


def span(z: float, middle: float, half: float) -> float:
    """Thickness, 0 to 1, of something round that reaches from middle - half to middle + half."""
    return float(max(0.0, 1 - ((z - middle) / half) ** 2) ** 0.5)


def ellipse(x: np.ndarray, y: np.ndarray, radii: Point, angle: float = 0.0) -> np.ndarray:
    """Nearly the signed distance from an ellipse about the origin; negative inside."""
    if angle:
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = cos * x + sin * y, cos * y - sin * x
    x, y = x * (1 / radii[0]), y * (1 / radii[1])
    return (np.sqrt(x * x + y * y) - 1) * (radii[0] * radii[1]) ** 0.5


def taper(x: np.ndarray, y: np.ndarray, start: Point, end: Point, widths: Point) -> np.ndarray:
    """Signed distance from a line whose radius goes from widths[0] to widths[1]."""
    dx, dy = end[0] - start[0], (end[1] - start[1])
    x, y = x - start[0], y - start[1]
    along = (x * dx + y * dy) / (dx * dx + dy * dy)
    along = np.minimum(np.maximum(along, 0), 1)
    x -= along * dx
    y -= along * dy
    return np.sqrt(x * x + y * y) - (widths[0] + along * (widths[1] - widths[0]))


def waves(rng: np.random.Generator, low: int, high: int, fall: float = 0.0) -> np.ndarray:
    """Random amplitudes of all waves with low to high periods across the picture.

    fall: amplitudes go with periods^-fall; the larger, the smoother.
    complex64 (2 high + 1, high + 1); `texture` turns them, or a mixture, into a field.
    """
    weights = _weights(low, high, fall)
    drawn = rng.standard_normal((2, *weights.shape), dtype=np.float32)
    drawn *= weights
    amplitudes = (drawn[0] + 1j * drawn[1]).astype(np.complex64)
    return amplitudes / np.sqrt(2 * np.sum(drawn * drawn))


@functools.cache
def _weights(low: int, high: int, fall: float) -> np.ndarray:
    ky = np.arange(-high, high + 1, dtype=np.float32)[:, None]
    kx = np.arange(high + 1, dtype=np.float32)[None, :]
    k = np.hypot(ky, kx)
    return np.where((k < low) | (k > high), 0, np.maximum(k, 1) ** (-fall))


def texture(amplitudes: np.ndarray, size_px: int, window: Box = ALL) -> np.ndarray:
    """The field of `waves`, alike at every size: mean 0, deviation about 1, one period wide.

    float32 (S, S), or what of it lies in the window.
    """
    high = min(amplitudes.shape[1] - 1, size_px // 2 - 1)
    cut = amplitudes.shape[1] - 1 - high
    kept = amplitudes[cut : amplitudes.shape[0] - cut, : high + 1]
    spectrum = np.zeros((size_px, high + 1), np.complex64)
    spectrum[: high + 1] = kept[high:]
    spectrum[-high:] = kept[:high]
    spectrum *= size_px * size_px
    rows, columns = window
    # One axis after the other: most columns of the spectrum are empty, so they are left out.
    lines = fft.ifft(spectrum, axis=0, workers=1)[rows]
    field: np.ndarray = fft.irfft(lines, n=size_px, axis=1, workers=1)[:, columns]
    return field
