"""The transcripts of docs/ are what the commands say, and every command of the docs is one."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TRANSCRIPTS = [page for page in PAGES if "```console" in page.read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def guides() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("guides")
    sys.path.remove(str(ROOT / "scripts"))


def without_times(page: str) -> str:
    """Seconds, speeds and sizes, which no two runs share, and the spaces that line them up."""
    return re.sub(r" +[\d.,]+ (s|img/s|MB)\b", r" … \1", page)


@pytest.mark.parametrize("page", TRANSCRIPTS, ids=lambda page: page.stem)
def test_a_transcript_is_what_the_commands_say(page: Path, guides: Any, tmp_path: Path) -> None:
    guides.make_inputs(tmp_path)
    text = page.read_text(encoding="utf-8")
    now = guides.answered(text, tmp_path)
    assert without_times(now) == without_times(text), "run scripts/guides.py and read the change"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_inputs_of_the_guides_can_be_made(
    guides: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["guides.py", "--inputs", str(tmp_path / "guides")])
    guides.main()
    names = {path.name for path in (tmp_path / "guides").iterdir()}
    assert {"mri", "elsewhere", "scans", "named", "yes_no", "list.csv"} == names
    with pytest.raises(SystemExit, match="name a new folder"):
        guides.main()


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
