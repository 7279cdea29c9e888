"""Which runs keep what their backbone gives of evaluated images."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from braintumor.workflows.setup import keeps_summaries

HEAD: dict[str, Any] = {"epochs": 3, "trainable": "head", "lr": None}


@pytest.mark.parametrize(
    ("phases", "views", "device", "kept"),
    [
        ([HEAD], 2, "cpu", True),
        ([HEAD, HEAD | {"trainable": 0}], 1, "cpu", True),
        ([HEAD, HEAD | {"trainable": "last_block"}], 2, "cpu", False),
        ([{"epochs": 3}], 2, "cpu", False),  # all is what a phase trains unless it says so
        ([HEAD], 0, "cpu", False),
        ([HEAD], 2, "cuda", False),
    ],
)
def test_only_a_backbone_that_no_phase_trained_is_of_use_to_others(
    phases: list[dict[str, Any]], views: int, device: str, kept: bool
) -> None:
    settings = {"train": {"phases": phases}, "features": {"views": views}}
    assert keeps_summaries(settings, torch.device(device)) is kept
