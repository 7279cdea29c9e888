"""Options of the training step, as a user gives them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from support import TINY, Command


def test_an_automatic_batch_size_is_recorded_as_a_number(bt: Command, tmp_path: Path) -> None:
    done = bt("train", *TINY, "train.batch_size=auto", "run_dir=run", cwd=tmp_path, code=0)
    chosen = re.search(r"train\.batch_size=auto: (\d+)", done.stdout)
    assert chosen is not None
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert settings["train"]["batch_size"] == int(chosen[1]) == 8


def test_train_epochs_is_what_is_trained_and_several_phases_ask_which(
    bt: Command, tmp_path: Path
) -> None:
    three = [*TINY, "train.epochs=3", "train.max_epochs=null", "eval.heatmaps=0"]
    done = bt("train", *three, "run_dir=run", cwd=tmp_path, code=0)
    assert "epoch 3/3" in done.stdout
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 1 + 3
    done = bt("train", *three, "experiment=resnet50_two_phase", cwd=tmp_path, code=2)
    assert "train.phases=[{epochs: " in done.stderr


def test_a_frozen_phase_keeps_features_for_the_next_run(bt: Command, tmp_path: Path) -> None:
    frozen = [*TINY, "train.phases=[{epochs: 2, trainable: head}]", "train.max_epochs=2"]
    first = bt("train", *frozen, "run_dir=a", cwd=tmp_path, code=0)
    assert "features of the frozen backbone: 2 views" in first.stdout
    assert ", computed, " in first.stdout
    second = bt("train", *frozen, "optimizer.lr=1e-2", "run_dir=b", cwd=tmp_path, code=0)
    assert "from the cache" in second.stdout
