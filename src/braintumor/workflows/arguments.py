"""What a command is asked to do: its settings, checked for names and types before it begins.

Hydra composes whatever it is given: another file, sections taken away, keys added.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from braintumor.config import typed, typed_part, with_changed
from braintumor.data.names import split_of
from braintumor.errors import ConfigError
from braintumor.models import BackboneCommon, ModelSections
from braintumor.places import as_on_disk, as_path
from braintumor.privacy import PrivacySettings
from braintumor.ranges import BatchSize, ShareWithin, Views, Within
from braintumor.runs.folder import run_around
from braintumor.runtime import Precision

Settings = dict[str, Any]
A = TypeVar("A")


@dataclass(frozen=True)
class Request:
    """The settings of a command, and how they were given.

    settings: as Hydra composed them, plain dicts and lists: what config.yaml and the card keep.
    choices: config group -> chosen option, such as {"model": "mobilenet_mhsa"}.
    overrides: as Hydra reads them, such as ("data.root='my mri'",).
    command: the words that do the same; () where they are those of the process.
    sweep_folder: of this job, under -m.
    own_pictures: how to call it with a folder of pictures, where no data set was named and
        generated slices are taken; else "".
    """

    settings: Settings
    choices: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    sweep_folder: Path | None = None
    command: tuple[str, ...] = ()
    own_pictures: str = ""

    def arguments(self, kind: type[A]) -> A:
        """The settings as one of the classes below. Raises ConfigError."""
        return typed(kind, self.settings, "")

    @property
    def folder(self) -> Path:
        """Where one of several jobs was told to write or to go on: by sweep, run_dir or resume."""
        named = self.settings["run_dir"] or self.settings.get("resume")
        return self.sweep_folder or Path(named or "").expanduser()

    def to_json(self) -> str:
        """For another process, which reads it with `from_json`."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """What `to_json` wrote."""
        return typed(cls, json.loads(text), "")


@dataclass(frozen=True)
class _Common:
    """Of every command. privacy: a run of before has none of it."""

    run_dir: Path | None
    overwrite: bool
    privacy: Mapping | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class TrainArguments(_Common):
    """Of bt-train; folds and seeds are checked by train.list_trials."""

    data: Mapping
    model: Mapping
    augment: Mapping
    optimizer: Mapping
    scheduler: Mapping
    loss: Mapping
    train: Mapping
    features: Mapping
    eval: Mapping
    decision: Mapping
    seed: int
    split: str
    folds: Any
    seeds: Any
    fold: int | None
    device: str | int
    resume: Path | None
    init: Path | None = None
    slots: int | None = None
    tracker: Mapping | None = None


@dataclass(frozen=True)
class TuneArguments(TrainArguments):
    """Of bt-tune: those of bt-train, and tuning.space.TuneSettings."""

    tune: Mapping = field(kw_only=True)


@dataclass(frozen=True)
class EvalArguments(_Common):
    """Of bt-eval."""

    eval: Mapping
    prevalence: ShareWithin | None
    ckpt: Path | list | None
    on: Any
    split: str | None
    device: str | int
    precision: Precision | None
    batch_size: BatchSize
    copy_bits: int
    data: Mapping | None = None

    def __post_init__(self) -> None:
        if self.split not in (None, "train", "val", "test", "all"):
            use = f"; use split={meant}" if (meant := split_of(self.split)) else ""
            raise ConfigError(f"split={self.split} is not one of train, val, test, all{use}")


@dataclass(frozen=True)
class PredictArguments(_Common):
    """Of bt-predict."""

    ckpt: Path | None
    input: Path | list | None
    overlays: int
    skip_unreadable: bool
    device: str | int
    precision: Precision | None
    batch_size: BatchSize
    views: Views | None


@dataclass(frozen=True)
class DataArguments(_Common):
    """Of bt-data."""

    data: Mapping
    seed: int
    split: str
    probe: bool
    cache: Literal["size", "clear"] | None


@dataclass(frozen=True)
class CompareArguments(_Common):
    """Of bt-compare."""

    runs: Any
    split: str
    by: Literal["validation", "test"]
    different_images: bool
    resamples: Annotated[int, Within(100)]  # for the ends of an interval
    bootstrap_seed: int


ARGUMENTS: dict[str, type] = {
    "train": TrainArguments,
    "eval": EvalArguments,
    "predict": PredictArguments,
    "data": DataArguments,
    "compare": CompareArguments,
    "tune": TuneArguments,
}
# settings that are paths, whether they are there or not
PATHS = frozenset((
    "data.root", "data.table", "ckpt", "input", "resume", "init", "runs", "on",
    "model.backbone.weights", "run_dir",
))  # fmt: skip
TRAININGS = ("train", "tune")  # the commands with the settings of a training


@dataclass(frozen=True)
class _Named:
    name: str


def with_found_places(settings: Settings) -> Settings:
    """The settings with their paths as what is there is spelled.

    Raises ConfigError on a path that nothing can have.
    """
    return with_changed(settings, PATHS, _found)


def _found(named: Any, key: str) -> Any:
    if isinstance(named, list):
        return [_found(one, key) for one in named]
    if not isinstance(named, str):
        return named
    path = as_path(named, key)
    if key == "resume" and (run := run_around(path)) != path:
        return str(run)
    return as_on_disk(named)


def check_settings(config_name: str, settings: Mapping[str, Any]) -> None:
    """Raises ConfigError on a key or section that is missing, unknown or of another type."""
    if path := next(hydra_keys(settings), None):
        raise ConfigError(
            f"`{path}` is a key by which Hydra would run code; components are chosen by name, "
            "such as model.backbone.name=cnn, so leave it out"
        )
    keys = ARGUMENTS[config_name]
    missing = [f.name for f in dataclasses.fields(keys) if f.default is dataclasses.MISSING]
    if missing := [name for name in missing if name not in settings]:
        raise ConfigError(
            f"bt-{config_name} needs the setting or section `{missing[0]}`; leave out what takes "
            "it away or replaces it"
        )
    typed(keys, settings, "")
    typed(PrivacySettings, settings.get("privacy") or {}, "privacy")
    if config_name in TRAININGS:
        _check_model(settings["model"])
        for section in ("data", "optimizer", "scheduler", "loss"):
            typed_part(_Named, settings[section], section)


def resumable(words: Sequence[str]) -> list[str]:
    """The words of a training; with resume= they may say where the data are, whatever data= is.

    The data set is named in the run folder; the one that Hydra knows may have no such key.
    """
    if not any(word.startswith("resume=") for word in words):
        return list(words)
    return [re.sub(r"^data\.(download|root|table)=", r"++data.\1=", word) for word in words]


def hydra_keys(node: Any, at: str = "") -> Iterator[str]:
    """Paths of keys that begin and end with an underscore: Hydra's own, which instantiate."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            path = f"{at}.{key}" if at else str(key)
            if re.fullmatch(r"_\w+_", str(key)):
                yield path
            yield from hydra_keys(value, path)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from hydra_keys(value, f"{at}[{number}]")


def _check_model(model: Mapping[str, Any]) -> None:
    for part in ("backbone", "attention", "head"):
        if part in model and not isinstance(model[part], Mapping):
            name = model[part] if isinstance(model[part], str) else "NAME"
            raise ConfigError(
                f"`model.{part}={model[part]}` should be a section; choose one with "
                f"model/{part}={name}"
            )
    typed(ModelSections, model, "model")
    typed_part(BackboneCommon, model["backbone"], "model.backbone")
