"""One part of every picture made black: the frame around the head, or all but that frame.

A model that reads the brain keeps its accuracy without the frame and loses it without the centre;
one that reads how the picture was cut, scaled or lettered does the opposite.
"""

from __future__ import annotations

import numpy as np

from braintumor.errors import ConfigError

# M images, S side in px

# Of the side, on each of the four: 18 px of 224. Skull, neck and lettering reach into that frame,
# a tumour hardly ever does. The floor "outer rim only" reads this very frame.
RIM_SHARE = 0.08


def occlude_rim(images: np.ndarray, share: float) -> np.ndarray:
    """A copy whose outer frame, `rim_px(S, share)` wide, is black; the centre stays.

    images: uint8 (M, S, S) or (M, S, S, 3).  share: width of the frame, of S, in (0, 0.5).
    Raises ConfigError when that would leave no centre.
    """
    rim = rim_px(images.shape[1], share)
    blanked = np.zeros_like(images)
    blanked[:, rim:-rim, rim:-rim] = images[:, rim:-rim, rim:-rim]
    return blanked


def occlude_centre(images: np.ndarray, share: float) -> np.ndarray:
    """A copy of which the outer frame alone is left: all that `occlude_rim` keeps is black.

    Arguments and errors are those of blank_rim: the same share gives the other half of the
    question, and the two copies add up to the images. At share 0.08 the black square is 0.84 S
    wide, 71 % of the area.
    """
    rim = rim_px(images.shape[1], share)
    blanked = images.copy()
    blanked[:, rim:-rim, rim:-rim] = 0
    return blanked


def rim_px(side_px: int, share: float) -> int:
    """Width of the frame in px: share of the side, rounded, at least 1.

    Raises ConfigError when the frame would leave no centre.
    """
    rim = max(1, round(side_px * share))
    if not 0 < share < 0.5 or 2 * rim >= side_px:
        raise ConfigError(
            f"a frame of {share:g} of the side leaves no centre in a picture of {side_px} px; "
            "take a share between 0 and 0.5, such as 0.08, and a picture of 3 px or more"
        )
    return rim
