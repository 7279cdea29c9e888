from __future__ import annotations

import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from braintumor.data.sources import Source
from braintumor.data.sources.kaggle import build
from braintumor.errors import DataError

HANDLE, PAGE = "owner/set", "https://example.org/owner/set"


def open_at(root: Path | None, download: bool = False) -> Source:
    return build(HANDLE, PAGE, root, download)


@pytest.fixture
def kagglehub(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for the package; tests say what its download does."""
    module = types.ModuleType("kagglehub")
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


def test_images_under_root_need_no_download(make_tree: Callable[..., Path]) -> None:
    root = make_tree("Training/no/1.png", "Training/yes/1.png")
    assert len(open_at(root).items) == len(open_at(root, download=True).items) == 2


def test_one_archive_under_root_is_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        file.writestr("no/1.png", b"x")
        file.writestr("yes/1.png", b"x")
    assert len(open_at(tmp_path).items) == len(open_at(tmp_path / "archive.zip").items) == 2


def test_without_images_the_three_ways_are_named(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as caught:
            open_at(root)
        for word in (PAGE, str(root), "data.root=FOLDER", "data.download=true"):
            assert word in str(caught.value)


def test_download_opens_what_was_fetched(
    kagglehub: types.ModuleType, make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    fetched = make_tree("no/1.png", "yes/1.png")
    asked = []
    kagglehub.dataset_download = lambda handle: asked.append(handle) or str(fetched)  # type: ignore[attr-defined]
    assert len(open_at(tmp_path / "nowhere", download=True).items) == 2
    assert asked == [HANDLE]


def test_failed_download_says_how_to_do_it_by_hand(
    kagglehub: types.ModuleType, tmp_path: Path
) -> None:
    def fail(handle: str) -> str:
        raise ConnectionError("no route\nto host")

    kagglehub.dataset_download = fail  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no route to host") as caught:
        open_at(tmp_path, download=True)
    assert PAGE in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DataError, match=r'pip install "braintumor\[download\]"'):
        open_at(tmp_path, download=True)
