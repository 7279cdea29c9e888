from __future__ import annotations

import numpy as np
import pandas as pd

from braintumor.report.plots.pictures import choose_pairs, draw_copies
from braintumor.report.plots.style import to_png


def pair(a: int, b: int, **facts: object) -> dict[str, object]:
    usual = {
        "path_a": f"{a}.png",
        "path_b": f"{b}.png",
        "kind": "same picture",
        "correlation": 0.95,
        "same_label": True,
        "label_a": "glioma",
        "label_b": "glioma",
        "split_a": "train",
        "split_b": "train",
        "crosses_test": False,
    }
    return usual | facts


def _manifest(*paths: str) -> pd.DataFrame:
    return pd.DataFrame({"path": paths, "label": "glioma"})


def test_contradictions_come_first_then_leaks_then_the_least_alike() -> None:
    table = pd.DataFrame(
        [
            pair(0, 1, correlation=0.99),
            pair(2, 3, correlation=0.88),
            pair(4, 5, split_b="test", crosses_test=True),
            pair(6, 7, same_label=False, label_b="no_tumor"),
        ]
    )
    assert choose_pairs(table)["path_a"].tolist() == ["6.png", "4.png", "2.png", "0.png"]


def test_at_most_24_pairs_and_none_twice() -> None:
    table = pd.DataFrame([pair(i, 100 + i, crosses_test=i % 2 == 0) for i in range(40)])
    chosen = choose_pairs(table)
    assert len(chosen) == 24
    assert chosen["path_a"].is_unique


def test_picture_shows_both_images_of_a_pair() -> None:
    images = np.zeros((2, 8, 8), np.uint8)
    images[1] = 200
    figure = draw_copies(images, _manifest("0.png", "1.png"), pd.DataFrame([pair(0, 1)]))
    (shown,) = figure.axes[0].images
    left, right = np.split(np.asarray(shown.get_array()), 2, axis=1)
    assert left.max() == 0
    assert right.min() == 200


def test_no_copies_is_said() -> None:
    none = choose_pairs(pd.DataFrame([pair(0, 1)]).head(0))
    figure = draw_copies(np.zeros((1, 8, 8), np.uint8), _manifest("0.png"), none)
    assert figure.texts[0].get_text() == "No copies"
    assert to_png(figure).startswith(b"\x89PNG")
