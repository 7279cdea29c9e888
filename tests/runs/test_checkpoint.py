"""Checkpoints: what goes in comes out, and damage is named."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from braintumor.errors import CheckpointError
from braintumor.files import sha256_of
from braintumor.models import classifier
from braintumor.models.classifier import build_model
from braintumor.runs.checkpoint import (
    find_checkpoint,
    load_classifier,
    load_outliers,
    read_card,
    save_best,
)
from braintumor.runs.folder import RunFolder
from braintumor.runs.state import load_state
from made_card import DECISIONS, MODEL, SETTINGS, card
from support import write_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    model = build_model(MODEL, 3, 32)
    path = tmp_path / "best.safetensors"
    save_best(path, model.state_dict(), card())
    return path, model


def test_card_and_weights_come_back(saved: tuple[Path, torch.nn.Module]) -> None:
    path, model = saved
    loaded, read = load_classifier(path, CPU)
    assert read == card() == read_card(path)
    x = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    assert torch.equal(loaded(x), model.eval()(x))
    assert not loaded.training


def test_a_file_that_is_longer_than_its_weights_is_refused_unread(
    saved: tuple[Path, torch.nn.Module],
) -> None:
    path, _ = saved
    os.truncate(path, 12 << 30)  # of which the disk holds nothing
    began = time.process_time()
    with pytest.raises(CheckpointError, match="damaged"):
        read_card(path)
    assert time.process_time() - began < 1


def test_channels_last_weights_come_back(tmp_path: Path) -> None:
    model = build_model(MODEL, 3, 32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_best(tmp_path / "best.safetensors", model.state_dict(), card())
    loaded, _ = load_classifier(tmp_path / "best.safetensors", CPU)
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


@pytest.mark.parametrize(
    ("timm_name", "times"),
    [("resnet10t", 1), ("swinv2_cr_tiny_224", 2)],  # swin has tensors that no file holds
)
def test_a_model_is_given_values_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timm_name: str, times: int
) -> None:
    name, size = {"name": "timm", "weights": "none", "mean": None, "std": None}, 64
    backbone = name | {"timm_name": timm_name, "pad_type": None, "bn_eps": None}
    section = MODEL | {"backbone": backbone}
    model = build_model(section, 3, size)
    path, built = tmp_path / "best.safetensors", []
    save_best(path, model.state_dict(), card(model=section, image_size=size))
    build = classifier.build_model
    monkeypatch.setattr(classifier, "build_model", lambda *of: built.append(1) or build(*of))
    loaded, _ = load_classifier(path, CPU)
    x = torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8)
    assert torch.equal(loaded(x), model.eval()(x))
    assert all(p.requires_grad for p in loaded.parameters())
    assert len(built) == times


def test_a_file_cut_short_is_refused(saved: tuple[Path, torch.nn.Module]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut short|not a safetensors"):
            load_classifier(path, CPU)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (tmp_path / "best.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError):
        load_classifier(tmp_path / "best.safetensors", CPU)
    torch.save({"x": Bomb()}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError):
        load_state(RunFolder(tmp_path), CPU)
    assert not (tmp_path / "exploded").exists()


def test_bare_weights_say_where_they_belong(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "imagenet.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.backbone\.weights="):
        read_card(tmp_path / "imagenet.safetensors")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    other = build_model({**MODEL, "attention": {"name": "none"}}, 3, 32)
    save_best(tmp_path / "best.safetensors", other.state_dict(), card())
    with pytest.raises(CheckpointError, match="not of the model on its card"):
        load_classifier(tmp_path / "best.safetensors", CPU)


def test_a_card_names_no_weights_and_no_download_whatever_the_file_says(tmp_path: Path) -> None:
    backbone = {"name": "timm", "weights": "imagenet", "teacher": {"weights": "/etc/x.safetensors"}}
    written = card(
        model={**MODEL, "backbone": backbone},
        settings=SETTINGS | {"data": {"root": "x", "download": True}},
    )
    save_best(tmp_path / "best.safetensors", {"a": torch.zeros(2)}, written)
    read = read_card(tmp_path / "best.safetensors")
    expected = {"name": "timm", "weights": "none", "teacher": {"weights": "none"}}
    assert read.model == {**MODEL, "backbone": expected}
    assert read.settings == SETTINGS | {"data": {"root": "x", "download": False}}


@pytest.mark.parametrize("name", ["training_phashes", "patients", "decisions"])
def test_a_card_of_another_version_says_what_it_lacks(tmp_path: Path, name: str) -> None:
    values = dataclasses.asdict(card())
    del values[name]
    write_checkpoint(tmp_path / "best.safetensors", {"a": np.zeros(2)}, values)
    with pytest.raises(CheckpointError, match=rf"lacks {name}.*train again"):
        read_card(tmp_path / "best.safetensors")


def test_a_card_without_a_checksum_is_refused(saved: tuple[Path, torch.nn.Module]) -> None:
    path, model = saved
    save_file(model.state_dict(), path, {"braintumor_card": json.dumps(dataclasses.asdict(card()))})
    with pytest.raises(CheckpointError, match="its checksum is not that of its content"):
        read_card(path)


def test_ckpt_takes_run_best_or_last(saved: tuple[Path, torch.nn.Module]) -> None:
    path, _ = saved
    run = path.parent
    (run / "last.ckpt").write_bytes(b"")
    assert find_checkpoint(run) == find_checkpoint(path) == find_checkpoint(run / "last.ckpt")
    assert find_checkpoint(run) == path


def test_a_run_that_is_not_there_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "2026_run").mkdir()
    (tmp_path / "2026_run/status.json").write_text("{}")
    with pytest.raises(CheckpointError, match="2026_run"):
        find_checkpoint(tmp_path / "2025_run")
    with pytest.raises(CheckpointError, match=r"no best\.safetensors"):
        find_checkpoint(tmp_path / "2026_run")
    with pytest.raises(CheckpointError, match=f"give a finished run; runs in {tmp_path}: 2026_run"):
        find_checkpoint(tmp_path)  # of a sweep, or runs themselves


def test_what_lies_beside_the_weights_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = build_model(MODEL, 3, 32), tmp_path / "best.safetensors"
    arrays = {"mean": np.arange(3, dtype=np.float32), "scale": np.float32(2.5)}
    save_best(path, model.state_dict(), card(decisions=DECISIONS), arrays)
    again, its_card = load_classifier(path, CPU)
    assert its_card.decisions == DECISIONS
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters()))  # noqa: B905
    found = load_outliers(path)
    assert set(found) == {"mean", "scale"}
    assert found["mean"].tolist() == [0, 1, 2] and found["scale"].shape == ()


def test_a_model_comes_back_in_the_layout_of_its_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = build_model(MODEL, 3, 32), tmp_path / "best.safetensors"
    for trained_so in (True, False):
        settings = SETTINGS | {"train": SETTINGS["train"] | {"channels_last": trained_so}}
        save_best(path, model.state_dict(), card(settings=settings))
        again, _ = load_classifier(path, CPU)
        kernels = [p for p in again.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
        assert kernels
        for kernel in kernels:
            is_last = kernel.is_contiguous(memory_format=torch.channels_last)
            assert is_last == trained_so


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    blank = card(training_phashes=("0" * 64,), model_name="." * 64)  # as a black picture's hash is
    save_best(tmp_path / "best.safetensors", build_model(MODEL, 3, 32).state_dict(), blank)
    return tmp_path / "best.safetensors"


def test_others_can_read_it_and_check_it(sealed: Path) -> None:
    with safe_open(sealed, framework="np") as file:
        metadata = file.metadata()
        assert len(list(file.keys())) > 3
    digest = metadata["braintumor_sha256"]
    content = sealed.read_bytes().replace(digest.encode(), b"braintumor-sha256".ljust(64, b"."))
    assert digest == sha256_of(content)
    assert json.loads(metadata["braintumor_card"])["training_phashes"] == ["0" * 64]
    assert read_card(sealed).model_name == "." * 64


def test_no_flipped_bit_and_no_cut_is_taken(sealed: Path) -> None:
    whole, rng = sealed.read_bytes(), np.random.default_rng(0)
    header = 8 * (8 + int.from_bytes(whole[:8], "little"))
    places = [*rng.integers(0, 8 * len(whole), 200), *rng.integers(0, header, 1000)]
    for place in map(int, places):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        sealed.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"best\.safetensors"):
            read_card(sealed)
    for length in np.linspace(0, len(whole) - 1, 200).astype(int).tolist():
        sealed.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"best\.safetensors"):
            read_card(sealed)


def test_a_folder_of_several_trials_is_taken_when_all_have_ended(
    saved: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    parent = tmp_path / "parent"
    for name in ("seed_0", "seed_1"):
        (parent / name).mkdir(parents=True)
    RunFolder(parent).set_status("completed", parts=["seed_0", "seed_1"])
    with pytest.raises(CheckpointError, match=r"\(seed_0, seed_1\); go on with `bt-train resume="):
        find_checkpoint(parent)
    for name in ("seed_0", "seed_1"):
        RunFolder(parent / name).set_status("completed")
        (parent / name / "best.safetensors").write_bytes(saved[0].read_bytes())
    assert find_checkpoint(parent) == parent
