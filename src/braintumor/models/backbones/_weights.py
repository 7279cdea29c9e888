"""Weights as a file: the user's, or timm's from the cache or the hub; never half of them.

The user's are safetensors only, checked name by name. For its own, timm would ask the hub with a
minute of retries when it cannot be reached, and go on with random weights for what a file lacks.
Here the hub is asked once.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import huggingface_hub
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from braintumor.config import checked, first_of
from braintumor.errors import ConfigError, DataError, WeightsError, first_line
from braintumor.files import read_json
from braintumor.models.backbones import downloads_forbidden
from braintumor.ranges import Rgb, RgbAboveZero

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

TIMEOUT_S = 10  # for the hub to answer; the download itself may take as long as it takes

log = logging.getLogger(__name__)

_TOLD: dict[str, Any] = {  # by the .json beside a file; all of it may be left out
    "arch": str | None, "mean": Rgb | None, "std": RgbAboveZero | None, "pad_type": str | None,
    "bn_eps": float | None,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """Tensors of a file and what the .json beside it says about the net that they fit.

    mean, std: of RGB in 0..1.  pad_type ("same"), bn_eps: how the net was built; the same
    weights give other features under timm's defaults.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    mean: Rgb | None
    std: RgbAboveZero | None
    pad_type: str | None
    bn_eps: float | None


def read_weights(weights: str, arch: str) -> WeightsFile:
    """The file that model.backbone.weights names, with the .json of the same stem if present.

    arch: timm's name of the net that it is for.
    Raises WeightsError when it is absent, of another format, damaged, or of another net.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"model.backbone.weights={weights} is not imagenet, none or a .safetensors file; "
            "other formats can run code when they are opened, so convert them with "
            "safetensors.torch.save_file"
        )
    if not path.is_file():
        raise WeightsError(
            f"there is no file {path} (from {Path.cwd()}); give model.backbone.weights=FILE."
            "safetensors, or imagenet to download, or none to train from scratch"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); get the file again") from error
    about = _about(path.with_suffix(".json"))
    said = about.pop("arch")
    if said is not None and said.split(".")[0] != arch.split(".")[0]:
        raise WeightsError(
            f"{path} holds weights of `{said}` (its .json says so), not of `{arch}`; "
            f"set model.backbone.timm_name={said} or give another file"
        )
    return WeightsFile(path, tensors, **about)


def load_into(net: nn.Module, file: WeightsFile, droppable: Collection[str]) -> None:
    """Copy every tensor of the file to the net's parameter or buffer of the same name.

    droppable: names of modules that the file may hold and the net has not: classifiers.
    Raises WeightsError on missing or unknown names, or on another shape; the net is then
    left as it was.
    """
    wanted = net.state_dict()
    given = {
        name: tensor
        for name, tensor in file.tensors.items()
        if name in wanted or not any(name.startswith(f"{module}.") for module in droppable)
    }
    # the counter of batches is read by nobody unless momentum is null
    missing = [n for n in wanted if n not in given and not n.endswith("num_batches_tracked")]
    unknown = [n for n in given if n not in wanted]
    shapes = [
        f"{name} {tuple(tensor.shape)} where the net has {tuple(wanted[name].shape)}"
        for name, tensor in given.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    faults = {"lacks": missing, "has other shapes:": shapes, "has unknown": unknown}
    for what, names in faults.items():
        if names:
            raise WeightsError(
                f"{file.path} does not fit the backbone: it {what} {first_of(names, 3)}; "
                "check model.backbone.timm_name, or give the file of this net"
            )
    net.load_state_dict(given, strict=False)


def _about(path: Path) -> dict[str, Any]:
    """arch, mean, std, pad_type and bn_eps as a .json file gives them; null where it is silent."""
    try:
        content = read_json(path) if path.is_file() else {}
        return {key: checked(content.get(key), kind, key) for key, kind in _TOLD.items()}
    except (ConfigError, DataError) as error:
        raise WeightsError(f"{path}: {error}; mend or remove it") from error


def fetch_pretrained(timm_name: str, source: PretrainedCfg) -> Path:
    """Path of the weights that `source`, timm's entry of the net, points to.

    Honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and TORCH_HOME. A cached file is taken
    without asking the network; within `no_downloads` no other is.
    Raises WeightsError, with the ways out, when there are none or they cannot be had.
    """
    hub_id, url = source.hf_hub_id, str(source.url or "")
    if not hub_id and not url:
        raise WeightsError(
            f"timm has no pretrained weights of `{timm_name}`; give "
            "model.backbone.weights=FILE.safetensors, or model.backbone.weights=none to train from "
            "scratch, or another model.backbone.timm_name"
        )
    try:
        if not hub_id:
            return _from_url(url)
        return _from_hub(hub_id, source.hf_hub_filename or "model.safetensors")
    except WeightsError:
        raise
    # what a dead network raises differs between versions of the hub's client
    except Exception as error:
        place = f"{hub_id} on the hub" if hub_id else url
        reason = first_line(error)
        raise WeightsError(
            f"ImageNet weights of `{timm_name}` are not in the cache and cannot be downloaded from "
            f"{place} ({reason}); do one of: (1) run once with network, or set HF_ENDPOINT to a "
            "mirror, or HF_HOME to a cache filled elsewhere; (2) model.backbone.weights="
            "FILE.safetensors; (3) model.backbone.weights=none to train from scratch"
        ) from error


def _from_hub(hub_id: str, filename: str) -> Path:
    repo, _, tag = hub_id.partition("@")
    revision = tag or None
    safe = re.sub(r"\.(bin|pth|pt)$", ".safetensors", filename)
    names = (safe, "pytorch_model.bin" if filename == "model.safetensors" else filename)
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    _refuse_where_forbidden(repo)
    for name in names:
        url = huggingface_hub.hf_hub_url(repo, name, revision=revision)
        try:
            # one question without retries, for hf_hub_download asks for a minute
            huggingface_hub.get_hf_file_metadata(url, timeout=TIMEOUT_S)
        except huggingface_hub.errors.EntryNotFoundError:
            if name == names[-1]:
                raise
            continue
        log.info("downloading %s of %s", name, repo)
        return Path(huggingface_hub.hf_hub_download(repo, name, revision=revision))
    raise AssertionError("a last name either returns or raises")


def _from_url(url: str) -> Path:
    """File of a plain address, kept where torch.hub keeps them, checked by the hash in its name."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.is_file():
        _refuse_where_forbidden(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([a-f0-9]{8,})\.", path.name)
        log.info("downloading %s", url)
        # torch.hub takes no timeout, and waits for minutes for a host that does not answer
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT_S)
        try:
            torch.hub.download_url_to_file(url, str(path), digest and digest[1], progress=False)
        finally:
            socket.setdefaulttimeout(before)
    return path


def _refuse_where_forbidden(place: str) -> None:
    if why := downloads_forbidden.get():
        raise WeightsError(f"the ImageNet weights {place} are not in the cache, and {why}")
