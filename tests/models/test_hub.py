"""ImageNet weights through a small server that speaks like the Hugging Face hub.

In a process of its own: the hub's client reads its environment when it is imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save, save_file

from braintumor.config import config_dir
from braintumor.errors import WeightsError
from braintumor.models.backbones import build_backbone, no_downloads
from braintumor.models.backbones._weights import fetch_pretrained

REPO, FILE = "timm/mobilenetv2_100.ra_in1k", "model.safetensors"

# builds mobilenetv2 once a line of its input, and answers with a line
CHILD = """
import sys, yaml
from safetensors.torch import save_file
from braintumor.errors import WeightsError
from braintumor.models.backbones import build_backbone, no_downloads
from braintumor.config import config_dir

options = yaml.safe_load((config_dir() / "model" / "backbone" / "mobilenetv2.yaml").read_text())
for line in sys.stdin:
    try:
        net = build_backbone(options, 64)
        save_file({k: v.contiguous() for k, v in net.net.state_dict().items()}, line.strip())
        print("built", flush=True)
    except WeightsError as error:
        print("WeightsError:", str(error), flush=True)
"""


class Hub(BaseHTTPRequestHandler):
    """HEAD and GET of /<repo>/resolve/<revision>/<file>."""

    content = b""
    requests: list[str]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        self.requests.append(f"{self.command} {self.path}")
        known = self.path == f"/{REPO}/resolve/main/{FILE}" or self.path.startswith("/net-")
        self.send_response(200 if known else 404)
        if known:
            self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()
        if known and with_body:
            self.wfile.write(self.content)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@dataclass
class Served:
    """A running hub, the tensors that it serves, and the requests that it got."""

    address: str
    tensors: dict[str, torch.Tensor]
    handler: type[Hub]
    server: ThreadingHTTPServer


@pytest.fixture
def hub() -> Iterator[Served]:
    torch.manual_seed(2)
    tensors = timm.create_model("mobilenetv2_100").state_dict()
    handler = type("Handler", (Hub,), {"content": save(tensors), "requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_port}", tensors, handler, server)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def build(tmp_path: Path, hub: Served) -> Iterator[Callable[[], str]]:
    """Builds mobilenetv2 with ImageNet weights in a process whose hub is the server."""
    away = ("HF_", "HUGGINGFACE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith(away)}
    environment |= {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=pipe, stdout=pipe, env=environment, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None

        def ask() -> str:
            child.stdin.write(f"{tmp_path / 'built.safetensors'}\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            return child.stdout.readline()  # type: ignore[union-attr]

        yield ask
        child.stdin.close()


@pytest.mark.slow
def test_hub_weights_arrive_bit_identical_or_not_at_all(
    tmp_path: Path, hub: Served, build: Callable[[], str]
) -> None:
    built, cache = tmp_path / "built.safetensors", tmp_path / "hf" / "hub"

    whole = hub.handler.content
    hub.handler.content = save({k: v for k, v in hub.tensors.items() if k != "conv_head.weight"})
    answer = build()
    assert answer.startswith("WeightsError") and "do not load" in answer and not built.exists()
    shutil.rmtree(cache)

    hub.handler.content = whole
    assert build() == "built\n"
    arrived = load_file(built)
    assert set(hub.tensors) - set(arrived) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(hub.tensors[name], tensor) for name, tensor in arrived.items())

    hub.handler.requests.clear()
    assert build() == "built\n"
    assert hub.handler.requests == []  # it was cached

    shutil.rmtree(cache)
    built.unlink()
    hub.server.shutdown()
    hub.server.server_close()
    start = time.monotonic()
    answer = build()
    assert time.monotonic() - start < 15  # the hub's client alone would try for 47 s
    assert answer.startswith("WeightsError") and not built.exists()
    for way in ("HF_ENDPOINT", "weights=FILE.safetensors", "weights=none"):
        assert way in answer


@pytest.mark.parametrize("name", ["mobilenetv2_100.ra_in1k", "legacy_xception.tf_in1k"])
def test_offline_error_names_three_ways_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    source = timm.models.get_pretrained_cfg(name)
    with pytest.raises(WeightsError, match=r"\(1\).*HF_ENDPOINT.*\(2\).*\(3\).*weights=none"):
        fetch_pretrained(name, source)


def serve_file(monkeypatch: pytest.MonkeyPatch, path: Path, timm_name: str) -> dict[str, Any]:
    """Options of model=timm whose ImageNet weights are the file at `path`."""
    monkeypatch.setattr("braintumor.models.backbones._weights.fetch_pretrained", lambda *_: path)
    text = (config_dir() / "model" / "backbone" / "timm.yaml").read_text(encoding="utf-8")
    return {**yaml.safe_load(text), "timm_name": timm_name}


def test_position_embeddings_are_resampled_to_the_picture_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a net whose own files are .npz, and whose hub files are not
    original = timm.create_model("vit_tiny_patch16_224")
    save_file(original.state_dict(), tmp_path / FILE)
    options = serve_file(monkeypatch, tmp_path / FILE, "vit_tiny_patch16_224")
    net: Any = build_backbone(options, 96)
    assert net.map_size_px == (6, 6)
    assert net.net.pos_embed.shape == (1, 1 + 36, 192)
    assert torch.equal(net.net.blocks[3].mlp.fc1.weight, original.blocks[3].mlp.fc1.weight)


def test_families_that_timm_loads_loosely_are_not_left_half_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "inception_v3.tv_in1k"
    tensors = timm.create_model(name).state_dict()
    save_file(tensors, tmp_path / FILE)
    options = serve_file(monkeypatch, tmp_path / FILE, name)
    net: Any = build_backbone(options, 75)
    assert torch.equal(
        net.net.Mixed_7c.branch1x1.conv.weight, tensors["Mixed_7c.branch1x1.conv.weight"]
    )
    del tensors["Mixed_7c.branch1x1.conv.weight"]
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(WeightsError, match=r"lack a part of the net.*Mixed_7c\.branch1x1"):
        build_backbone(options, 75)


def test_plain_address_is_fetched_once_and_checked_by_its_hash(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    digest = hashlib.sha256(hub.handler.content).hexdigest()[:8]
    source = timm.models.get_pretrained_cfg("legacy_xception.tf_in1k")
    url = f"{hub.address}/net-{digest}.safetensors"
    path = fetch_pretrained("net", dataclasses.replace(source, url=url))
    assert path.read_bytes() == hub.handler.content
    assert fetch_pretrained("net", dataclasses.replace(source, url=url)) == path
    assert len(hub.handler.requests) == 1
    wrong = f"{hub.address}/net-00000000.safetensors"
    with pytest.raises(WeightsError, match="invalid hash"):
        fetch_pretrained("net", dataclasses.replace(source, url=wrong))
    assert not (path.parent / "net-00000000.safetensors").exists()


@pytest.mark.parametrize("name", ["mobilenetv2_100.ra_in1k", "legacy_xception.tf_in1k"])
def test_where_downloads_are_forbidden_the_cache_is_asked_alone(
    name: str, hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = timm.models.get_pretrained_cfg(name)
    if not source.hf_hub_id:
        source = dataclasses.replace(source, url=f"{hub.address}/net-file.safetensors")
    refused = pytest.raises(WeightsError, match="not in the cache, and ask me first")
    with refused, no_downloads("ask me first"):
        fetch_pretrained(name, source)
    assert hub.handler.requests == []
    if not source.hf_hub_id:
        path = fetch_pretrained(name, source)
        with no_downloads("ask me first"):
            assert fetch_pretrained(name, source) == path
