"""torch's compiler is imported by whom it serves, and by nobody else."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from braintumor.eager import eager

_STEP = """
import sys
import braintumor.workflows.train  # first, as bt-train does
from braintumor.models.backbones.timm import timm
from braintumor.training.optim import build_optimizer
net = timm.create_model("test_resnet")
options = {"name": "adamw", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
optimizer = build_optimizer(options, {"head": list(net.parameters())}, 0.1, {"head": 1.0})
net.conv1[0].weight.sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
import torch  # and it is the real one for who asks
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
"""


def test_a_training_step_of_a_timm_net_imports_no_compiler() -> None:
    subprocess.run([sys.executable, "-c", _STEP], check=True)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
def test_steps_and_state_are_those_of_torch(kind: type[torch.optim.Optimizer]) -> None:
    found = []
    for make in (kind, eager(kind), kind):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 6))
        optimizer = make([weight], lr=0.1, weight_decay=0.01)  # type: ignore[call-arg]
        for _ in range(3):
            (weight**3).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        found.append((weight.detach(), optimizer.state_dict()))
    (first, state), (second, same), _ = found
    assert torch.equal(first, second)
    assert str(state) == str(same)
