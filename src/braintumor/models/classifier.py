"""normalise -> backbone -> attention -> head, and what of it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor import config as settings
from braintumor.errors import ConfigError, DataError
from braintumor.models import ModelSections
from braintumor.models import head as head_module
from braintumor.models.attention import build_attention
from braintumor.models.backbones import Backbone, build_backbone
from braintumor.models.folding import fold_batch_norm

# B batch, S side of the picture, C channels, h w height and width of the map, K classes

# their gradient needs the input: done in place, autograd first copies it, a launch for each layer
_GRADIENT_NEEDS_INPUT = (nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.Mish)


class Classifier(nn.Module):
    """Raw pixels to logits: uint8 or float (B, 1|3, S, S) in 0..255 -> float32 (B, K).

    Grey pictures become three equal channels; normalisation is part of the model.
    settings: the `model` section that builds this model again without its weights file.
    Evaluating raises DataError on floats in 0..1, which would be answered as black pictures.
    """

    mean_255: Tensor
    std_255: Tensor

    def __init__(
        self,
        backbone: Backbone,
        attention: nn.Module,
        head: nn.Sequential,
        num_classes: int,
        model: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone, self.attention, self.head = backbone, attention, head
        self.settings = dict(model)
        self.register_buffer("mean_255", torch.tensor(backbone.mean).mul_(255).view(1, 3, 1, 1))
        self.register_buffer("std_255", torch.tensor(backbone.std).mul_(255).view(1, 3, 1, 1))
        self._num_trainable_stages = len(backbone.stages)
        is_average = isinstance(head[0], head_module.Pool) and head[0].pooling == "avg"
        self._attention_pools = is_average and hasattr(attention, "forward_pooled")
        self.pools_before_attention = isinstance(attention, nn.Identity) or (
            self._attention_pools and getattr(attention, "takes_pooled", False)
        )
        # None: not within `fused`; empty until the backbone runs. A list, so no checkpoint holds it
        self._fused: list[nn.Module] | None = None

    def forward(self, x_BcSS: torch.Tensor) -> torch.Tensor:
        if not self.training and x_BcSS.is_floating_point():
            _refuse_unit_range(x_BcSS)
        return self.forward_head(self.forward_features(x_BcSS))

    def forward_features(self, x_BcSS: torch.Tensor) -> torch.Tensor:
        """The backbone's map (B, C, h, w), before attention; no gradients when all is frozen."""
        x_B3SS = (x_BcSS.expand(-1, 3, -1, -1) - self.mean_255) / self.std_255
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._num_trainable_stages > 0):
            if self.training and len(x_B3SS) == 1:
                with _running_statistics(self.backbone):
                    return self.backbone(x_B3SS)
            return self._backbone_now()(x_B3SS)

    def forward_head(self, features_BChw: torch.Tensor) -> torch.Tensor:
        """Logits float32 (B, K) of what `forward_features` or `forward_cacheable` gave.

        Under autocast, too, pooling and head compute in float32: bf16 has 8 bits, so that of 50
        images 17 would share their logit with another one, and thresholds would rest on ties.
        """
        attend: Any = self.attention.forward_pooled if self._attention_pools else self.attention
        attended, is_alone = attend(features_BChw), self.training and len(features_BChw) == 1
        with (
            torch.autocast(attended.device.type, enabled=False),
            _running_statistics(self.head) if is_alone else nullcontext(),
        ):
            return self.head(attended)

    @property
    def is_backbone_frozen(self) -> bool:
        """Whether nothing of the backbone is trained, so that its output may be kept."""
        return self._num_trainable_stages == 0

    @property
    def is_compiled(self) -> bool:
        """Whether calls go through torch.compile."""
        return self._compiled_call_impl is not None

    @contextmanager
    def fused(self) -> Iterator[None]:
        """Within, the backbone's weights may not change, and it computes faster (folding.py).

        For many images without gradients; the answers are the same up to rounding. It is folded
        once, when it first runs. Does nothing while any of it is in training mode, within another,
        where the model is compiled, and but on a CPU: what it gains elsewhere is not measured.
        """
        in_training = any(module.training for module in self.backbone.modules())
        is_elsewhere = self.mean_255.device.type != "cpu"
        if in_training or self._fused is not None or self.is_compiled or is_elsewhere:
            yield
            return
        self._fused = []
        try:
            yield
        finally:
            self._fused = None

    @contextmanager
    def unfused(self) -> Iterator[None]:
        """Within, also within `fused`, the backbone computes as it is, to the last bit."""
        before, self._fused = self._fused, None
        try:
            yield
        finally:
            self._fused = before

    def _backbone_now(self) -> nn.Module:
        if self._fused is None:
            return self.backbone
        if not self._fused:
            self._fused.append(fold_batch_norm(self.backbone) or self.backbone)
        return self._fused[0]

    def __getstate__(self) -> dict[str, Any]:
        # torch's leaves out compiled code, which would go on calling this model; and a copy may
        # change, so it is not fused
        return super().__getstate__() | {"_fused": None}

    def forward_cacheable(self, x_BcSS: torch.Tensor) -> torch.Tensor:
        """What comes before the first layer of attention and head with parameters.

        The backbone's map (B, C, h, w) or, with no attention or with se before average pooling,
        what the head pools of it, such as (B, C). `forward_head` takes either.
        """
        features_BChw = self.forward_features(x_BcSS)
        return self.head[0](features_BChw) if self.pools_before_attention else features_BChw

    def frozen_state(self) -> dict[str, torch.Tensor]:
        """The tensors that the output of `forward_cacheable` depends on."""
        state = {f"backbone.{name}": tensor for name, tensor in self.backbone.state_dict().items()}
        return state | {"mean_255": self.mean_255, "std_255": self.std_255}

    def set_trainable(self, what: str | int) -> None:
        """Choose what is trained: attention and head always, of the backbone this.

        what: "head" nothing, "last_block" the last stage, "all" everything, also position
        embeddings and class tokens, which belong to no stage; N the last N stages.
        Batch-norm statistics and dropout of frozen stages rest, also after `.train()`.
        Raises ConfigError for anything else.
        """
        count = len(self.backbone.stages)
        named: dict[str | int, int] = {"head": 0, "last_block": 1, "all": count}
        stages = named.get(what, what)
        if type(stages) is not int or not 0 <= stages <= count:  # a bool is an int, too
            raise ConfigError(
                f"trainable={what} is not head, last_block, all or a number of stages; "
                f"this backbone has {count}"
            )
        self._num_trainable_stages = stages
        self.requires_grad_(True)
        self.backbone.requires_grad_(stages == count)
        for module in self._open_modules():
            module.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As nn.Module.train, but frozen stages stay in evaluation mode."""
        super().train(mode)
        if mode and self._num_trainable_stages < len(self.backbone.stages):
            self.backbone.eval()
            for module in self._open_modules():
                module.train()
        for module in self.modules():
            if isinstance(module, _GRADIENT_NEEDS_INPUT):
                module.inplace = not module.training
        return self

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """What is trained now: {"backbone": [...], "head": [...]}, attention with the head."""
        return {
            "backbone": [p for p in self.backbone.parameters() if p.requires_grad],
            "head": [*self.attention.parameters(), *self.head.parameters()],
        }

    def _open_modules(self) -> list[nn.Module]:
        stages = self.backbone.stages
        return [m for stage in stages[len(stages) - self._num_trainable_stages :] for m in stage]


def _refuse_unit_range(x_BcSS: torch.Tensor) -> None:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return
    brightest = x_BcSS.max().item()  # waits for the device; what this program evaluates is uint8
    if 0 < brightest <= 1:
        raise DataError(
            f"the brightest pixel is {brightest:.3g}, so these floats are in 0..1 and the model "
            "wants 0..255; multiply by 255, or give uint8"
        )


@dataclass(frozen=True, eq=False)
class Body:
    """A classifier without its head: all that can be built before the classes are known.

    model: the `model` section.  random_state: of torch, as the body left it.
    """

    backbone: Backbone
    attention: nn.Module
    model: Mapping[str, Any]
    random_state: Tensor

    def with_head(self, num_classes: int) -> Classifier:
        """The classifier that `build_model` would have built; of one body, one is used at a time.

        Raises ConfigError on options of the head.
        """
        with torch.random.fork_rng([]):
            torch.set_rng_state(self.random_state)
            head: nn.Sequential = settings.call(
                head_module.build,
                self.model["head"],
                "model.head",
                channels=self.backbone.channels,
                num_classes=num_classes,
                map_size_px=self.backbone.map_size_px,
            )
        resolved = {key: dict(section) for key, section in self.model.items()}
        resolved["backbone"].update(self.backbone.resolved)
        return Classifier(self.backbone, self.attention, head, num_classes, resolved)


def build_body(model: Mapping[str, Any], image_size: int) -> Body:
    """Backbone and attention of a `model` section. As `build_model` but for the head."""
    settings.typed(ModelSections, model, "model")
    backbone = build_backbone(model["backbone"], image_size)
    attention = build_attention(model["attention"], backbone.channels)
    return Body(backbone, attention, model, torch.get_rng_state())


def build_model(model: Mapping[str, Any], num_classes: int, image_size: int) -> Classifier:
    """The classifier of a `model` section: {backbone: {...}, attention: {...}, head: {...}}.

    image_size: side of the pictures in px.
    Raises ConfigError on names, options or sizes, WeightsError on weights.
    """
    return build_body(model, image_size).with_head(num_classes)


def model_name(model: Mapping[str, Any]) -> str:
    """The user's name of a model, fit for a folder.

    >>> model_name({"backbone": {"name": "mobilenet"}, "attention": {"name": "mhsa"}})
    'mobilenet_mhsa'
    """
    backbone, attention = model["backbone"], model["attention"]["name"]
    label = backbone.get("label") or backbone.get("timm_name") or backbone["name"]
    return label if attention == "none" else f"{label}_{attention}"


@contextmanager
def _running_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm with its running statistics, for one image has no variance to norm with."""
    layers = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()
