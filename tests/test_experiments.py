"""The field's recipes run from data to report, small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor.config import options_of
from support import train


@pytest.mark.slow
@pytest.mark.parametrize("experiment", options_of("experiment"))
def test_every_experiment_runs_with_debug_tiny(experiment: str, tmp_path: Path) -> None:
    train(f"experiment={experiment}", "debug=tiny", "data.patients=16", f"run_dir={tmp_path}")
    metrics = json.loads((tmp_path / "eval/test/metrics.json").read_text())
    assert np.isfinite(metrics["all"]["loss"])
    if experiment == "binary_transfer":
        assert set(metrics["all"]["per_class"]) == {"no_tumor", "tumor"}
    assert (tmp_path / "eval/test/report.html").is_file()


@pytest.mark.slow
def test_a_cnn_learns_where_the_bright_spot_is(tmp_path: Path) -> None:
    """The class is the corner of a bright spot: the whole pipe, from files to test, carries it."""
    rng = np.random.default_rng(0)
    corners = {"glioma": (4, 4), "meningioma": (4, 28), "no_tumor": (28, 4), "pituitary": (28, 28)}
    for name, (top, left) in corners.items():
        (tmp_path / "mri" / name).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 60, (48, 48))
            y, x = top + rng.integers(-3, 4), left + rng.integers(-3, 4)
            pixels[y : y + 14, x : x + 14] += 150
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(tmp_path / "mri" / name / f"Image{i}.png")
    train(
        "data=folder", f"data.root={tmp_path}/mri", "data.image_size=48", "model=cnn_se",
        "model.head.pooling=flatten", "augment=none", "eval.views=1", "train.batch_size=16",
        "train.phases=[{epochs: 8, trainable: all}]", f"run_dir={tmp_path}/run",
    )  # fmt: skip
    metrics = json.loads((tmp_path / "run/eval/test/metrics.json").read_text())
    assert metrics["n"] == 32
    assert metrics["all"]["accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.real_data
def test_pretrained_network_learns_real_slices(
    nickparvar: Path, imagenet_weights: Path, tmp_path: Path
) -> None:
    """Three frozen and five open epochs on 77 images a class: far above chance.

    Cut by group: the first of the official test pictures are unlike those of training, and so few
    epochs score there between 0.43 and 0.65, seed by seed; on this cut between 0.76 and 0.87.
    """
    train(
        "data=folder", f"data.root={nickparvar}", "data.limit=60", "data.image_size=96",
        "split=grouped", "model=mobilenetv2_035", f"model.backbone.weights={imagenet_weights}",
        "train.phases=[{epochs: 3, trainable: head, lr: 3e-3}, {epochs: 5, trainable: all}]",
        "train.batch_size=16",
        f"run_dir={tmp_path}",
    )  # fmt: skip
    metrics = json.loads((tmp_path / "eval/test/metrics.json").read_text())
    assert metrics["n"] == 96
    assert metrics["all"]["accuracy"] > 0.7
