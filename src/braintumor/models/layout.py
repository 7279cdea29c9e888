"""Where the weights of a network lie: on which device, and in which memory format."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from braintumor.config import Switch

Module = TypeVar("Module", bound=nn.Module)


def lay_out(model: Module, device: torch.device, channels_last: Switch) -> Module:
    """The model on the device, its convolutions by channels_last or as torch has them.

    auto: channels_last is faster, but for depthwise convolutions on CUDA: there cuDNN plans each
    shape anew, 8 to 11 s for a batch of MobileNet on an H200 against 0.8 s.
    """
    if channels_last == "auto":
        channels_last = device.type != "cuda" or not _is_depthwise(model)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device)


def _is_depthwise(model: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in model.modules())
