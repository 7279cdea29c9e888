"""Does a rebuilt tree do what the old one did? The same small commands in both, file by file.

    scripts/golden.py REVISION          # against the working tree; needs git, a few minutes of CPU

Equal must be: the list of files, weights and states bit for bit, metrics.json, predictions.csv and
all other tables (less times), the keys of config.yaml, and what the commands print (less times).
Reports and pictures are compared by their presence.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from safetensors.numpy import load_file

TINY = "debug=tiny data.patients=24 data.limit=null train.tensorboard=false eval.heatmaps=3"
MRI = "data=folder data.root=mri data.image_size=32 model.backbone.widths=[4,8] "
MRI += "train.tensorboard=false"
CASES = [
    f"bt-train {TINY} model=cnn_mhsa train.ema_decay=0.9 augment=strong train.refit=true "
    "train.max_epochs=2 run_dir=phantom",
    f"bt-train {MRI} model=cnn_se "
    "train.phases=[{epochs:2,trainable:head},{epochs:2,trainable:all,lr:1e-3}] loss=focal "
    "train.imbalance=class_weights scheduler=plateau eval.heatmaps=2 run_dir=folder",
    f"bt-train {MRI} model=cnn_cbam data.binary=true "
    "train.max_epochs=2 split=grouped folds=2 seeds=[0,1] "
    "eval.heatmaps=0 eval.examples=0 run_dir=folds",
    f"bt-train -m {MRI} model=cnn,cnn_se "
    "train.max_epochs=1 optimizer=sgd eval.heatmaps=0 "
    "eval.examples=0 hydra.sweep.dir=sweep",
    "bt-eval ckpt=phantom split=all",
    "bt-eval ckpt=phantom data=folder data.root=mri run_dir=other prevalence=0.1",
    "bt-eval ckpt=[phantom,folder] on=[mri,phantom] run_dir=matrix",
    "bt-predict ckpt=phantom input=mri/Testing run_dir=predicted overlays=3",
    "bt-data data=folder data.root=mri data.image_size=48 probe=true run_dir=data",
    "bt-compare runs=[sweep/0,sweep/1] resamples=200 run_dir=compared",
    "bt-train resume=phantom",
    "bt-train optimzer.lr=1",
]
# what a clock, a process or a place says
VOLATILE = re.compile(
    r"\d+\.\d+ ?s\b| *\d+ img/s|\d+(\.\d+)? MB|\d{4}-\d\d-\d\d[ _]\d\d[:-]\d\d([:-]\d\d(,\d+)?)?"
)
TIMES = (
    "seconds",
    "images_per_s",
    "created",
    "updated",
    "working_directory",
    "cwd",
    "git",
    "config_sources",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="such as HEAD~3: what the working tree is compared with")
    parser.add_argument(
        "--old", type=Path, help="keep what it gave here, and take it the next time"
    )
    asked = parser.parse_args()
    now = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as place:
        old, new = asked.old or Path(place) / "old", Path(place) / "new"
        if not old.is_dir():
            run_revision(asked.revision, now, Path(place) / "tree", old)
        run_all(now, new)
        found = list(differences(old, new))
    print(*found, f"{len(CASES)} commands, {len(found)} differences", sep="\n")
    sys.exit(bool(found))


def run_revision(revision: str, repository: Path, tree: Path, place: Path) -> None:
    """Run the commands of a commit in `place`."""
    git = ["git", "-C", str(repository), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
    try:
        run_all(tree, place)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def run_all(tree: Path, place: Path) -> None:
    """Run the commands of the tree in a folder of their own."""
    (place / "cache").mkdir(parents=True)
    draw_pictures(place / "mri")
    entries = tomllib.loads((tree / "pyproject.toml").read_text())["project"]["scripts"]
    env = os.environ | {
        "PYTHONPATH": str(tree / "src"), "BT_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for number, case in enumerate(CASES):
        name, *arguments = case.split()
        module, function = entries[name].split(":")
        code = f"import sys; sys.argv[0] = {name!r}; from {module} import {function} as f; f()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=place, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if "\r" not in line]
        (place / f"output_{number:02d}.txt").write_text("\n".join([*lines, f"{done.returncode}"]))
        print(f"{place.name}: {case[:90]} -> {done.returncode}", flush=True)


def draw_pictures(root: Path) -> None:
    """Three classes of squares on noise, with a copy across the split."""
    rng = np.random.default_rng(0)
    for split, count in (("Training", 24), ("Testing", 9)):
        for number, name in enumerate(("no_tumor", "glioma", "pituitary")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 90, (40, 40))
                pixels[8 + 6 * number : 22 + 6 * number, 10:24] += 50 * number
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    first = (root / "Training" / "glioma" / "0.png").read_bytes()
    (root / "Testing" / "glioma" / "copy.png").write_bytes(first)


def differences(old: Path, new: Path) -> Iterator[str]:
    """A line for each file that is in one tree alone, or says something else."""
    names = [{p.relative_to(tree) for p in tree.rglob("*") if is_kept(p)} for tree in (old, new)]
    yield from (f"- {name}: no longer written" for name in sorted(names[0] - names[1]))
    yield from (f"+ {name}: was not written" for name in sorted(names[1] - names[0]))
    for name in sorted(names[0] & names[1]):
        one, other = (content_of(tree, tree / name) for tree in (old, new))
        if not equal(one, other):
            yield f"! {name}: {first_difference(one, other)}"


def is_kept(path: Path) -> bool:
    return path.is_file() and "cache" not in path.parts and "mri" not in path.parts


def content_of(tree: Path, path: Path) -> Any:
    """What of a file in the tree must stay the same."""
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".ckpt":
        import torch

        return without_times(torch.load(path, weights_only=True))  # its history has seconds
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".yaml":
        return without_times(yaml.safe_load(path.read_text()))
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return table.drop(columns=[c for c in table if c in TIMES]).to_csv()
    if path.suffix in (".txt", ".log", ".md"):
        text = path.read_text().replace(str(tree.resolve()), "")
        return [" ".join(VOLATILE.sub("", line).split()) for line in text.splitlines()]
    return None


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and one != one:
        return bool(other != other)
    same = one == other
    return bool(same.all()) if hasattr(same, "all") else bool(same)


def first_difference(one: Any, other: Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        names = [k for k in [*one, *other] if k not in one or k not in other]
        names = names or [k for k in one if not equal(one[k], other[k])]
        key = names[0]
        both = key in one and key in other
        return f"{key}: {first_difference(one[key], other[key])}" if both else f"{key} is in one"
    if isinstance(one, list) and isinstance(other, list):
        pairs = [(a, b) for a, b in zip(one, other, strict=False) if not equal(a, b)]
        return f"{pairs[0][0]!r} | {pairs[0][1]!r}" if pairs else f"{len(one)} | {len(other)} lines"
    return f"{str(one)[:80]!r} | {str(other)[:80]!r}"


if __name__ == "__main__":
    main()
