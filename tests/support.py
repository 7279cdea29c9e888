"""What tests of the commands share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from braintumor.cli.train import run
from braintumor.workflows.compose import compose

# bt("train", "seed=1", cwd=folder)
Command = Callable[..., subprocess.CompletedProcess[str]]

# a training of seconds on phantoms
TINY = ["debug=tiny", "data.patients=24", "data.limit=null", "train.tensorboard=false"]


def train(*overrides: str) -> None:
    """bt-train without its shell: errors are raised, and there is no start-up to wait for."""
    run(compose("train", overrides, {}))
