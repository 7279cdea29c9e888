"""The house rules, read from the source: floors, islands, who may see torch, configs."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "braintumor"
MODULES = sorted(SOURCE.rglob("*.py"))

# a module may import from its own room and from floors below; rooms of one floor are islands
FLOORS = [
    {"errors", "_version"},
    {
        "records", "files", "config", "quoting", "places", "privacy", "limits", "machine", "ranges",
        "runtime", "interrupts", "cache", "cache_folder", "progress", "eager",
    },
    {"data", "models", "statistics"},
    {"runs"},
    {"training", "jobs"},
    {"evaluation"},
    {"report"},
    {"comparison", "tuning"},
    {"workflows"},
    {"cli"},
]  # fmt: skip
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
OPEN_FLOOR = 1  # its modules may import one another

# without torch: what answers before work starts, and what reads only predictions
TORCH_FREE = [
    "errors.py", "limits.py", "ranges.py", "records.py", "files.py", "config.py", "privacy.py",
    "cache.py", "cache_folder.py", "runs/folder.py", "statistics",
    "report", "comparison", "tuning", "data/images.py", "data/labels.py", "data/names.py",
    "data/signatures.py", "data/manifest.py",
    "data/dataset.py", "data/split.py", "data/audit.py", "data/duplicates.py",
    "data/decoded.py", "data/reading.py", "data/sources",
    "evaluation/record.py", "evaluation/leakage.py", "evaluation/provenance.py",
    "evaluation/baselines.py", "workflows/arguments.py", "workflows/compose.py",
    "workflows/compare.py", "workflows/data.py", "workflows/explore.py", "workflows/results.py",
    "cli",
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
        if parts[0] != "braintumor":
            continue
        # the package itself is the face of `workflows`: what it offers is taken where it is made
        assert len(parts) > 1 and parts[1] in FLOOR_OF, f"{name_of(path)} imports {name}"
        floor, other = FLOOR_OF[own], FLOOR_OF[parts[1]]
        assert other <= floor, f"{name_of(path)} imports {name}, a floor above"
        if other == floor != OPEN_FLOOR and parts[1] != own:
            pytest.fail(f"{name_of(path)} imports {name}: {own} and {parts[1]} are islands")


def test_no_circle_between_files() -> None:
    """Also not through imports inside functions."""
    assert not circle_in({name_of(p): {name_of(q) for q in _imported(p)} for p in MODULES})


FOLDERS = sorted({p.parent for p in MODULES})


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_no_circle_between_what_lies_in_a_folder(folder: Path) -> None:
    """A folder and its own sub-folders apart: of those, each counts as one."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        if folder in path.parents and path.name != "__init__.py":
            targets = [q for q in _imported(path) if folder in q.parents]
            own = path.relative_to(folder).parts[0]
            graph.setdefault(own, set()).update(q.relative_to(folder).parts[0] for q in targets)
    for name, targets in graph.items():
        targets -= {name, "__init__.py"}
    assert not circle_in(graph)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Names that import one another, the first again at the end; empty when there are none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    found = circle_in({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()})
    assert set(found) == {"a", "b", "c"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_has_more_than_seven_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            args = node.args
            names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
            names = [name for name in names if name not in ("self", "cls")]
            assert len(names) <= 7, f"{name_of(path)}:{node.lineno} {node.name}: {names}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_an_import_inside_a_function_has_its_reason_beside_it(path: Path) -> None:
    """In a comment on the line, or above the first of several."""
    lines = path.read_text().splitlines()
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    inside = {
        node.lineno: node.end_lineno or node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    ends = set(inside.values())
    for first, last in inside.items():
        begin = first
        while begin - 1 in ends or not lines[begin - 2].strip():  # others right above it
            begin = next((a for a, b in inside.items() if b == begin - 1), begin - 1)
        said = [lines[begin - 2], *lines[begin - 1 : last]]
        assert any("# " in line for line in said), f"{name_of(path)}:{first}: why not on top?"


def test_rooms_right_of_the_predictions_never_reach_torch() -> None:
    """Followed through our own modules, at import time."""
    files = [p for name in TORCH_FREE for p in _files(SOURCE / name)]
    assert len(files) > 20
    clear: set[Path] = set()
    for path in files:
        chain = _way_to_torch(path, clear)
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


def _imported(path: Path) -> set[Path]:
    """Our own files that a file imports by name."""
    found = set()
    for name in imports_of(path):
        if name.startswith("braintumor."):
            files = _executed_by(name)
            found |= {files[-1]} if files else set()
    return found - {path}


def _way_to_torch(path: Path, clear: set[Path]) -> tuple[str, ...]:
    """The chain of our modules from this file to an import of torch; empty when there is none.

    clear: files that were followed already.
    """
    if path in clear:
        return ()
    clear.add(path)
    for name in sorted(imports_of(path, top_level=True)):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            return (name_of(path), name)
        if name.startswith("braintumor."):
            for target in _executed_by(name):
                if chain := _way_to_torch(target, clear):
                    return (name_of(path), *chain)
    return ()


def _executed_by(name: str) -> list[Path]:
    """Files that importing this dotted name executes: packages on the way, and the module."""
    files, folder = [], SOURCE
    for part in name.split(".")[1:]:
        files += [p for p in (folder / f"{part}.py", folder / part / "__init__.py") if p.is_file()]
        folder /= part
    return files
