"""Run the transcripts of docs/*.md and write what the commands answer: scripts/guides.py [FILE …].

With --inputs FOLDER only make the folder that their commands are typed in.

A transcript is a ```console block: lines that begin with "$ " are commands, the rest is what they
print. The commands of a page run in one folder, which holds small pictures under the names that the
guides use. tests/test_guides.py runs them too and compares; there times may differ.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from braintumor.data.sources import Item
from braintumor.data.sources.phantom import build

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.M | re.S)
_BAR = re.compile(r".*\r")  # a progress bar that was overwritten


def make_inputs(folder: Path) -> None:
    """Pictures of phantoms as folders, as named files with a table, and without labels."""
    for item in (other := _phantoms(patients=8, seed=1)).items:
        _save(other, item, folder, f"elsewhere/{item.label}")
    source, rows = _phantoms(patients=24, seed=0), []
    for item in source.items:
        split = {"train": "Training", "test": "Testing"}[str(item.split)]
        yes_no = "no" if item.label == "no_tumor" else "yes"
        places = [f"mri/{split}/{item.label}", f"named/{item.label}", f"yes_no/{yes_no}"]
        places += ["scans"] if item.path.endswith("s1") and item.split == "test" else []
        _save(source, item, folder, *places)
        rows.append(f"{item.label}/{Path(item.path).name},{item.label},{item.patient}")
    _save(source, source.items[-1], folder, "yes_no/pred")
    (folder / "list.csv").write_text("\n".join(["path,label,PatientID", *rows]) + "\n")


def _phantoms(patients: int, seed: int) -> Any:
    return build(patients=patients, slices_per_patient=2, size_px=64, seed=seed, test_share=0.25)


def _save(source: Any, item: Item, folder: Path, *places: str) -> None:
    picture = Image.fromarray(source.read(item))
    for place in places:
        (folder / place).mkdir(parents=True, exist_ok=True)
        picture.save(folder / place / f"{Path(item.path).name}.png")


def answered(page: str, folder: Path) -> str:
    """The page with what its commands print now, run in the folder."""

    def run_block(block: re.Match[str]) -> str:
        commands = [line[2:] for line in block[0].splitlines() if line.startswith("$ ")]
        return "".join(f"$ {command}\n{_run(command, folder)}" for command in commands)

    return _BLOCK.sub(run_block, page)


def _run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # long sentences are wrapped as on a terminal
    env = os.environ | {"PATH": path, "BT_CACHE": f"{folder}/.cache", "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-c", f"{command} 2>&1"],
        cwd=folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = (_BAR.sub("", line) for line in done.stdout.splitlines())
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())


def main() -> None:
    if sys.argv[1:2] == ["--inputs"]:
        if len(sys.argv) != 3 or Path(sys.argv[2]).exists():
            sys.exit("error: name a new folder: scripts/guides.py --inputs FOLDER")
        make_inputs(Path(sys.argv[2]))
        return
    for file in map(Path, sys.argv[1:] or sorted(DOCS.glob("*.md"))):
        with tempfile.TemporaryDirectory() as folder:
            make_inputs(Path(folder))
            file.write_text(answered(file.read_text(encoding="utf-8"), Path(folder)))


if __name__ == "__main__":
    main()
