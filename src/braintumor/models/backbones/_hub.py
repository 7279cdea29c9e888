"""timm's pretrained weights as a local file: from the cache, or downloaded, or a clear no.

timm asks the Hugging Face hub with a minute of retries when it cannot be reached, and goes on
with random weights for what a file lacks. Here the hub is asked once.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import huggingface_hub
import torch
from timm.models import PretrainedCfg

from braintumor.errors import WeightsError
from braintumor.models.backbones._downloads import forbidden

TIMEOUT_S = 10  # to answer; the download itself may take as long as it takes

log = logging.getLogger(__name__)


def fetch_pretrained(timm_name: str, source: PretrainedCfg) -> Path:
    """Path of the weights that `source`, timm's entry of the net, points to.

    Honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and TORCH_HOME. A cached file is taken
    without asking the network; within `no_downloads` no other is.
    Raises WeightsError, with the ways out, when there are none or they cannot be had.
    """
    if source.hf_hub_id:
        try:
            return _from_hub(source.hf_hub_id, source.hf_hub_filename or "model.safetensors")
        except WeightsError:
            raise
        # what a dead network raises differs between versions of the hub's client
        except Exception as error:
            raise _unavailable(timm_name, f"{source.hf_hub_id} on the hub", error) from error
    if source.url:
        url = source.url if isinstance(source.url, str) else source.url[0]
        try:
            return _from_url(url)
        except WeightsError:
            raise
        except Exception as error:
            raise _unavailable(timm_name, url, error) from error
    raise WeightsError(
        f"timm has no pretrained weights of `{timm_name}`; give "
        "model.backbone.weights=FILE.safetensors, or model.backbone.weights=none to train from "
        "scratch, or another model.backbone.timm_name"
    )


def _from_hub(hub_id: str, filename: str) -> Path:
    repo, _, revision = hub_id.partition("@")
    names = [re.sub(r"\.(bin|pth|pt)$", ".safetensors", filename), filename]
    if filename == "model.safetensors":
        names.append("pytorch_model.bin")
    names = list(dict.fromkeys(names))
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repo, name, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    _refuse_where_forbidden(repo)
    for name in names:
        url = huggingface_hub.hf_hub_url(repo, name, revision=revision or None)
        try:
            # one question without retries, for hf_hub_download asks for a minute
            huggingface_hub.get_hf_file_metadata(url, timeout=TIMEOUT_S)
        except huggingface_hub.errors.EntryNotFoundError:
            if name == names[-1]:
                raise
            continue
        log.info("downloading %s of %s", name, repo)
        return Path(huggingface_hub.hf_hub_download(repo, name, revision=revision or None))
    raise AssertionError("a last name either returns or raises")


def _from_url(url: str) -> Path:
    """File of a plain address, kept where torch.hub keeps them, checked by the hash in its name."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.is_file():
        _refuse_where_forbidden(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([a-f0-9]{8,})\.", path.name)
        log.info("downloading %s", url)
        with _socket_timeout(TIMEOUT_S):
            torch.hub.download_url_to_file(
                url, str(path), digest and digest.group(1), progress=False
            )
    return path


def _refuse_where_forbidden(place: str) -> None:
    if why := forbidden():
        raise WeightsError(f"the ImageNet weights {place} are not in the cache, and {why}")


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torch.hub takes no timeout, and waits for minutes for a host that does not answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unavailable(timm_name: str, place: str, error: Exception) -> WeightsError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return WeightsError(
        f"ImageNet weights of `{timm_name}` are not in the cache and cannot be downloaded from "
        f"{place} ({reason}); do one of: (1) run once with network, or set HF_ENDPOINT to a "
        "mirror, or HF_HOME to a cache filled elsewhere; (2) model.backbone.weights="
        "FILE.safetensors; (3) model.backbone.weights=none to train from scratch"
    )
