"""Of the words of a command what is for Hydra: other files of settings, and sweeps.

The folder of a sweep is held until its jobs have ended; who names one that has been used goes on
with the same sweep.
"""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf

from braintumor.config import options_of
from braintumor.errors import ConfigError
from braintumor.files import MARKER, read_yaml, write_atomic
from braintumor.jobs.slots import find_gpus
from braintumor.places import as_path
from braintumor.privacy import working_directory
from braintumor.quoting import hydra_value, key_of
from braintumor.runs.commands import repeat_command, resume_command, sweep_told
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import SWEEP
from braintumor.runs.ownership import check, hold, hold_new, remove_own
from braintumor.workflows.arguments import hydra_keys
from braintumor.workflows.guesses import of_another_option, own_data, setting_called
from braintumor.workflows.outputs import of_now
from braintumor.workflows.synonyms import explain_foreign
from braintumor.workflows.words import Typed, is_sweep

_KEY = "hydra.sweep.dir"


def _refuse(message: str) -> None:
    """In the place of a page of usage and an exit."""
    raise argparse.ArgumentError(None, message)


def check_flags(typed: Typed) -> None:
    """Raises ConfigError on an option that begins with a dash and that Hydra does not know."""
    parser = get_args_parser()
    parser.exit_on_error = False
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    try:
        # which would be short for several of Hydra's
        unknown = [word for word in typed.words if word.partition("=")[0] == "--config"]
        unknown = unknown or [
            word for word in parser.parse_known_args(typed.words)[1] if word[0] == "-"
        ]
    except (argparse.ArgumentError, SystemExit) as error:
        raise ConfigError(f"{error}; bt-{typed.command} --help shows what there is") from error
    if not unknown:
        return
    word, known = unknown[0], list(parser._option_string_actions)
    flag, _, value = word.partition("=")
    if flag != "--config" and (near := difflib.get_close_matches(flag, known, n=1, cutoff=0.75)):
        raise ConfigError(f"{word} is not an option; did you mean {near[0]}?")
    said = f"{word} is not an option; settings have no dashes and are given as key=value"
    name = flag.lstrip("-").replace("-", "_")
    after = [*typed.words, ""][typed.words.index(word) + 1]
    value = value or (after if after and "=" not in after and after[0] != "-" else "")
    if answer := explain_foreign(name, value or "true", typed):
        raise ConfigError(answer)
    setting = setting_called(name, typed.command)
    if setting is None:
        owned = of_another_option(name, value or "VALUE")
        use = typed.use(*owned[2]) if owned else f"bt-{typed.command} --help shows what there is"
        raise ConfigError(f"{said}; {use}")
    is_place = setting == "data" and value not in options_of("data")
    words = own_data(value) if is_place and value else [f"{setting}={value or 'VALUE'}"]
    raise ConfigError(f"{said}; {typed.use(*words)}")


def refuse_foreign_config(typed: Typed, own: Path) -> None:
    """Of Hydra's --config-name only a file that builds on the command's own settings is taken.

    own: folder of the settings.
    Raises ConfigError, for Hydra would go on with sections missing and leave files behind.
    """
    config_name = typed.command
    flags, _ = get_args_parser().parse_known_args(typed.words)
    if flags.config_path:
        raise ConfigError(
            f"--config-path={flags.config_path} would take the place of all settings of "
            "braintumor; use --config-dir=FOLDER, which adds your files to them"
        )
    name = (flags.config_name or config_name).removesuffix(".yaml")
    if name == config_name:
        return
    folders = [own, *([as_path(flags.config_dir, "--config-dir")] if flags.config_dir else [])]
    file = next((path for f in folders if (path := f / f"{name}.yaml").is_file()), None)
    if file is None:
        looked = " and ".join(map(str, folders))
        raise ConfigError(f"--config-name={name}: there is no {name}.yaml in {looked}")
    content = read_yaml(file)
    entries = content.get("defaults") if isinstance(content, dict) else None
    if not isinstance(entries, list) or config_name not in [str(e).lstrip("/") for e in entries]:
        run = RunFolder(file.parent)
        if run.status.is_file() and config_name == "train":
            go_on = "" if run.is_complete else f", or go on with it: {resume_command(run.path)}"
            raise ConfigError(
                f"{file} is the record of a run; train the same again, in a new folder: "
                f"{repeat_command(run, in_place=False)}{go_on}"
            )
        raise ConfigError(
            f"{file} does not build on the settings of bt-{config_name}; a file of your own begins "
            f"with `defaults: [{config_name}, _self_]`"
        )
    if key := next(hydra_keys(content), None):
        raise ConfigError(f"`{key}` in {file} is a key by which Hydra would run code; remove it")


