"""Run the transcripts of docs/*.md and write what the commands answer: scripts/guides.py [FILE …].

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

from PIL import Image

from braintumor.data.sources.phantom import build

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.M | re.S)
_BAR = re.compile(r".*\r")  # a progress bar that was overwritten


def make_inputs(folder: Path) -> None:
    """Pictures of phantoms as folders, as named files with a table, and without labels."""
    source = build(patients=24, slices_per_patient=2, size_px=64, seed=0, test_share=0.25)
    rows = []
    for item in source.items:
        picture, name = Image.fromarray(source.read(item)), f"{Path(item.path).name}.png"
        split = {"train": "Training", "test": "Testing"}[str(item.split)]
        yes_no = "no" if item.label == "no_tumor" else "yes"
        places = [f"mri/{split}/{item.label}", f"named/{item.label}", f"yes_no/{yes_no}"]
        places += ["scans"] if name.endswith("s1.png") and item.split == "test" else []
        for place in places:
            (folder / place).mkdir(parents=True, exist_ok=True)
            picture.save(folder / place / name)
        rows.append(f"{item.label}/{Path(item.path).name},{item.label},{item.patient}")
    (folder / "yes_no/pred").mkdir()
    picture.save(folder / "yes_no/pred/1.png")
    (folder / "list.csv").write_text("\n".join(["path,label,PatientID", *rows]) + "\n")


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
    for file in map(Path, sys.argv[1:] or sorted(DOCS.glob("*.md"))):
        with tempfile.TemporaryDirectory() as folder:
            make_inputs(Path(folder))
            file.write_text(answered(file.read_text(encoding="utf-8"), Path(folder)))


if __name__ == "__main__":
    main()
