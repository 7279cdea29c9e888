"""The record as Markdown: a table a row of the benchmark, the ceilings, and who had what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.job import LABELS, PEERS
from bench.rows import Line

INSTALL = {
    "torchvision": "pip install torchvision", "timm": "pip install timm",
    "lightning": "pip install lightning", "fastai": "pip install fastai",
}  # fmt: skip


def to_markdown(record: Mapping[str, Any], lines: Mapping[str, Sequence[Line]]) -> str:
    """record: what benchmark.py writes as JSON.  lines: row -> its lines."""
    parts = [_head(record)]
    parts += [_table(row, found, record) for row, found in lines.items() if found]
    if record["ceiling"]:
        parts.append(_ceilings(record["ceiling"], lines, record["device"]))
    parts.append(_settings(record))
    return "\n\n".join(parts) + "\n"


def _head(record: Mapping[str, Any]) -> str:
    images, machine = record["images"], record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = [
        f"# Speed: {record['model']} at {record['px']} px on {machine['name']}",
        "",
        f"Data: {record['data']}, {images['train']:,} training, {images['val']:,} validation, "
        f"{images['test']:,} test images; weights: {record['weights']}. Batch "
        f"{record['batch_size']}, {record['precision']}, light augmentation, the same network for "
        "all. Machine: " + machine["description"] + f"; {versions}; commit {machine['commit']}.",
        "",
        "Contestants take turns (A B A B), each in a process of its own. Figures are medians over "
        'repeats (n). "× ours" is the time an image takes over the time it takes ours, in the '
        "same round: above 1 ours is faster. Memory is the peak of the main process; behind the "
        "plus that of the largest of its workers, pages that they share included.",
    ]
    if record["peer_epochs"] < record["epochs"]:
        text += [
            "",
            f"Of {record['epochs']} epochs the peers train {record['peer_epochs']}; the others are "
            "added at the median of those after the first.",
        ]
    if record["quick"]:
        text += ["", "> A quick run on a few images, to see that everything runs: no figures."]
    text += ["", *(f"- {note}" for note in record["notes"])] if record["notes"] else []
    return "\n".join(text)


def _title(row: str, record: Mapping[str, Any]) -> str:
    e, heads = record["epochs"], record["heads"]
    return {
        "frozen_epoch": "## An epoch with a frozen backbone\n\nThe training part of the epochs "
        "after the first: what ours keeps of the first ones (see the next table) is not in it.",
        "frozen_10": f"## {e} epochs with a frozen backbone, everything included\n\nFrom the list "
        "of files to the last validation. Ours, with an empty cache: decoding, the search for "
        "copies, the features, training; second run: the same command again.",
        "full_epoch": "## An epoch of full fine-tuning\n\nThe training part of the epochs after "
        "the first.",
        "evaluation": "## Evaluation of the test split\n\nFrom files to predictions, the model "
        "being loaded; one view. Ours reads the whole data set here, since it searches for copies.",
        "job": f"## A job of {e} epochs, from the command to its end\n\nFine-tuning with "
        "validation, then the test split. Ours also writes checkpoints, the copies it found, and "
        "the report. Start: seconds from the command to the first step.",
        "sweep": f"## A sweep of {heads} heads on one frozen backbone\n\nOurs: one `bt-train -m`, "
        f"measured. Peers: the process of the frozen backbone without attention, {heads} times.",
    }[row]


def _table(row: str, lines: Sequence[Line], record: Mapping[str, Any]) -> str:
    has_attention = row in ("frozen_epoch", "frozen_10")
    has_cuda = any(line.cuda_mb is not None for line in lines)
    head = [
        *(["attention"] if has_attention else []), "contestant", "images/s", "× ours", "seconds",
        *(["start, s"] if row == "job" else []), "memory, MB",
        *(["GPU memory, MB"] if has_cuda else []), "train loss", "n",
    ]  # fmt: skip
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in lines:
        name = LABELS[line.contestant]
        cells = [
            *([line.attention] if has_attention else []),
            f"**{name}**" if line.contestant not in PEERS else name,
            _rate(line.images_per_s),
            _ratio(line),
            f"{line.seconds:.1f}",
            *([f"{line.before_s:.1f}"] if row == "job" else []),
            _memory(line),
            *([f"{line.cuda_mb:,.0f}" if line.cuda_mb is not None else "–"] if has_cuda else []),
            f"{line.losses[0]:.3f} → {line.losses[1]:.3f}" if line.losses else "–",
            str(line.repeats),
        ]
        out.append("| " + " | ".join(cells) + " |")
    for name in record["absent"]:
        cells = [
            *(["–"] if has_attention else []),
            LABELS[name],
            f"*not installed: `{INSTALL[name]}`*",
        ]
        out.append("| " + " | ".join(cells) + " |" * (1 + len(head) - len(cells)))
    return _title(row, record) + "\n\n" + "\n".join(out)


def _ceilings(ceiling: Mapping[str, Any], lines: Mapping[str, Sequence[Line]], device: str) -> str:
    """Synthetic pictures on the device, the roofline, and what part of them ours reaches."""
    reached = {
        "forward": _ours(lines.get("evaluation", ()), "again"),
        "frozen": _ours(lines.get("frozen_epoch", ()), "ours"),
        "full": _ours(lines.get("full_epoch", ()), "ours"),
    }
    names = {
        "forward": "evaluation", "frozen": "step with a frozen backbone", "full": "full step",
    }  # fmt: skip
    rates, is_cuda = ceiling["rates"], device == "cuda"
    head = [
        "work", "synthetic, images/s", *(["the same as a CUDA graph"] if is_cuda else []),
        "roofline, images/s", "bound by", "GFLOP/image", "MB/image", "ours, images/s",
        "share of synthetic",
    ]  # fmt: skip
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for work, found in ceiling["works"].items():
        best = max(found["images_per_s"], found["graph_images_per_s"] or 0)
        ours = reached[work]
        cells = [
            names[work],
            _rate(found["images_per_s"]),
            *([_rate(found["graph_images_per_s"])] if is_cuda else []),
            _rate(found["roofline_images_per_s"]),
            found["bound_by"],
            f"{found['gflop_per_image']:.2f}",
            f"{found['mb_per_image']:.0f}",
            _rate(ours) if ours else "–",
            f"{ours / best:.0%}" if ours else "–",
        ]
        out.append("| " + " | ".join(cells) + " |")
    return (
        "## Ceilings\n\nThe same network, without attention, on random pictures that lie on the "
        "device: no input path. The roofline is the larger of FLOPs over the measured rate of a "
        f"matrix product ({rates['matmul_tflops']:.3g} TFLOP/s) and bytes over that of a copy "
        f"({rates['copy_gb_s']:.3g} GB/s, read and written); bytes: every layer reads its input "
        "and weights and writes its output once; a full step counts three times in both. Ours can "
        "pass the ceiling of a frozen backbone, since it does not run it again.\n\n"
        + "\n".join(out)
    )


def _settings(record: Mapping[str, Any]) -> str:
    out = ["## What each contestant had", ""]
    told = record["settings"]
    out += [
        f"- {LABELS[name]}: {told[name]}." for name in LABELS if name in told and name != "again"
    ]
    out += [f"- {LABELS[name]}: absent; `{INSTALL[name]}`." for name in record["absent"]]
    out.append(
        f"- All: batch {record['batch_size']}, AdamW at {record['lr']:g} with decay .05, constant "
        f"rate, cross-entropy, {record['precision']}, {record['workers']} workers for the peers' "
        "loaders; attention and head are our modules on the same timm backbone with the same "
        "weights."
    )
    return "\n".join(out)


def _ours(lines: Sequence[Line], contestant: str) -> float | None:
    found = [
        line.images_per_s
        for line in lines
        if line.contestant == contestant and line.attention == "none"
    ]
    return found[0] if found else None


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(line: Line) -> str:
    if line.times_ours is None:
        return "–"
    spread = f" ({line.spread[0]:.2f}-{line.spread[1]:.2f})" if line.spread else ""
    return f"{line.times_ours:.2f}{spread}"


def _memory(line: Line) -> str:
    has_workers = line.contestant in PEERS and line.worker_rss_mb > 0
    worker = f" + {line.worker_rss_mb:,.0f}" if has_workers else ""
    return f"{line.rss_mb:,.0f}{worker}"
