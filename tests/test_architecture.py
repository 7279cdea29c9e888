"""The house rules, read from the source: floors, islands, who may see torch, configs."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "braintumor"
MODULES = sorted(SOURCE.rglob("*.py"))

# a module may import from its own floor and from lower ones
FLOORS = [
    {"errors"},
    {"records", "files", "settings", "runtime"},
    {"data", "models"},
    {"runs"},
    {"training"},
    {"evaluation"},
    {"deploy"},
    {"cli"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# without torch: what answers before work starts, and what reads only predictions
TORCH_FREE = [
    "errors.py", "records.py", "files.py", "settings.py", "runs/folder.py",
    "data/images.py", "data/labels.py", "data/manifest.py", "data/dataset.py", "data/split.py",
    "data/audit.py", "data/copies.py", "data/findings.py", "data/blank.py", "data/folds.py",
    "data/decoded.py", "data/shelf.py", "data/kept.py", "data/reading.py",
    "data/sources", "evaluation/metrics.py", "evaluation/evidence.py", "evaluation/compare.py",
    "evaluation/trust.py", "evaluation/contamination.py", "evaluation/floors.py",
    "evaluation/matrix.py", "evaluation/pool.py", "evaluation/plots", "evaluation/report",
    "evaluation/intervals.py", "evaluation/calibration.py", "evaluation/decisions.py",
    "evaluation/outliers.py", "evaluation/comparison", "evaluation/paired.py",
    "evaluation/paired_bootstrap.py", "evaluation/bootstrap.py", "evaluation/decision_summary.py",
]  # fmt: skip


@functools.cache
def imports_of(path: Path, *, top_level: bool = False) -> set[str]:
    """Dotted names that a file imports; only those that importing it executes, if top_level."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(ast.walk(node))
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped.update(ast.walk(node))
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room_of(path: Path) -> str:
    part = path.relative_to(SOURCE).parts[0]
    return part.removesuffix(".py")


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downward(path: Path) -> None:
    own = room_of(path)
    if own == "__init__":
        return
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "braintumor" or len(parts) < 2 or parts[1] not in FLOOR_OF:
            continue
        other = parts[1]
        assert FLOOR_OF[other] <= FLOOR_OF[own], f"{name_of(path)} imports {name}, a floor above"
        if {own, other} == {"data", "models"}:
            pytest.fail(f"{name_of(path)} imports {name}: data and models are islands")


def test_rooms_right_of_the_predictions_never_reach_torch() -> None:
    """Followed through our own modules, at import time."""
    files = [p for name in TORCH_FREE for p in _files(SOURCE / name)]
    assert len(files) > 20
    for path in files:
        chain = _way_to_torch(path, ())
        assert not chain, " -> ".join(chain)


def test_nothing_in_a_config_is_executed() -> None:
    forbidden = re.compile(
        r"_target_|hydra\.utils|weights_only=False|allow_pickle=True|except:\s*$"
    )
    for path in [*MODULES, *(ROOT / "configs").rglob("*.yaml")]:
        found = forbidden.search(path.read_text())
        assert not found, f"{path}: {found.group() if found else ''}"


@pytest.mark.parametrize("group", ["attention", "backbone"])
def test_every_model_config_names_a_module(group: str) -> None:
    folder = {"attention": "attention", "backbone": "backbones"}[group]
    modules = {p.stem for p in (SOURCE / "models" / folder).glob("[!_]*.py")}
    for config in (ROOT / "configs" / "model" / group).glob("*.yaml"):
        name = re.search(r"^name:\s*(\S+)", config.read_text(), re.MULTILINE)
        assert name, config
        assert name.group(1) in modules, config


def test_every_data_config_names_a_source() -> None:
    modules = {p.stem for p in (SOURCE / "data" / "sources").glob("[!_]*.py")}
    for config in (ROOT / "configs" / "data").glob("[!_]*.yaml"):
        name = re.search(r"^name:\s*(\S+)", config.read_text(), re.MULTILINE)
        assert name, config
        assert name.group(1) in modules, config


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _way_to_torch(path: Path, seen: tuple[str, ...]) -> tuple[str, ...]:
    """The chain of our modules from this file to an import of torch; empty when there is none."""
    if name_of(path) in seen:
        return ()
    seen = (*seen, name_of(path))
    for name in sorted(imports_of(path, top_level=True)):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            return (*seen, name)
        if name.startswith("braintumor."):
            for target in _executed_by(name):
                chain = _way_to_torch(target, seen)
                if chain:
                    return chain
    return ()


def _executed_by(name: str) -> list[Path]:
    """Files that importing this dotted name executes: packages on the way, and the module."""
    files, folder = [], SOURCE
    for part in name.split(".")[1:]:
        files += [p for p in (folder / f"{part}.py", folder / part / "__init__.py") if p.is_file()]
        folder /= part
    return files
