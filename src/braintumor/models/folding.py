"""In evaluation, batch norm is a scale and a shift, which the convolution before it can do.

Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from typing import cast

from torch import fx, nn
from torch.nn.utils import fuse_conv_bn_weights

log = logging.getLogger(__name__)

_CONVOLUTIONS = ("Conv2d", "Conv2dSame")  # torch's and timm's; others make their weights anew
_NORMS = ("BatchNorm2d", "BatchNormAct2d")  # torch's, and timm's with an activation behind it


def fold_batch_norm(net: nn.Module) -> nn.Module | None:
    """The same function with fewer passes over memory: each norm done by its convolution.

    net: in evaluation mode; what is not folded is shared with it. Equal up to rounding (1e-5 of the
    largest feature in fp32). None where nothing can be folded, or the pass cannot be followed.
    """
    try:
        folded = fx.GraphModule(net, _Tracer().trace(net))
    except Exception as error:  # any net of any library: what goes wrong in it is not known here
        log.debug("batch norm is not folded: %s", error)
        return None
    calls = Counter(node.target for node in folded.graph.nodes if node.op == "call_module")
    once = [node for node in folded.graph.nodes if calls[node.target] == 1]
    count = sum(_fold(folded, node) for node in once if node.args and node.args[0] in once)
    return folded.eval() if count else None


class _Tracer(fx.Tracer):
    """Looks into blocks, not into layers: what has no children is taken as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children()) or type(m).__name__ in _NORMS


def _fold(folded: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the node was a norm behind a convolution of its own; then it is one no more."""
    before = cast(fx.Node, node.args[0])
    norm, convolution = (folded.get_submodule(str(n.target)) for n in (node, before))
    if type(norm).__name__ not in _NORMS or type(convolution).__name__ not in _CONVOLUTIONS:
        return False
    norm, convolution = cast(nn.BatchNorm2d, norm), cast(nn.Conv2d, convolution)
    if norm.running_mean is None or norm.running_var is None or len(before.users) > 1:
        return False
    fused = copy.copy(convolution)
    fused._parameters = {}
    fused.weight, fused.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps,
        norm.weight, norm.bias,
    )  # fmt: skip
    fused.requires_grad_(False)
    folded.set_submodule(str(before.target), fused)
    beside = [norm.get_submodule(name) for name in ("drop", "act") if hasattr(norm, name)]
    folded.set_submodule(str(node.target), nn.Sequential(*beside))
    return True
