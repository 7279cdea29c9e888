"""The pictures of a benchmark: one split for all contestants, and phantoms where there are none."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.ours import quoted


def write_phantoms(folder: Path, patients: int, size_px: int) -> Path:
    """Generated slices as JPEG files: folder/Training and folder/Testing, a folder a class."""
    from PIL import Image

    from braintumor.data.sources.phantom import build

    source = build(patients, slices_per_patient=4, size_px=size_px, seed=0, test_share=0.25)
    for item in source.items:
        part = "Testing" if item.split == "test" else "Training"
        path = folder / part / item.label / f"{Path(item.path).name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.read(item)).save(path, quality=95)
    return folder


def lay_out(root: Path, limit: int | None, place: Path, env: Mapping[str, str]) -> dict[str, int]:
    """place/folder with train/, val/ and test/ as bt-train divides `root`: images of each.

    The files are links: every contestant reads the same ones. limit: as data.limit.
    Raises RuntimeError with what bt-data answered.
    """
    command = [
        sys.executable, "-c", "from braintumor.cli.data import main; main()",
        "data=folder", f"data.root={quoted(root)}", f"data.limit={limit or 'null'}",
        f"run_dir={quoted(place / 'data')}",
    ]  # fmt: skip
    environment = {**os.environ, **env, "BT_CACHE": str(place / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bt-data cannot read {root}: {done.stderr.strip()[-500:]}")
    counts: Counter[str] = Counter()
    with (place / "data" / "manifest.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if row["split"] not in ("train", "val", "test"):
                continue
            file_name = f"{number:06d}{Path(row['path']).suffix.lower()}"
            link = place / "folder" / row["split"] / row["label"] / file_name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / row["path"]).resolve())
            counts[row["split"]] += 1
    return {split: counts[split] for split in ("train", "val", "test")}
