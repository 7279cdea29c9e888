"""The frame and the centre: together the whole picture, apart nothing of each other."""

from __future__ import annotations

import numpy as np
import pytest

from braintumor.data.images import RIM_SHARE, occlude_centre, occlude_rim, rim_px
from braintumor.errors import ConfigError


@pytest.fixture(params=[(), (3,)], ids=["grey", "colour"])
def images(request: pytest.FixtureRequest) -> np.ndarray:
    """uint8 (4, 25, 25[, 3]) without a black pixel."""
    random = np.random.default_rng(0)
    return random.integers(1, 256, (4, 25, 25, *request.param), dtype=np.uint8)


def test_the_rim_goes_and_the_centre_stays(images: np.ndarray) -> None:
    blanked = occlude_rim(images, 0.08)  # 2 px of 25
    assert (blanked[:, 2:23, 2:23] == images[:, 2:23, 2:23]).all()
    for frame in (blanked[:, :2], blanked[:, 23:], blanked[:, :, :2], blanked[:, :, 23:]):
        assert not frame.any()


def test_what_one_keeps_the_other_blanks(images: np.ndarray) -> None:
    rim, centre = occlude_rim(images, 0.2), occlude_centre(images, 0.2)
    assert ((rim == 0) != (centre == 0)).all()
    assert (rim + centre == images).all()
    assert rim.dtype == centre.dtype == np.uint8


def test_the_images_themselves_are_left_alone(images: np.ndarray) -> None:
    before = images.copy()
    occlude_rim(images, 0.1)
    occlude_centre(images, 0.1)
    assert (images == before).all()


def test_the_width_of_the_frame_by_hand() -> None:
    assert rim_px(224, RIM_SHARE) == 18
    assert rim_px(96, RIM_SHARE) == 8
    assert rim_px(3, 0.01) == 1


@pytest.mark.parametrize(("side", "share"), [(224, 0.5), (224, 0.0), (224, -0.1), (2, 0.1)])
def test_a_frame_that_leaves_no_centre_is_refused(side: int, share: float) -> None:
    with pytest.raises(ConfigError, match=rf"leaves no centre in a picture of {side} px; take"):
        occlude_rim(np.zeros((1, side, side), np.uint8), share)
