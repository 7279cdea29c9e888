"""Images are known again by what they hold and by their class, whatever their names."""

from __future__ import annotations

import pandas as pd

from braintumor.data.moved import find_images


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "sha256", "label"])


def test_an_image_under_another_class_is_not_the_same() -> None:
    before = table(("a.png", "1", "glioma"), ("b.png", "2", "glioma"))
    found = find_images(before, table(("x.png", "1", "no_tumor"), ("y.png", "2", "glioma")))
    assert found.rows.tolist() == [-1, 1]
    assert (found.missing, found.new) == (("a.png",), ("x.png",))
    assert "1 are not there, or of another class (a.png)" in found.differences


def test_equal_images_are_told_apart_by_their_number() -> None:
    before = table(("a.png", "1", "glioma"), ("b.png", "1", "glioma"))
    found = find_images(before, table(("x.png", "1", "glioma")))
    assert (found.rows.tolist(), found.missing) == ([0, -1], ("b.png",))
