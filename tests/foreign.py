"""Pictures that are no brain MRI, made by code: what a reject rule must turn away.

Each maker takes a random generator and the side S in px and gives uint8 (S, S, 3).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import fft

# N pictures, S side in px

Maker = Callable[[np.random.Generator, int], np.ndarray]


def make_foreign(kind: str, count: int, size_px: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, S, S, 3) of one kind of FOREIGN; a function of its arguments alone."""
    random = np.random.default_rng([seed, *kind.encode()])
    return np.stack([FOREIGN[kind](random, size_px) for _ in range(count)])


def upside_down(images: np.ndarray) -> np.ndarray:
    """The slices on their heads, as a viewer may export them: uint8 (N, S, S[, 3])."""
    return images[:, ::-1].copy()


def photograph(random: np.random.Generator, size_px: int) -> np.ndarray:
    """A landscape in colour: sky, sun, hills and houses under 1/f texture."""
    sky, haze = random.uniform(90, 255, 3), random.uniform(120, 255, 3)
    down = np.linspace(0, 1, size_px)[:, None, None]
    paper = np.broadcast_to(sky + (haze - sky) * down, (size_px, size_px, 3))
    picture = Image.fromarray(paper.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y, radius = random.uniform(0, 1, 3) * (size_px, size_px / 3, size_px / 8)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 244, 200))
    for depth in np.sort(random.uniform(0.3, 0.9, 4)):
        line = depth * size_px + 0.1 * size_px * _texture(random, size_px, 2.0)[0]
        hill = [(0, size_px), *enumerate(line.tolist()), (size_px, size_px)]
        draw.polygon(hill, fill=_colour(random, 20, 200))
    for _ in range(random.integers(0, 4)):
        x, y, side = random.uniform(0, 0.8), random.uniform(0.5, 0.9), random.uniform(0.05, 0.25)
        box = np.array([x, y, x + side, y + side]) * size_px
        draw.rectangle(box.tolist(), fill=_colour(random, 40, 255))
    grain = random.uniform(8, 30) * _texture(random, size_px, 1.0)
    return _bytes(np.asarray(picture, dtype=np.float32) + grain[..., None])


def grey_photograph(random: np.random.Generator, size_px: int) -> np.ndarray:
    """The same without colour."""
    return _three(np.asarray(Image.fromarray(photograph(random, size_px)).convert("L")))


def chest_x_ray(random: np.random.Generator, size_px: int) -> np.ndarray:
    """A frontal chest: two dark lungs, a bright spine and heart, ribs across, shoulders."""
    y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
    x, y = x + random.uniform(-0.08, 0.08), y + random.uniform(-0.08, 0.08)
    wide, high = random.uniform(0.24, 0.32), random.uniform(0.55, 0.7)
    body = 150 * _soft(random.uniform(0.85, 1.0) - np.abs(x) + 0.25 * np.minimum(y, 0))
    lungs = sum(_soft(1 - ((x - s * 0.4) / wide) ** 2 - (y / high) ** 2, 0.08) for s in (-1, 1))
    ribs = _soft(np.cos(random.uniform(18, 26) * (y + 0.5 * x**2)) - 0.2, 0.25) * (np.abs(x) > 0.1)
    spine = _soft(0.09 - np.abs(x), 0.02)
    heart = _soft(1 - ((x - 0.14) / 0.3) ** 2 - ((y - 0.3) / 0.3) ** 2, 0.15)
    picture = body - 110 * lungs * (1 - 0.8 * heart) + 28 * ribs * lungs + 60 * spine + 35 * heart
    picture += 6 * _texture(random, size_px, 1.0) + random.normal(0, 3, x.shape)
    return _three(_bytes(picture * random.uniform(0.8, 1.2)))


def uniform_noise(random: np.random.Generator, size_px: int) -> np.ndarray:
    """Every grey level equally often, each pixel for itself."""
    return _three(random.integers(0, 256, (size_px, size_px), dtype=np.uint8))


def gaussian_noise(random: np.random.Generator, size_px: int) -> np.ndarray:
    """A detector without a patient: grey with noise, of any mean and strength."""
    mean, deviation = random.uniform(20, 200), random.uniform(10, 60)
    return _three(_bytes(random.normal(mean, deviation, (size_px, size_px))))


def blank(random: np.random.Generator, size_px: int) -> np.ndarray:
    """One level of grey all over; black and white among them."""
    level = random.choice([0, 255, random.integers(0, 256)])
    return np.full((size_px, size_px, 3), level, dtype=np.uint8)


def gradient(random: np.random.Generator, size_px: int) -> np.ndarray:
    """Grey that rises in one direction."""
    angle, (low, high) = random.uniform(0, 2 * np.pi), np.sort(random.uniform(0, 255, 2))
    y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
    rise = (x * np.cos(angle) + y * np.sin(angle)) / 2.83 + 0.5
    return _three(_bytes(low + (high - low) * rise))


def text_page(random: np.random.Generator, size_px: int) -> np.ndarray:
    """Black words on white paper, in lines."""
    picture = Image.new("L", (4 * size_px, 4 * size_px), int(random.integers(230, 256)))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(random.uniform(28, 60))
    step = font.getbbox("Ag")[3] * 1.3
    for line in range(int(4 * size_px / step)):
        words = ("".join(_letters(random)) for _ in range(random.integers(0, 20)))
        draw.text((0.2 * size_px, line * step), " ".join(words), fill=20, font=font)
    return _three(np.asarray(picture.resize((size_px, size_px), Image.Resampling.BOX)))


FOREIGN: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        photograph, grey_photograph, chest_x_ray, uniform_noise, gaussian_noise, blank, gradient,
        text_page,
    )
}  # fmt: skip


def _texture(random: np.random.Generator, size_px: int, steepness: float) -> np.ndarray:
    """Noise whose amplitude falls as 1 / frequency**steepness: mean 0, deviation 1, (S, S)."""
    u, v = fft.fftfreq(size_px)[:, None], fft.rfftfreq(size_px)[None, :]
    radius = np.hypot(u, v)
    radius[0, 0] = np.inf
    spectrum = fft.rfft2(random.normal(size=(size_px, size_px))) / radius**steepness
    field = fft.irfft2(spectrum, s=(size_px, size_px))
    return field / field.std()


def _soft(field: np.ndarray, edge: float = 0.03) -> np.ndarray:
    """1 where the field is positive, 0 where negative, with a soft edge."""
    return 1 / (1 + np.exp(-np.clip(field / edge, -30, 30)))


def _letters(random: np.random.Generator) -> list[str]:
    alphabet = list("etaoinshrdlucmfwypvbgkjqxz")
    return random.choice(alphabet[: random.integers(8, 26)], random.integers(1, 11)).tolist()


def _colour(random: np.random.Generator, low: int, high: int) -> tuple[int, ...]:
    return tuple(random.integers(low, high, 3).tolist())


def _bytes(picture: np.ndarray) -> np.ndarray:
    return picture.clip(0, 255).astype(np.uint8)


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)
