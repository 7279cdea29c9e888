"""Maps against places that are known."""

from __future__ import annotations

import numpy as np
import pytest

from braintumor.evaluation.heatmap_scores import (
    head_masks,
    pointing_hits,
    share_outside,
    spots_in_head,
    top_area_iou,
)

SIDE = 100


def at(row: int, column: int) -> np.ndarray:
    """A map with one hot pixel: float32 (1, S, S)."""
    heat = np.zeros((1, SIDE, SIDE), np.float32)
    heat[0, row, column] = 1
    return heat


def square(row: int, column: int, size: int) -> np.ndarray:
    mask = np.zeros((1, SIDE, SIDE), bool)
    mask[0, row : row + size, column : column + size] = True
    return mask


@pytest.mark.parametrize(
    ("row", "hit"),
    [(45, 1), (59, 1), (62, 1), (63, 0), (90, 0)],  # the lesion ends at row 59; 3 px are allowed
)
def test_pointing_hits_the_lesion_or_three_percent_beside_it(row: int, hit: int) -> None:
    assert pointing_hits(at(row, 45), square(40, 40, 20)).tolist() == [hit]


def test_an_empty_map_misses_and_a_slice_without_lesion_does_not_count() -> None:
    nothing, none = np.zeros((1, SIDE, SIDE), np.float32), np.zeros((1, SIDE, SIDE), bool)
    assert pointing_hits(nothing, square(0, 0, 20)).tolist() == [0]
    assert top_area_iou(nothing, square(0, 0, 20)).tolist() == [0]
    assert np.isnan(pointing_hits(at(1, 1), none)).all()
    assert np.isnan(top_area_iou(at(1, 1), none)).all()


@pytest.mark.parametrize(("shift", "iou"), [(0, 1), (5, 50 / 150), (10, 0)])
def test_iou_is_that_of_equal_areas(shift: int, iou: float) -> None:
    heat = square(20, 20, 10).astype(np.float32)  # 100 px, half of them shared at a shift of 5
    assert top_area_iou(heat, square(20, 20 + shift, 10))[0] == pytest.approx(iou)


def test_share_outside_weighs_by_heat() -> None:
    heat = 3 * square(0, 0, 10).astype(np.float32) + square(50, 50, 10)
    assert share_outside(heat, square(0, 0, 10))[0] == pytest.approx(0.25)
    assert np.isnan(share_outside(0 * heat, square(0, 0, 10))[0])
    assert np.isnan(share_outside(heat, np.zeros((1, SIDE, SIDE), bool))[0])


def head(bright: int, brain: int, colour: bool = False) -> np.ndarray:
    """A bright ring of radius 40 about brain with a black ventricle, over noise of air."""
    rows, columns = np.indices((SIDE, SIDE))
    away = np.hypot(rows - 50, columns - 45)
    image = np.random.default_rng(0).integers(0, 6, (SIDE, SIDE))
    image[away < 40] = bright
    image[away < 34] = brain
    image[away < 8] = 0
    picture = image.astype(np.uint8)[None]
    return np.repeat(picture[..., None], 3, axis=-1) if colour else picture


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("brain", [40, 120, 230])  # darker than fat, as T1 has it, and not
def test_head_is_found_with_what_is_dark_in_it(brain: int, colour: bool) -> None:
    rows, columns = np.indices((SIDE, SIDE))
    true = np.hypot(rows - 50, columns - 45) < 40
    found = head_masks(head(230, brain, colour))[0]
    assert (found & true).sum() / (found | true).sum() > 0.95


def test_an_open_rim_is_closed_and_lettering_is_no_head() -> None:
    image = head(230, 6)
    image[0, 48:54, :12] = 0  # a gap of 6 px in the ring, as wide as closing bridges
    image[0, 2:6, 80:98] = 255
    found = head_masks(image)[0]
    assert found[50, 45] and found[30, 40]
    assert not found[:8].any()


def test_a_picture_of_one_level_has_no_head() -> None:
    assert not head_masks(np.full((2, 30, 30), 7, np.uint8)).any()
    assert head_masks(np.zeros((0, 30, 30), np.uint8)).shape == (0, 30, 30)


def test_spot_is_in_the_middle_of_the_head_or_of_the_picture() -> None:
    spots = spots_in_head(np.concatenate([square(10, 20, 21), np.zeros((1, SIDE, SIDE), bool)]))
    assert np.unravel_index(spots[0].argmax(), (SIDE, SIDE)) == (20, 30)
    assert np.unravel_index(spots[1].argmax(), (SIDE, SIDE)) in [(49, 49), (49, 50), (50, 49)]
    # two standard deviations of 0.2 S to the right: e^-2
    assert spots[0][20, 70] == pytest.approx(np.exp(-2), abs=1e-6)
