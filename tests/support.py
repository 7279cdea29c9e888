"""What tests of the commands share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from braintumor.cli.names import register_models
from braintumor.cli.shell import Job
from braintumor.cli.train import run
from braintumor.config import config_dir

# bt("train", "seed=1", cwd=folder)
Command = Callable[..., subprocess.CompletedProcess[str]]

# a training of seconds on phantoms
TINY = ["debug=tiny", "data.patients=24", "data.limit=null", "train.tensorboard=false"]


def train(*overrides: str) -> None:
    """bt-train without its shell: errors are raised, and there is no start-up to wait for."""
    ConfigStore.instance().repo.pop("model", None)
    register_models()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        settings = OmegaConf.to_container(hydra.compose("train", [*overrides]), resolve=True)
    run(settings, Job({"data": "phantom"}, overrides, None))  # type: ignore[arg-type]
