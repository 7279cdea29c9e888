"""Heat maps as the commands make them: of attention, and against lesions where those are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from braintumor.data.dataset import read_dataset
from braintumor.data.sources.phantom import build
from braintumor.evaluation import evaluate
from braintumor.evaluation import heatmap_checks as checks
from braintumor.evaluation.evaluate import EvaluatedImages, explain
from braintumor.evaluation.predict import EvalSettings
from braintumor.evaluation.record import Leakage
from braintumor.records import Predictions
from support import TINY, Command

PHANTOMS = {"patients": 8, "slices_per_patient": 2, "size_px": 64, "seed": 0, "test_share": 0.0}
SECTION = {
    "name": "phantom", "image_size": 64, "fit": "stretch", "binary": False,
    "skip_unreadable": False, "limit": None, "val_fraction": 0.2, "test_fraction": 0.2,
    "class_names": None,
}  # fmt: skip


def test_attention_maps_are_said_to_explain_no_class(bt: Command, tmp_path: Path) -> None:
    options = [*TINY, "model=cnn_mhsa", "eval.cam=attention", "run_dir=run"]
    bt("train", *options, cwd=tmp_path, code=0)
    explained = _metrics(tmp_path / "run/eval/test")["explanations"]
    assert "ssim_head_random" not in explained
    assert {"ssim_all_random", "outside_head", "deletion", "insertion"} <= set(explained)
    page = (tmp_path / "run/eval/test/report.html").read_text()
    assert "heat map of what attention looked at" in page
    assert "what the attention layer looked at" in page
    assert "They explain no class" in page
    assert "contributed most to the answer" not in page and "what contributed to" not in page
    assert "heat maps: attention" in page

    bt("eval", "ckpt=run", "eval.heatmaps=2", "run_dir=as_before", cwd=tmp_path, code=0)
    assert "ssim_head_random" not in _metrics(tmp_path / "as_before")["explanations"]
    options = ["eval.heatmaps=2", "eval.cam=gradcam", "run_dir=by_gradient"]
    bt("eval", "ckpt=run", *options, cwd=tmp_path, code=0)
    assert "ssim_head_random" in _metrics(tmp_path / "by_gradient")["explanations"]
    page = (tmp_path / "by_gradient/report.html").read_text()
    assert "contributed most to the answer" in page and "what attention looked at" not in page
    assert "heat maps: gradcam" in page

    picture = next((tmp_path / "run/eval/test/cam").glob("*.png"))
    bt("predict", "ckpt=run", f"input={picture}", "run_dir=told", cwd=tmp_path, code=0)
    assert (tmp_path / "told/cam/00000.png").is_file()


def test_attention_maps_of_a_model_without_are_refused_before_any_work(
    bt: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bt(
        "train", *TINY, "model=cnn_se", "eval.cam=attention", "run_dir=run", cwd=tmp_path, code=2
    )
    assert "model.attention.name=se" in done.stderr
    assert "use eval.cam=gradcam, hirescam or layercam" in done.stderr
    assert not (tmp_path / "run").exists()
    monkeypatch.delattr(evaluate, "predict_with_features")
    done = bt(
        "eval", f"ckpt={trained}", "eval.cam=attention", "run_dir=again", cwd=tmp_path, code=2
    )
    assert "use eval.cam=gradcam, hirescam or layercam" in done.stderr
    assert not (tmp_path / "again").exists()


def test_maps_of_phantoms_are_held_against_their_lesions(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    options = ["eval.heatmaps=99", "eval.views=1", "run_dir=out"]  # all images
    bt("eval", f"ckpt={trained}", *options, cwd=tmp_path, code=0)
    explained = _metrics(tmp_path / "out")["explanations"]
    truth = pd.read_csv(tmp_path / "out/predictions.csv")["true"]
    lesions = int((truth != "no_tumor").sum())  # each slice of a tumor class shows some of it here
    assert 0 < lesions < len(truth)
    for name in ("pointing_hits", "lesion_iou"):
        assert explained[name]["n"] == lesions
        assert 0 <= explained[name]["value"] <= 1
    page = (tmp_path / "out/report.html").read_text()
    assert "Hottest place in the lesion" in page and "Overlap with the lesion (IoU)" in page
    assert f"mean of {lesions} images" in page


def test_each_map_meets_the_lesion_of_its_own_image(monkeypatch: pytest.MonkeyPatch) -> None:
    data = read_dataset(SECTION | PHANTOMS, 64)
    source = build(**PHANTOMS)  # type: ignore[arg-type]
    masks = {source.read(item).tobytes(): source.mask(item) for item in source.items}

    def knowing(_: Any, images: np.ndarray, *__: Any) -> np.ndarray:
        return np.stack([masks[image.tobytes()] for image in images]).astype(np.float32)

    monkeypatch.setattr(evaluate, "heat_cells", knowing)
    monkeypatch.setattr(checks, "_forgetting", lambda *_: {})
    monkeypatch.setattr(checks, "_perturbing", lambda *_: {})
    rows = np.arange(len(data.manifest))[::-2]
    labels = pd.Categorical(data.manifest["label"].iloc[rows], data.classes).codes.astype(np.int64)
    predictions = Predictions(
        classes=data.classes,
        paths=tuple(data.manifest["path"].iloc[rows]),
        labels=labels,
        logits=np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32),
    )
    settings = EvalSettings(
        views=1, examples=0, heatmaps=5, cam="gradcam", cam_layer="after_attention"
    )
    model = torch.nn.Linear(1, 1)
    images = EvaluatedImages(data, labels, rows, "all", Leakage())
    explained = explain(model, predictions, images, settings, predictions.predicted)  # type: ignore[arg-type]
    heat, found = explained.heatmaps, explained.checks
    assert len(heat) == 5 and found is not None
    assert found["pointing_hits"]["value"] == found["lesion_iou"]["value"] == 1
    assert found["lesion_iou"]["n"] == sum(map_.any() for map_ in heat.values())


def _metrics(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text()))
