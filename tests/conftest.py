"""Fixtures that more than one room needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def nickparvar() -> Path:
    """Folder of the real images: Training/ and Testing/ with four classes each."""
    root = Path(os.environ.get("BT_NICKPARVAR", SHARED / "data" / "nickparvar"))
    if not (root / "Training").is_dir():
        pytest.skip(f"no real images at {root}; set BT_NICKPARVAR to the Nickparvar folder")
    return root


@pytest.fixture(scope="session")
def imagenet_weights() -> Path:
    """ImageNet weights of mobilenetv2_035, with their .json beside them."""
    default = SHARED / "weights" / "mobilenetv2_035_imagenet.safetensors"
    path = Path(os.environ.get("BT_WEIGHTS", default))
    if not path.is_file():
        pytest.skip(f"no weights at {path}; set BT_WEIGHTS to mobilenetv2_035_imagenet.safetensors")
    return path
