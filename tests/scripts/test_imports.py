"""What the scripts import is there, also what they import late."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").rglob("*.py"))
OURS = ("braintumor", "foreign")  # the latter of tests/


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_name_that_a_script_imports_exists(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    missing = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            missing += [
                name.name for name in node.names if not _exists(str(node.module), name.name)
            ]
    assert missing == []


def _exists(module: str, name: str) -> bool:
    is_inside = hasattr(importlib.import_module(module), name)
    return is_inside or importlib.util.find_spec(f"{module}.{name}") is not None
