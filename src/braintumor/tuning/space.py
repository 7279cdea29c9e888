"""What is searched: settings with their ranges and choices, and the words that set them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml

from braintumor.config import config_dir, did_you_mean, flat, options_of
from braintumor.errors import ConfigError
from braintumor.quoting import hydra_value, key_of
from braintumor.ranges import AboveZero, Count, Within

if TYPE_CHECKING:
    from optuna.trial import Trial

_NUMBER = r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?"
# the dots of a range are no decimal point: 1..5
_RANGE = re.compile(
    rf"(?P<log>log\s+)?(?P<low>{_NUMBER.replace('d*', 'd+')})\s*\.\.\s*(?P<high>{_NUMBER})"
    rf"(?:\s+step\s+(?P<step>{_NUMBER}))?",
    re.I,
)
_FIXED = re.compile(
    r"(tune|run_dir|overwrite|device|resume|folds?|seeds?|split|tracker|train\.early_stopping\.metric)"
    r"(\.|$)"
)
_FORMS = '"LOW..HIGH", "log LOW..HIGH", "LOW..HIGH step STEP" or a list of choices'


@dataclass(frozen=True)
class TuneSettings:
    """The `tune` section. Documented in configs/tune.yaml."""

    space: Mapping | str | None
    trials: Count
    minutes: AboveZero | None
    storage: str | None
    workers: Count | None
    sampler: Literal["tpe", "random"]
    pruner: Literal["halving", "none"]
    min_epochs: Count
    reduction: Annotated[int, Within(2)]
    final: bool


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both of them possible."""

    key: str
    low: float
    high: float
    is_log: bool = False
    step: float | None = None

    def suggest(self, trial: Trial) -> str:
        """Four digits: the words of a trial are those of the command that repeats it."""
        if isinstance(self.low, int):
            step = int(self.step or 1)
            low, high = int(self.low), int(self.high)
            return str(trial.suggest_int(self.key, low, high, step=step, log=self.is_log))
        value = trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.is_log)
        return f"{value:.4g}"

    def find(self, value: Any) -> float | None:
        """The value if it is one that a trial may draw."""
        is_number = isinstance(value, int if isinstance(self.low, int) else int | float)
        if not is_number or isinstance(value, bool) or not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / self.step if self.step else 0
        return value if math.isclose(steps, round(steps), abs_tol=1e-9) else None

    def extremes(self) -> tuple[str, ...]:
        """What is tried before the search: if the ends are accepted, so is what lies between."""
        return tuple(str(x) if isinstance(x, int) else f"{x:.4g}" for x in (self.low, self.high))

    def __str__(self) -> str:
        step = "" if self.step is None else f" step {self.step:g}"
        return f"{'log ' * self.is_log}{self.low:g}..{self.high:g}{step}"


@dataclass(frozen=True)
class Choice:
    """One of several values, as Hydra reads them; also lists and options of a group."""

    key: str
    values: tuple[str, ...]

    def suggest(self, trial: Trial) -> str:
        return str(trial.suggest_categorical(self.key, self.values))

    def find(self, value: Any) -> str | None:
        """The value if it is one that a trial may draw."""
        text = hydra_value(value)
        return text if text in self.values else None

    def extremes(self) -> tuple[str, ...]:
        return self.values

    def __str__(self) -> str:
        return f"[{', '.join(self.values)}]"


Parameter = Range | Choice


def suggest(trial: Trial, space: Iterable[Parameter]) -> list[str]:
    """The words of a trial, options of groups first: they bring the settings that others change."""
    words = [f"{each.key}={each.suggest(trial)}" for each in space]
    return sorted(words, key=lambda word: "." in key_of(word))


def find_start(
    space: Iterable[Parameter], settings: Mapping[str, Any], choices: Mapping[str, str]
) -> dict[str, Any]:
    """What the settings are without a search, key -> value; without those outside of the space.

    choices: group -> option.
    """
    known: dict[str, Any] = {**dict(flat(settings)), **choices}
    found = {each.key: each.find(known.get(each.key)) for each in space}
    return {key: value for key, value in found.items() if value is not None}


def find_space(space: Mapping | str | None, experiment: str | None) -> dict[str, Any]:
    """A space as key -> range or choices: itself, a preset by its name or, for None, of the
    experiment. Raises ConfigError on a name that no preset has.
    """
    presets = options_of("tune/space")
    if space is None:
        space = experiment if experiment in presets else "default"
    if isinstance(space, str):
        if space not in presets:
            raise ConfigError(
                f"tune.space={space} is no preset; {did_you_mean(space, presets)}; or give "
                "settings with ranges, such as 'tune.space={optimizer.lr: \"log 1e-5..1e-2\"}'"
            )
        file = config_dir() / f"tune/space/{space}.yaml"
        space = dict(yaml.safe_load(file.read_text(encoding="utf-8")))
    return dict(flat(space))


def read_space(space: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters of a space.

    >>> found = read_space({"optimizer.lr": "log 1e-5..1e-2", "model": ["cnn", "cnn_se"]})
    >>> [str(parameter) for parameter in found]
    ['log 1e-05..0.01', '[cnn, cnn_se]']

    Raises ConfigError on what is no range and no choice.
    """
    if not space:
        raise ConfigError("tune.space is empty, so there is nothing to search; leave it out")
    return tuple(_parameter(key, value) for key, value in space.items())


def _parameter(key: str, value: Any) -> Parameter:
    if _FIXED.match(key):
        raise ConfigError(
            f"tune.space: {key} is the same for all trials, or their figures could not be "
            f"compared; leave it out, and give it beside the space: {key}=VALUE"
        )
    if isinstance(value, list) and value:
        texts = tuple(map(hydra_value, value))
        if len(set(texts)) < len(texts):
            raise ConfigError(f"tune.space: {key} names a choice twice: {', '.join(texts)}")
        return Choice(key, texts)
    found = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ConfigError(
            f"tune.space: {key}: {value!r} is no range; give {_FORMS}. A setting that stays as it "
            f"is stands beside the space: {key}=VALUE"
        )
    ends = [found["low"], found["high"], *([found["step"]] if found["step"] else [])]
    number = int if all(re.fullmatch(r"[-+]?\d+", text) for text in ends) else float
    low, high = number(found["low"]), number(found["high"])
    step, is_log = number(found["step"]) if found["step"] else None, bool(found["log"])
    if low >= high:
        raise ConfigError(f"tune.space: {key}: {value} should begin with the smaller end")
    if is_log and (low <= 0 or step):
        raise ConfigError(f"tune.space: {key}: {value}: log needs ends above 0, and has no step")
    if step is not None and step <= 0:
        raise ConfigError(f"tune.space: {key}: {value} should have a step above 0")
    return Range(key, low, high, is_log, step)
