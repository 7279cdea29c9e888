"""docs/quickstart.ipynb runs from top to bottom in an empty folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"
SHORTER = {
    '"patients": 140, "image_size": 96': '"patients": 24, "image_size": 64',
    '"epochs": 12': '"epochs": 2',
}


@pytest.mark.slow
def test_the_quickstart_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs"
    for cell in notebook.cells:  # fewer pictures and epochs; every line is run
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
    assert all(short in str(notebook.cells) for short in SHORTER.values())
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    said = {
        kind: [o for cell in notebook.cells for o in cell.get("outputs", []) if kind in str(o)]
        for kind in ("image/png", "text/html", "epoch 2/2", "report: runs/first")
    }
    assert all(said.values()), said.keys()
    errors = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert not any("Traceback" in str(o) or "Warning" in str(o) for o in errors)
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "comparison"}
