"""Tensors of a training as they are now, on the host, for whoever writes them while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def to_host(tree: Any) -> Any:
    """The same nested dicts and lists with copies of their tensors on the CPU, of equal strides.

    All tensors of one type lie in one block, which the device sends at once: one by one the host
    would wait hundreds of times.
    """
    blocks: dict[tuple[torch.device, torch.dtype], dict[int, Tensor]] = {}
    for tensor in _tensors(tree):
        blocks.setdefault((tensor.device, tensor.dtype), {})[id(tensor)] = tensor.detach()
    copies: dict[int, Tensor] = {}
    for members in blocks.values():
        rows = [_in_memory_order(tensor) for tensor in members.values()]
        block = torch.cat([row.reshape(-1) for row in rows]).cpu()
        parts = block.split([row.numel() for row in rows])
        for key, row, part in zip(members, rows, parts, strict=True):
            own = members[key]
            strides = (own if row.data_ptr() == own.data_ptr() else row).stride()
            copies[key] = part.as_strided(own.shape, strides, part.storage_offset())
    return _replaced(tree, copies)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """The tensor, with its axes permuted so that it is contiguous; else a contiguous copy."""
    order = sorted(range(tensor.ndim), key=lambda axis: tensor.stride()[axis], reverse=True)
    permuted = tensor.permute(order)
    return permuted if permuted.is_contiguous() else tensor.contiguous()


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, Mapping) else tree
    is_nested = isinstance(tree, Mapping | list | tuple)
    return [tensor for part in parts for tensor in _tensors(part)] if is_nested else []


def _replaced(tree: Any, copies: Mapping[int, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return copies[id(tree)]
    if isinstance(tree, Mapping):
        return {key: _replaced(part, copies) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_replaced(part, copies) for part in tree)
    return tree
