"""The same work side by side: ours, torchvision and a loop, timm, Lightning, fastai.

    python scripts/benchmark.py --data IMAGES --weights FILE --out benchmarks/speed_cpu.json

writes that file and the Markdown beside it. IMAGES: Training/ and Testing/ with a folder a class
(left out: phantoms, written as JPEG files). FILE: weights of the model's timm architecture as
.safetensors with its .json, or none. PYTHONPATH=src works in the place of an installation.

On a CPU, one model after the other, with nothing beside it:

    python scripts/benchmark.py --data ../shared/data/nickparvar --model mobilenetv2_035 \
        --weights mobilenetv2_035_imagenet.safetensors --repeats 3 --out benchmarks/speed_cpu.json

On a GPU (--device cuda is the default where there is one), all rows within nine minutes; when the
budget gets short repeats are left out, never rows, and the record says so:

    PYTHONPATH=src:peers python scripts/benchmark.py --data IMAGES --model mobilenet \
        --repeats 3 --budget 520 --out benchmarks/speed_gpu.json

Ours needs its dependencies of pyproject.toml; a peer that is not installed is named as absent. A
folder for the peers alone (and on a machine without an index, carried there with what ours lacks
there, such as hydra-core, omegaconf, antlr4-python3-runtime and grad-cam):

    uv pip install --target peers --no-deps lightning pytorch-lightning torchmetrics \
        lightning-utilities fastai fastcore 'fastprogress<1.1' fastdownload fasttransform \
        'plum-dispatch<2.10' beartype rich markdown-it-py mdurl pygments cloudpickle

Rows: frozen_epoch, frozen_10, full_epoch, evaluation, job, sweep, ceiling; bench/table.py says
what each one holds. `--quick` goes through all of it on a few phantoms in some minutes.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import child, pictures, schedule
from bench.job import LABELS, Job
from bench.machine import cores, describe, has_gpu, is_installed
from bench.rows import row_of, works_of_ceiling
from bench.table import to_markdown

_QUICK = {"px": 64, "batch": 8, "limit": 10, "epochs": 3, "peer_epochs": 2, "repeats": 1}
_FULL = {"px": 224, "batch": 64, "limit": None, "epochs": 10, "peer_epochs": 3, "repeats": 3}


def main(arguments: list[str] | None = None, launch: schedule.Launch | None = None) -> int:
    """Measure and write; 1 when a contestant failed. launch: how a job is run, for tests."""
    asked = _arguments(arguments)
    if asked.child:
        child.main(asked.child)
        return 0
    with tempfile.TemporaryDirectory(prefix="benchmark_") as temporary:
        return _measure(asked, Path(temporary), launch or schedule.launch_child(Path(__file__)))


def _measure(asked: argparse.Namespace, work: Path, launch: schedule.Launch) -> int:
    root = asked.data and asked.data.resolve()
    if root is None:
        patients = 32 if asked.quick else 400
        root = pictures.write_phantoms(work / "phantoms", patients, max(asked.px, 48))
    images = pictures.lay_out(root, asked.limit, work, {})
    absent = [name for name in asked.contestants if not is_installed(name)]
    present = [name for name in asked.contestants if name not in absent]
    measurements = schedule.plan(
        asked.rows, asked.attentions, present, asked.epochs, asked.peer_epochs
    )
    base = _base(asked, root, work)
    if "evaluation" in asked.rows and "ours" in present:
        _leave_a_checkpoint(base, launch)
    record: dict[str, Any] = {
        "model": asked.model, "px": asked.px, "batch_size": asked.batch, "device": asked.device,
        "precision": "bf16 autocast" if asked.device == "cuda" else "fp32", "lr": asked.lr,
        "data": asked.data.resolve().name if asked.data else "phantoms", "images": images,
        "weights": Path(asked.weights).name, "epochs": asked.epochs,
        "peer_epochs": asked.peer_epochs, "heads": asked.heads, "workers": asked.workers,
        "rows": asked.rows, "quick": asked.quick, "options": asked.options, "absent": absent,
        "machine": describe(asked.device),
    }  # fmt: skip
    failed = False

    def keep(answers: list[schedule.Answer], notes: list[str]) -> None:
        nonlocal failed
        failures = [
            f"{a['what']}, {LABELS.get(a['contestant'], 'synthetic')}: {a['failed']}"
            for a in answers
            if "failed" in a
        ]
        failed = bool(failures)
        record["notes"] = [*failures, *notes]
        # a child knows what it was given: importing a peer here would cost seconds and memory
        record["settings"] = {a["contestant"]: a["settings"] for a in answers if "settings" in a}
        _write(asked.out, record, answers)

    schedule.run(measurements, base, asked.repeats, asked.budget, launch, keep)
    print(asked.out.with_suffix(".md").read_text())
    return int(failed)


def _write(out: Path, record: dict[str, Any], answers: list[schedule.Answer]) -> None:
    """The JSON and the Markdown of all that is measured so far."""
    names = [row for row in record["rows"] if row != "ceiling"]
    lines = {row: row_of(row, answers, record["epochs"], record["heads"]) for row in names}
    record["ceiling"] = works_of_ceiling(answers)
    record["lines"] = [asdict(line) for found in lines.values() for line in found]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record | {"answers": answers}, indent=1, ensure_ascii=False) + "\n")
    out.with_suffix(".md").write_text(to_markdown(record, lines))


def _base(asked: argparse.Namespace, root: Path, work: Path) -> Job:
    return Job(
        contestant="", kind="", attention="none", model=asked.model, px=asked.px,
        batch_size=asked.batch, epochs=0, lr=asked.lr, device=asked.device, workers=asked.workers,
        root=str(root), folder=str(work / "folder"), limit=asked.limit, weights=asked.weights,
        cache="", place=str(work), ckpt=str(work / "checkpoint" / "frozen_none_ours_0" / "run"),
        heads=asked.heads, options=tuple(asked.options),
    )  # fmt: skip


def _leave_a_checkpoint(base: Job, launch: schedule.Launch) -> None:
    """For the evaluation of ours. With features.views=0 it keeps nothing of the backbone, as if
    that were trained: a second evaluation runs the network again.
    """
    first = schedule.Measurement("frozen", "none", ("ours",), {"ours": 1})
    place, options = str(Path(base.place) / "checkpoint"), (*base.options, "features.views=0")
    base = replace(base, place=place, options=options)
    schedule.run([first], base, 1, 0, launch, lambda answers, notes: None)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    say = parser.add_argument
    say("--data", type=Path, help="folder with Training/ and Testing/; none: phantoms")
    say("--weights", default="none", help=".safetensors of the backbone, none or imagenet")
    say("--model", default="mobilenetv2_035", help="a backbone of timm among ours")
    say("--out", type=Path, help="the JSON file; Markdown is written beside it")
    say("--rows", nargs="+", choices=schedule.ROWS, default=list(schedule.ROWS))
    say("--attentions", nargs="+", default=["none", "se", "cbam", "mhsa"])
    say("--contestants", nargs="+", choices=LABELS, default=list(LABELS))
    say("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    say("--px", type=int, help="side of the pictures; 224")
    say("--batch", type=int, help="images a step; 64")
    say("--epochs", type=int, help="of the whole job; 10")
    say("--peer-epochs", type=int, help="that peers train, at least 2; the rest is added; 3")
    say("--limit", type=int, help="images of a class and split, at most; all")
    say("--repeats", type=int, help="rounds; 3")
    say("--budget", type=float, default=float("inf"), help="seconds; repeats are left out for it")
    say("--workers", type=int, default=cores(), help="of the peers' loaders; the cores")
    say("--lr", type=float, default=1e-3)
    options = "further settings of ours: features.views=4; those of model.* are for all"
    say("--options", nargs="*", default=[], help=options)
    say("--quick", action="store_true", help="a few images, to see that everything runs")
    say("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    for name, value in (_QUICK if asked.quick else _FULL).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    asked.heads = 2 if asked.quick else 12
    asked.device = asked.device or ("cuda" if has_gpu() else "cpu")
    if asked.weights not in ("none", "imagenet"):
        asked.weights = str(Path(asked.weights).resolve())
    if "again" in asked.contestants and "ours" not in asked.contestants:
        parser.error("--contestants again is the second run of ours: name ours, too")
    if not asked.child and not asked.out:
        parser.error("--out FILE.json says where the record goes")
    return asked


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no child outlives this
    sys.exit(main())
