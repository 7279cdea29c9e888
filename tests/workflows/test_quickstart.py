"""docs/quickstart.ipynb runs from top to bottom in an empty folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_quickstart_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    said = {
        kind: [o for cell in notebook.cells for o in cell.get("outputs", []) if kind in str(o)]
        for kind in ("image/png", "text/html", "epoch 12/12", "report: runs/first")
    }
    assert all(said.values()), said.keys()
    errors = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert not any("Traceback" in str(o) or "Warning" in str(o) for o in errors)
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "comparison"}
