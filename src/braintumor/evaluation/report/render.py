"""report.html: one file that needs nothing else, on screen, on a phone, in the dark, on paper.

It runs no script and loads nothing: the policy in its head forbids both. Names come from
strangers' files, so Jinja2 escapes every value; only our own style sheet goes in as it is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup
from PIL import Image

from braintumor.evaluation.metrics import classification_report, confusion_matrix
from braintumor.evaluation.plots.style import elide
from braintumor.evaluation.report import verdict
from braintumor.evaluation.report.truth import truth_of_page
from braintumor.evaluation.trust import Trust
from braintumor.records import Predictions

# S image size px, K classes

_HERE = Path(__file__).parent
_LARGEST_PX = 256  # of an inlined slice: sharp at the size the page shows it
_WIDEST_PX = 1500  # of an inlined picture
_TILES = (
    ("accuracy", "Accuracy", "share of images that are right"),
    ("balanced_accuracy", "Balanced accuracy", "mean recall of the classes"),
    ("macro_f1", "Macro F1", "mean F1 of the classes"),
    ("mcc", "MCC", "truth against prediction, −1 to 1"),
    ("auroc", "AUROC", "mean, one class against the rest"),
    ("auprc", "AUPRC", "mean, one class against the rest"),
    ("loss", "Loss", "cross-entropy in nats; 0 is best"),
)
_COLUMNS = (
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("specificity", "Specificity"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
)
_KNOWN = ("model_name", "data_name", "created", "command", "settings", "environment")


@dataclass(frozen=True)
class Chart:
    """A picture of the report: PNG bytes for light paper and, where it has one, for dark."""

    title: str
    alt: str
    light: bytes
    dark: bytes | None = None


@dataclass(frozen=True, eq=False)
class Example:
    """One prediction to look at: index of its row, uint8 slice (S, S[, 3]) and overlay."""

    index: int
    image: np.ndarray
    overlay: np.ndarray | None


def render_report(
    predictions: Predictions,
    metrics: Mapping[str, Any],
    trust: Trust,
    *,
    split: str,
    about: Mapping[str, Any],
    charts: Mapping[str, Sequence[Chart]],
    examples: Sequence[Example],
) -> str:
    """The page as text.

    metrics: what compute_metrics says of these predictions.
    about: see evidence.write_evidence.
    trust: what trust.judge says of them.
    charts: pictures of the sections "performance", "floors", "training" and "data"; any may be
        missing.
    """
    errors = int((predictions.predicted != predictions.labels).sum())
    css = (_HERE / "report.css").read_text(encoding="utf-8")
    model, data = (str(about.get(key) or "") for key in ("model_name", "data_name"))
    shown = [_example(predictions, example) for example in examples]
    return _template().render(
        css=Markup(css),  # noqa: S704 (our own file)
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        model=model or "The model",
        data=data or "the data",
        split=split,
        created=about.get("created"),
        n=len(predictions),
        errors=errors,
        headline=verdict.headline(predictions, metrics, split, elide(data) or "the data"),
        findings=verdict.findings(predictions, metrics),
        cautions=verdict.cautions(split, len(predictions), trust.count),
        truth=truth_of_page(metrics, trust),
        accuracy=verdict.percent(metrics["accuracy"]),
        accuracy_width=_width(metrics["accuracy"]),
        tiles=_tiles(metrics, errors),
        columns=[name for _, name in _COLUMNS],
        class_rows=_class_rows(metrics["per_class"]),
        confusion=_confusion(predictions),
        classes=predictions.classes,
        charts={name: [_chart(chart) for chart in group] for name, group in charts.items()},
        wrong=[example for example in shown if not example["is_right"]],
        right=[example for example in shown if example["is_right"]],
        has_overlays=any(example["overlay"] for example in shown),
        report=classification_report(predictions),
        command=_command(about),
        settings=_yaml(about.get("settings")),
        facts=_yaml({key: value for key, value in about.items() if key not in _KNOWN}),
        environment=_yaml(about.get("environment")),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["elide"] = elide
    return environment.get_template("report.html.j2")


def _tiles(metrics: Mapping[str, Any], errors: int) -> list[tuple[str, str, str]]:
    tiles = [(name, _number(metrics[key]), hint) for key, name, hint in _TILES]
    return [*tiles, ("Errors", f"{errors:,}", f"of {metrics['n']:,} images")]


def _class_rows(per_class: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for name, row in per_class.items():
        cells = [(_number(row[key]), _width(row[key])) for key, _ in _COLUMNS]
        rows.append({"name": name, "n": row["n"], "cells": cells})
    return rows


def _confusion(predictions: Predictions) -> list[dict[str, Any]]:
    """Rows of cells: count, share of the row, and a shade from 0 to 10 in the style sheet."""
    matrix = confusion_matrix(predictions)
    rows = []
    for k, counts in enumerate(matrix):
        total = int(counts.sum())
        share = counts / max(total, 1)
        # Errors are few in a good model: the square root lets one among hundreds be seen.
        shade = np.where(np.arange(len(counts)) == k, share, np.sqrt(share))
        cells = [
            {
                "count": int(counts[j]),
                "share": verdict.percent(float(share[j])) if total else "–",
                "shade": f"{'ok' if j == k else 'bad'}-{int(np.ceil(shade[j] * 10))}",
            }
            for j in range(len(counts))
        ]
        rows.append({"name": predictions.classes[k], "n": total, "cells": cells})
    return rows


def _example(predictions: Predictions, example: Example) -> dict[str, Any]:
    i = example.index
    truth, guess = int(predictions.labels[i]), int(predictions.predicted[i])
    probs = predictions.probs[i]
    return {
        "index": i,
        "path": predictions.paths[i],
        "is_right": truth == guess,
        "truth": predictions.classes[truth],
        "guess": predictions.classes[guess],
        "probability": f"{probs[guess]:.2f}",
        "of_truth": f"{probs[truth]:.2f}",
        "image": _webp(Image.fromarray(example.image), _LARGEST_PX, 80),
        "overlay": None
        if example.overlay is None
        else _webp(Image.fromarray(example.overlay), _LARGEST_PX, 80),
    }


def _chart(chart: Chart) -> dict[str, Any]:
    with Image.open(io.BytesIO(chart.light), formats=["PNG"]) as picture:
        width, height = picture.size
    return {
        "title": chart.title,
        "alt": chart.alt,
        "width": width,
        "height": height,
        "light": _inlined(chart.light),
        "dark": _inlined(chart.dark) if chart.dark else None,
    }


def _inlined(png: bytes) -> str:
    """A drawing stays PNG; a grid of photographs becomes WebP, a tenth of the size."""
    if len(png) < 200_000:
        return "data:image/png;base64," + base64.b64encode(png).decode()
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return _webp(picture.convert("RGB"), _WIDEST_PX, 85)


def _webp(picture: Image.Image, largest_px: int, quality: int) -> str:
    if max(picture.size) > largest_px:
        picture = picture.copy()
        picture.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _number(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "–"


def _width(value: float) -> str:
    """Length of the bar under a figure, in percent."""
    return f"{100 * value:.1f}" if np.isfinite(value) else "0"


def _command(about: Mapping[str, Any]) -> str:
    command = about.get("command") or (about.get("environment") or {}).get("command") or ""
    return command if isinstance(command, str) else shlex.join(str(part) for part in command)


def _yaml(value: Any) -> str:
    if not value:
        return ""
    plain = _plain(value)
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88)).rstrip()


def _plain(value: Any) -> Any:
    """Mappings, lists, numbers and texts only: what safe YAML can say."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, bool | int | float | str | None) else str(value)
