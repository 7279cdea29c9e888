"""A heat map over its slice: plain where there is no heat, the same by either way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from braintumor.report.plots.pictures import heat_layer, overlay


def test_layer_is_clear_without_heat_and_covers_seven_tenths_at_most() -> None:
    layer = heat_layer(np.array([[0, 1], [np.nan, 2]], np.float32))
    assert layer.dtype == np.uint8 and layer.shape == (2, 2, 4)
    assert layer[..., 3].tolist() == [[0, 184], [0, 184]]  # 0.72 of 255
    # the hottest colour of plasma is (0.940, 0.975, 0.131)
    assert layer[0, 1, :3].tolist() == pytest.approx([240, 249, 33], abs=1)


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
def test_overlay_is_what_a_viewer_makes_of_slice_and_layer(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, shape, dtype=np.uint8)
    heat = random.random((16, 16), dtype=np.float32)
    picture = Image.fromarray(image).convert("RGBA")
    expected = Image.alpha_composite(picture, Image.fromarray(heat_layer(heat)))
    difference = np.asarray(expected)[..., :3].astype(int) - overlay(image, heat)
    assert np.abs(difference).max() <= 1


def test_cells_are_drawn_as_coarse_as_they_are():
    """Two cells over eight pixels: two colours, with one edge in the middle."""
    image = np.full((8, 8), 100, np.uint8)
    mixed = overlay(image, np.array([[1.0, 0.2]], np.float32)).astype(int)
    assert (mixed == mixed[:1]).all()
    steps = np.abs(np.diff(mixed[0], axis=0)).sum(axis=1)
    assert np.flatnonzero(steps).tolist() == [3]