def choose_launcher(arguments: list[str], config_name: str) -> None:
    """Let a sweep of trainings use all GPUs of the machine, unless it says how to launch its jobs.

    arguments: of the process, which are added to.
    """
    keys = set(map(key_of, arguments))
    is_of_trainings = config_name == "train" and is_sweep(arguments)
    if is_of_trainings and not keys & {"hydra/launcher", "device"} and len(find_gpus()) > 1:
        arguments.append("hydra/launcher=gpus")


@contextmanager
def _whole_saves() -> Iterator[None]:
    """Within, what Hydra saves is written whole or not at all: a sweep goes on by it.

    Also from elsewhere, so it says from its own folder where the command was typed.
    """

    def save(config: Any, file: str | Path, resolve: bool = False) -> None:
        kept: Any = OmegaConf.to_container(config, resolve=resolve)
        kept["hydra"]["runtime"]["cwd"] = working_directory(Path(file).parent)
        write_atomic(Path(file), OmegaConf.to_yaml(OmegaConf.create(kept)))

    own = OmegaConf.save
    OmegaConf.save = save  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        OmegaConf.save = own  # type: ignore[method-assign]


@contextmanager
def held_sweep(arguments: list[str], config_name: str = "train") -> Iterator[Path | None]:
    """The folder of the sweep that the arguments ask for, held; None without a sweep.

    arguments: of the process; where hydra.sweep.dir stands for something that changes, such as the
    time, it is set to what it is now.
    Raises ConfigError when the folder that is named holds anything but the same sweep of trainings,
    CheckpointError when all jobs of that are complete.
    """
    if not is_sweep(arguments):
        yield None
        return
    places = [i for i, a in enumerate(arguments) if a.lstrip("+").startswith(f"{_KEY}=")]
    with ExitStack() as stack:
        stack.enter_context(_whole_saves())
        if places:
            setup_globals()  # ${now:…}
            named = OverridesParser.create().parse_override(arguments[places[-1]]).value()
            folder = as_path(str(OmegaConf.create({"dir": named})["dir"]), _KEY)
            arguments[places[-1]] = f"{_KEY}={hydra_value(str(folder))}"
            is_used = config_name == "train" and (folder / "multirun.yaml").is_file()
            if is_used:
                check(folder, SWEEP, "continue")  # nothing is written before it is accepted
                from braintumor.workflows.sweep import check_same  # Hydra's sweeper

                check_same(folder, get_args_parser().parse_known_args(arguments[1:])[0].overrides)
            stack.enter_context(hold(folder, SWEEP, "continue" if is_used else "refuse"))
        else:
            folder = stack.enter_context(hold_new(of_now("multirun"), SWEEP))
            os.environ["BT_SWEEP"] = folder.name  # configs/_hydra.yaml takes it from there
        with sweep_told(folder) if config_name == "train" else nullcontext():
            yield folder
        # what Hydra writes before it looks at the settings of the first job
        if {path.name for path in folder.iterdir()} <= {MARKER, *SWEEP.files}:
            remove_own(folder, SWEEP)
