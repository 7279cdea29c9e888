"""Small image files and folders, made when a test asks for them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from braintumor.data.dataset import Dataset, read_dataset


def noise_image(name: str, mode: str = "L", size: tuple[int, int] = (12, 10)) -> Image.Image:
    """A picture of random pixels that depends on the name only."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    channels = () if mode == "L" else (len(mode),)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8))


@pytest.fixture
def image_bytes() -> Callable[..., bytes]:
    """image_bytes(name) -> the content of a PNG file."""

    def make(name: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        noise_image(name, **options).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture
def make_tree(tmp_path: Path, image_bytes: Callable[..., bytes]) -> Callable[..., Path]:
    """make_tree("a/1.png", "b/") -> a folder with those images and empty folders."""

    def make(*names: str, under: str = "root") -> Path:
        root = tmp_path / under
        root.mkdir(exist_ok=True)
        for name in names:
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image_bytes(name) if path.suffix == ".png" else b"not an image")
        return root

    return make


def section_of(preset: str, **changes: Any) -> dict[str, Any]:
    """A `data` section with the YAML defaults."""
    from omegaconf import OmegaConf

    from braintumor.config import config_dir

    def load(name: str) -> dict[str, Any]:
        file = config_dir() / "data" / f"{name}.yaml"
        return OmegaConf.to_container(OmegaConf.load(file))  # type: ignore[return-value]

    merged: dict[str, Any] = {}
    for name in (*load(preset)["defaults"], preset):
        merged |= load(name)
    merged.pop("defaults")
    return merged | changes


@pytest.fixture
def data_section() -> Callable[..., dict[str, Any]]:
    """data_section(name="folder", root=…) -> a `data` section with the YAML defaults."""
    return section_of


@pytest.fixture
def read() -> Callable[..., Dataset]:
    """read(root, size_px, key=value) -> the folder as a data set."""

    def read_folder(root: Path, size_px: int = 16, **changes: Any) -> Dataset:
        return read_dataset(section_of("folder", root=str(root), **changes), size_px)

    return read_folder


@pytest.fixture(scope="session")
def real_images(nickparvar: Path) -> Dataset:
    """All 7,019 at 32 px; to read them takes longer than most tests."""
    return read_dataset(section_of("folder", root=str(nickparvar)), 32)
