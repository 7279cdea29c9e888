"""The model names of the command line, made from two folders of YAML files.

model=<backbone>[_<attention>] exists for every file in configs/model/backbone and every file
in configs/model/attention: a new backbone is one YAML, and all its names appear.
"""

from __future__ import annotations

from hydra.core.config_store import ConfigStore

from braintumor.config import config_dir


def model_names() -> dict[str, tuple[str, str]]:
    """Name on the command line -> (backbone, attention)."""
    backbones, attentions = options_of("model/backbone"), options_of("model/attention")
    return {
        backbone if attention == "none" else f"{backbone}_{attention}": (backbone, attention)
        for backbone in backbones
        for attention in attentions
    }


def register_models() -> None:
    """Tell Hydra of every model name."""
    store = ConfigStore.instance()
    for name, (backbone, attention) in model_names().items():
        parts = [{"backbone": backbone}, {"attention": attention}, {"head": "default"}]
        store.store(group="model", name=name, node={"defaults": parts})


def options_of(group: str) -> list[str]:
    """What a config group offers, such as "model/attention"; the stems of its YAML files."""
    return sorted(path.stem for path in (config_dir() / group).glob("[!_]*.yaml"))
