"""Where a timm net may be cut for freezing."""

from __future__ import annotations

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList)


def cut_stages(net: nn.Module, boundaries: list[str]) -> list[list[nn.Module]]:
    """Lists of modules from input to output that together hold all of `net`'s modules.

    boundaries: names of modules, each the last of its stage (timm's feature_info). What
    follows the last one, such as conv_head, joins the last stage. A boundary inside a block
    means the map at the block's entry (Xception's block2.rep.0): the cut is before the block.
    A stage without parameters joins the one before it (VGG's last pooling).
    """
    stages: list[list[nn.Module]] = [[]]
    for name, module in _units(net, "", boundaries):
        if any(boundary.startswith(f"{name}.") for boundary in boundaries):
            stages.append([])
        stages[-1].append(module)
        if name in boundaries:
            stages.append([])
    merged: list[list[nn.Module]] = []
    for stage in stages:
        is_open = merged and not _has_parameters(merged[-1])
        if merged and (is_open or not _has_parameters(stage)):
            merged[-1].extend(stage)
        else:
            merged.append(stage)
    last = boundaries[-1] if boundaries else ""
    return _join_tail(net, merged, last)


def _join_tail(net: nn.Module, stages: list[list[nn.Module]], last: str) -> list[list[nn.Module]]:
    """Join what follows the module named `last` to its stage."""
    names = {id(module): name for name, module in net.named_modules()}
    for index, stage in enumerate(stages):
        held = [names[id(module)] for module in stage]
        if any(last == name or last.startswith(f"{name}.") for name in held):
            tail = [module for later in stages[index + 1 :] for module in later]
            return [*stages[:index], stage + tail]
    return stages


def _units(net: nn.Module, prefix: str, boundaries: list[str]) -> list[tuple[str, nn.Module]]:
    """Children in order of definition; containers that hold a boundary are opened."""
    units = []
    for name, module in net.named_children():
        path = f"{prefix}{name}"
        inside = any(boundary.startswith(f"{path}.") for boundary in boundaries)
        if inside and isinstance(module, CONTAINERS):
            units += _units(module, f"{path}.", boundaries)
        else:
            units.append((path, module))
    return units


def _has_parameters(stage: list[nn.Module]) -> bool:
    return any(True for module in stage for _ in module.parameters())
