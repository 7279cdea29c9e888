"""What a file says never sends the machine to the network; what the user types may.

In processes of their own, in which every host is a server that counts requests.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open
from safetensors.numpy import load_file

from counting_server import Network, counting_server
from support import Command, noise_pictures, write_checkpoint
from test_bad_input import assert_one_sentence

pytestmark = pytest.mark.slow

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def made(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on a public set, and images/ that it was trained on."""
    folder = tmp_path_factory.mktemp("made")
    noise_pictures(folder / "images", ("no", "yes"), count=12)
    bt(
        "train", "data=navoneel", "data.root=images", "data.image_size=32", "debug=tiny",
        "model=timm", "model.backbone.timm_name=test_efficientnet.r160_in1k",
        "train.tensorboard=false", "eval.heatmaps=0", "eval.examples=0", "run_dir=run",
        cwd=folder, code=0,
    )  # fmt: skip
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    """A copy, whose files say what a stranger may have written into them; the run is cut short."""
    shutil.copytree(made, tmp_path / "work")
    run = tmp_path / "work" / "run"
    checkpoint = run / "best.safetensors"
    with safe_open(checkpoint, framework="np") as file:
        card = json.loads(file.metadata()["braintumor_card"])
    card["model"]["backbone"]["weights"] = "imagenet"
    card["settings"]["data"]["download"] = True
    write_checkpoint(checkpoint, load_file(checkpoint), card)
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"status": "interrupted"}))
    return tmp_path / "work"


def rewrite_config(work: Path, weights: str, download: bool) -> None:
    path = work / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["model"]["backbone"]["weights"] = weights
    config["data"]["download"] = download
    path.write_text(yaml.safe_dump(config))


@pytest.fixture
def network() -> Iterator[Network]:
    with counting_server() as network:
        yield network


@pytest.fixture
def ask(bt_process: Command, work: Path, network: Network) -> Ask:
    """ask("eval", "ckpt=run"): the command in `work`, with empty caches."""

    def run(name: str, *words: str, code: int) -> Any:
        homes = {n: str(work / "home") for n in ("HOME", "HF_HOME", "TORCH_HOME")}
        return bt_process(name, *words, cwd=work, code=code, **network.environment, **homes)

    return run


def test_the_card_of_a_checkpoint_downloads_no_weights(ask: Ask, network: Network) -> None:
    ask("predict", "ckpt=run", "input=images/no/0.png", "run_dir=out", code=0)
    ask("eval", "ckpt=run", "eval.heatmaps=0", "eval.examples=0", "run_dir=again", code=0)
    assert network.requests == []


def test_the_card_of_a_checkpoint_downloads_no_data(ask: Ask, work: Path, network: Network) -> None:
    shutil.rmtree(work / "images")
    done = ask("eval", "ckpt=run", code=2)
    assert "no images at data.root=images" in done.stderr
    assert "data.download=true" in done.stderr
    assert_one_sentence(done.stderr)
    assert network.requests == []


def test_a_resumed_run_downloads_weights_only_where_the_command_names_them(
    ask: Ask, work: Path, network: Network
) -> None:
    rewrite_config(work, weights="imagenet", download=False)
    done = ask("train", "resume=run", code=2)
    assert "not in the cache" in done.stderr
    assert "add model.backbone.weights=imagenet to the command" in done.stderr
    assert_one_sentence(done.stderr)
    assert network.requests == []
    done = ask("train", "resume=run", "model.backbone.weights=imagenet", code=2)
    assert "cannot be downloaded" in done.stderr
    assert network.requests


def test_parts_of_resumed_repeats_download_nothing_either(
    ask: Ask, work: Path, network: Network
) -> None:
    rewrite_config(work, weights="imagenet", download=True)
    parent = work / "parent"
    parent.mkdir()
    config = yaml.safe_load((work / "run" / "config.yaml").read_text())
    (parent / "config.yaml").write_text(yaml.safe_dump(config | {"seeds": [0]}))
    status = {
        "status": "interrupted", "data_name": "navoneel", "parts": ["seed_0"],
        "overrides": ["data.download=true", "model.backbone.weights=imagenet"],
    }  # fmt: skip
    (parent / "status.json").write_text(json.dumps(status))
    done = ask("train", "resume=parent", code=2)
    assert "add model.backbone.weights=imagenet to the command" in done.stdout
    assert network.requests == []


def test_a_resumed_run_downloads_data_only_where_the_command_says_so(
    ask: Ask, work: Path, network: Network
) -> None:
    rewrite_config(work, weights="none", download=True)
    shutil.rmtree(work / "images")
    done = ask("train", "resume=run", code=2)
    assert "no images at data.root=images" in done.stderr
    assert_one_sentence(done.stderr)
    assert network.requests == []
    done = ask("train", "resume=run", "data.download=true", code=2)
    assert "could not be downloaded" in done.stderr
    assert any("kaggle.com" in request for request in network.requests)


def test_a_resumed_run_keeps_the_weights_that_it_began_with(bt: Command, work: Path) -> None:
    done = bt("train", "resume=run", "model.backbone.weights=imagenet", cwd=work, code=2)
    assert "the run began with none" in done.stderr
    assert_one_sentence(done.stderr)
    bt("train", "resume=run", "model.backbone.weights=none", cwd=work, code=0)
