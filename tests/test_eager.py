"""torch's compiler is imported by whom it serves, and by nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from braintumor.eager import eager, shapes_alone
from braintumor.models.backbones import build_backbone
from small_fit import section

# what takes half a second and more each, and serves no first step
_LATER = ["torch._dynamo", "sklearn", "scipy.stats", "scipy.optimize", "matplotlib", "sympy"]
_FIRST_STEP = """
import os, sys
from braintumor.cli import train
from braintumor.training.step import Step

call = Step.__call__
def first(*args):
    call(*args)
    print("imported:", *sys.modules)
    sys.stdout.flush()
    os._exit(0)
Step.__call__ = first
sys.argv = ["bt-train", *sys.argv[1:]]
train.main()
"""
_COMPILES = """
from braintumor.models.backbones._probe import dry_run
shape = dry_run("test_resnet", 64, ())
import torch  # and the compiler is the real one for who asks
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
from braintumor.cache_folder import remove_files
assert dry_run.__wrapped__("test_resnet", 64, ()) == shape  # of the cache
assert remove_files() > 0
assert dry_run.__wrapped__("test_resnet", 64, ()) == shape
"""


@pytest.mark.parametrize("model", ["cnn", "mobilenetv2_035"])
def test_the_first_step_has_imported_nothing_that_serves_later_ones(
    model: str, tmp_path: Path
) -> None:
    build_backbone(section("backbone", model) | {"weights": "none"}, 64)  # as an earlier run did
    words = [f"model={model}", "debug=tiny", "data.patients=16", f"run_dir={tmp_path / 'run'}"]
    command = [sys.executable, "-c", _FIRST_STEP, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    imported = set(done.stdout.partition("imported: ")[2].split())
    assert "braintumor.training.step" in imported
    assert [name for name in _LATER if name in imported] == []
    assert ("timm" in imported) == (model != "cnn")  # nor the nets of others, where it is our own


def test_a_net_is_looked_into_without_the_compiler_which_stays_as_it_is() -> None:
    subprocess.run([sys.executable, "-c", _COMPILES], check=True)


_LOADS = """
import sys
import braintumor as bt
classifier = bt.load(sys.argv[1])
assert classifier.network.backbone.mean
assert not {"torch._dynamo", "sympy"} & set(sys.modules), "the compiler was imported"
"""


def test_a_checkpoint_is_loaded_without_the_compiler(trained: Path) -> None:
    """Its net is built once for its shapes, which needs no values: two seconds of every command."""
    subprocess.run([sys.executable, "-c", _LOADS, str(trained)], check=True)


def test_a_net_of_shapes_alone_is_that_of_values_in_all_else() -> None:
    for name in ("cnn", "mobilenetv2_035"):
        options = section("backbone", name) | {"weights": "none"}
        whole = build_backbone(options, 64).state_dict()
        with shapes_alone():
            shapes = build_backbone(options, 64).state_dict()
        assert all(tensor.is_meta for tensor in shapes.values())
        assert {k: (v.shape, v.dtype) for k, v in shapes.items()} == {
            k: (v.shape, v.dtype) for k, v in whole.items()
        }


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
