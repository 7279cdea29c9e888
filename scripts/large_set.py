"""What a large data set costs: memory, and images/s of training beside a small one.

    python scripts/large_set.py --counts 5000 100000 --out benchmarks/large_set_cpu.md

Phantoms at 224 px (drawn at 96), five slices a patient: generated, searched for copies, kept in
the cache (five gigabytes for 100,000; BT_CACHE says where), then mobilenetv2_035 from random
weights trained in full on 3,200 of the training images, drawn from all over the set, through the
very code of bt-train, three epochs of which the median counts. A process a set, once with an empty
cache and then as often as --repeats says with what that left, small and large by turns.

    python scripts/large_set.py --disk FOLDER

What a cold disk costs, in two or three minutes: 40,000 pictures of noise are written to FOLDER
(2.7 GB, removed at the end), the system is told to forget them, and batches drawn from all over
are gathered alone (224 px) and trained on (mobilenetv2_035, 128 px); then the same ones again,
which are in memory by then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_IMAGES = 3200  # of the training split that one measurement trains on
_EPOCHS = 3  # of which the median counts
_SLICES = 5  # a patient
_DRAWN_PX = 96  # and enlarged: at 224 px to draw them would take three times as long

_ON_DISK = 40_000  # pictures of noise
_GATHERED, _TRAINED = 3200, 320  # of them in one measurement
_BATCH = 64
_TURNS = 3  # of which the median counts


def main() -> None:
    asked = _arguments()
    if asked.child:
        print(json.dumps(_measure(asked.child)))
        return
    if asked.disk:
        with tempfile.TemporaryDirectory(dir=asked.disk) as folder:
            _show(_disk_table(Path(folder)), asked.out)
        return
    rows: dict[int, list[dict[str, Any]]] = {count: [] for count in asked.counts}
    for turn in range(asked.repeats + 1):
        for count in asked.counts:
            rows[count].append(_in_child(count))
            print(f"{count:,} images, turn {turn}: {rows[count][-1]}", flush=True)
    _show(_table(rows), asked.out)


def _show(text: str, out: Path | None) -> None:
    print(text)
    if out:
        out.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[5000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_child(count: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(count: int) -> dict[str, Any]:
    """Seconds until the data is there, images/s of training, greatest memory of the process."""
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()
    import torch

    from braintumor.data.host_images import load_split
    from braintumor.training.loop import fit
    from braintumor.training.state import BestCheckpoint, FitState
    from braintumor.workflows.compose import compose
    from braintumor.workflows.setup import setup

    overrides = [
        "data=phantom", f"data.patients={count // _SLICES}", f"data.slices_per_patient={_SLICES}",
        f"data.size_px={_DRAWN_PX}", "data.image_size=224", "model=mobilenetv2_035",
        "model.backbone.weights=none", f"train.max_epochs={_EPOCHS}", "train.imbalance=none",
        "train.early_stopping.patience=null", "device=cpu",
    ]  # fmt: skip
    request = compose("train", overrides, {})
    started = time.perf_counter()
    work = setup(request.settings, "phantom")
    ready_s = time.perf_counter() - started
    rows = np.random.default_rng(0).permutation(work.rows("train"))[:_IMAGES]
    paths = tuple(work.data.manifest["path"])
    train = load_split(work.data.pixels, work.labels, paths, rows, torch.device("cpu"))
    state = FitState(work.model, BestCheckpoint(work.recipe.train.early_stopping))
    rates = [epoch.images_per_s for epoch in fit(state, train, None, work.recipe, work.augment)]
    return {
        "images": len(work.data.manifest),
        "ready_s": round(ready_s, 1),
        "audit_s": work.data.audit.seconds if work.data.audit else None,
        "images_per_s": round(statistics.median(rates), 1),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def _table(rows: dict[int, list[dict[str, Any]]]) -> str:
    import torch

    lines = [
        "# A large data set",
        "",
        f"`{' '.join(['python', *sys.argv])}`; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.processor() or platform.machine()}.",
        "Memory is the greatest resident size of the process, pages of the mapped pictures "
        "included; the first time is with an empty cache.",
        "",
        "| images | first time, s | of it copies, s | memory then, GB | later, s | memory, GB "
        "| training, img/s | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    base = None
    for content in rows.values():
        first, later = content[0], content[1:] or content
        rate = statistics.median(row["images_per_s"] for row in later)
        base = base or rate
        lines.append(
            f"| {first['images']:,} | {first['ready_s']:.0f} | {first['audit_s']:.0f} "
            f"| {first['memory_gb']:.1f} "
            f"| {statistics.median(row['ready_s'] for row in later):.1f} "
            f"| {max(row['memory_gb'] for row in later):.1f} | {rate:.1f} | {rate / base:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _disk_table(folder: Path) -> str:
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()
    rng, load = np.random.default_rng(0), os.getloadavg()[0]
    rows = {
        "gathered alone, asked of the disk ahead": _gathering(folder, rng, is_ahead=True),
        "gathered alone, when touched": _gathering(folder, rng, is_ahead=False),
        "trained on": _training(folder, rng),
    }
    lines = [
        f"Load average {load:.1f} at the beginning, {os.getloadavg()[0]:.1f} at the end; "
        f"median of {_TURNS}.",
        "",
        "| images/s | cold | the same, warm | ratio |",
        "|---|---:|---:|---:|",
    ]
    for what, found in rows.items():
        cold, warm = (statistics.median(rates) for rates in zip(*found, strict=True))
        lines.append(f"| {what} | {cold:,.0f} | {warm:,.0f} | {cold / warm:.2f} |")
    return "\n".join(lines) + "\n"


def _gathering(
    folder: Path, rng: np.random.Generator, *, is_ahead: bool
) -> list[tuple[float, ...]]:
    """Images/s, cold and then warm, a turn each."""
    import torch

    from braintumor.data.host_images import HostImages

    def rate(batches: Iterable[torch.Tensor]) -> float:
        started = time.perf_counter()
        return sum(len(batch) for batch in batches) / (time.perf_counter() - started)

    found, order = [], torch.arange(_GATHERED)
    for _ in range(_TURNS):
        rows = torch.from_numpy(rng.permutation(_ON_DISK)[:_GATHERED])
        images = HostImages(torch.from_numpy(_cold(folder, 224)), rows)
        touched = [(images[part] for part in order.split(_BATCH)) for _ in range(2)]
        asked = [images.batches(order.split(_BATCH)) for _ in range(2)]
        found.append(tuple(map(rate, asked if is_ahead else touched)))
        print("gathered, ahead" if is_ahead else "gathered, touched", found[-1], flush=True)
        del images, asked, touched  # what is mapped cannot be forgotten
    return found


def _training(folder: Path, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Images/s of a cold epoch and of the next one, a turn each; the first turn does not count."""
    import torch

    from braintumor.data.host_images import load_split
    from braintumor.training.loop import fit
    from braintumor.training.state import BestCheckpoint, FitState
    from braintumor.workflows.compose import compose
    from braintumor.workflows.setup import setup

    overrides = [
        "data=phantom", "data.patients=40", "data.size_px=64", "data.image_size=128",
        "model=mobilenetv2_035", "model.backbone.weights=none", "train.max_epochs=2",
        "train.imbalance=none", "train.early_stopping.patience=null", "device=cpu",
    ]  # fmt: skip
    work = setup(compose("train", overrides, {}).settings, "phantom")
    labels, paths, found = rng.integers(0, 4, _ON_DISK), ("",) * _ON_DISK, []
    for _ in range(_TURNS + 1):
        rows = rng.permutation(_ON_DISK)[:_TRAINED]
        train = load_split(_cold(folder, 128), labels, paths, rows, torch.device("cpu"))
        state = FitState(
            work.with_fresh_model().model, BestCheckpoint(work.recipe.train.early_stopping)
        )
        epochs = fit(state, train, None, work.recipe, work.augment)
        found.append(tuple(epoch.images_per_s for epoch in epochs))
        print("trained", found[-1], flush=True)
        del train, epochs  # what is mapped cannot be forgotten
    return found[1:]


def _cold(folder: Path, size_px: int) -> np.ndarray:
    """The pictures, mapped, of which nothing is in memory."""
    path, part = folder / f"{size_px}.npy", 1000
    if not path.exists():
        noise = np.random.default_rng(0).integers(0, 256, (part, size_px, size_px), np.uint8)
        shape = (_ON_DISK, size_px, size_px)
        whole = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        for start in range(0, _ON_DISK, part):
            whole[start : start + part] = noise
        whole.flush()
        del whole
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return np.asarray(np.load(path, mmap_mode="c"))  # torch complains of "r"


if __name__ == "__main__":
    main()
