"""The Hydra shell that all commands share: compose, run, and answer mistakes in a sentence.

A command is `command(config_name, run)`: Hydra composes the settings, `run(request)`
is plain Python. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from braintumor._version import __version__
from braintumor.cli.failures import failure_of
from braintumor.cli.flags import check_flags, choose_launcher, held_sweep, refuse_foreign_config
from braintumor.cli.help import help_text
from braintumor.config import config_dir
from braintumor.errors import ConfigError, MachineError, device_failure
from braintumor.interrupts import INTERRUPTED, ToldInterrupt, is_asked, listening
from braintumor.privacy import set_privacy
from braintumor.progress import waiting
from braintumor.runs.folder import RunFolder
from braintumor.runtime import configure_process, rank, world_size
from braintumor.workflows import console
from braintumor.workflows.arguments import Request, check_settings, with_found_places
from braintumor.workflows.mistakes import answer_mistake, refuse_words
from braintumor.workflows.outputs import record_failure
from braintumor.workflows.words import Typed, for_hydra, is_sweep, register_models

Run = Callable[[Request], None]

_BUG = (
    "this is a bug in braintumor, not your mistake; please report the lines above with the command"
)
_lost: list[str] = []  # what is said of a GPU that failed for the rest of the process


def command(
    config_name: str, run: Run, after_sweep: Callable[[Path, int], None] | None = None
) -> None:
    """Run one command with the arguments of this process, and leave with its exit code.

    0 done, 1 our bug, 2 the user's input, 3 the machine, 130 interrupted.
    after_sweep: called with the sweep's folder, and the exit code, once its jobs have ended.
    """
    console.open_standard_files()
    typed = Typed(config_name, tuple(sys.argv[1:]))
    if _is_answered(typed):
        return
    # Hydra would print its own errors and leave; with this set it raises, and we explain
    os.environ["HYDRA_FULL_ERROR"] = "1"
    console.log_to_console()
    register_models()
    _lost.clear()

    def whole() -> int:
        check_flags(typed)
        refuse_foreign_config(typed, config_dir())
        refuse_words(typed)
        if world_size() > 1:
            _refuse_together(typed)
        sys.argv[1:] = for_hydra(typed)
        choose_launcher(sys.argv, config_name)
        with held_sweep(sys.argv, config_name) as folder:
            code = _exit_code_of(lambda: _compose_and_run(typed, run), typed)
            if _lost:
                return _report(_lost[0], 3)
            has_begun = folder is not None and any(folder.glob("*/status.json"))
            if after_sweep and folder and has_begun and code in (0, 2, INTERRUPTED):
                code = max(code, _exit_code_of(lambda: after_sweep(folder, code), typed))
        return code

    with listening():
        code = _exit_code_of(whole, typed)
    sys.exit(code)


def _is_answered(typed: Typed) -> bool:
    """Whether a line or a page is all: in a notebook, on --help and --version."""
    if re.match(r"(ipykernel|colab_kernel|ipython)", Path(sys.argv[0]).name):
        name = dataclasses.replace(typed, is_python=True).name_of(typed.command)
        said = (
            f"bt-{typed.command} is for a terminal; here use `import braintumor as bt; {name}(…)`"
        )
        print(f"{said}; help({name}) says how", file=sys.stderr)
    elif {"--help", "-h"} & set(typed.words):
        try:
            print(help_text(typed.command), flush=True)
        except BrokenPipeError:  # `| head`
            console.silence_stdout()
    elif "--version" in typed.words:
        print(f"braintumor {__version__}")
    else:
        return False
    return True


def _compose_and_run(typed: Typed, run: Run) -> None:
    """Do what Hydra composes of the words of this process: one run, or the jobs of a sweep."""
    composed: list[Request] = []
    failure: list[BaseException] = []

    @hydra.main(config_path=str(config_dir()), config_name=typed.command, version_base="1.3")
    def app(cfg: Any) -> Request | None:
        known = HydraConfig.get()
        if known.mode == RunMode.MULTIRUN:
            request = _request(cfg, typed, Path(known.runtime.output_dir))
            if known.runtime.choices["hydra/launcher"] == "gpus":
                return request  # which it hands to a process
            console.log_to_console()  # a job of the joblib launcher runs in a process of its own
            run_job(typed.command, run, request)
            return None
        try:
            composed.append(_request(cfg, typed))
        except BaseException as error:
            failure.append(error)  # Hydra would print a line of its own before ours
        return None

    app()
    if failure:
        raise failure[0]
    for request in composed:
        _run_checked(typed.command, run, request)


def entry(name: str, module: str) -> tuple[Run, Callable[[], None]]:
    """What a command runs, the function of the module's name there, and its entry point."""
    run = workflow(module, module)
    return run, partial(command, name, run)


def workflow(module: str, function: str) -> Callable[[Any], None]:
    """A function of braintumor/workflows, imported when it is called: --help needs no torch."""

    def run(asked: Any) -> None:
        with waiting("starting"):
            found = getattr(importlib.import_module(f"braintumor.workflows.{module}"), function)
        found(asked)

    return run


def _refuse_together(typed: Typed) -> None:
    if typed.command != "train" or is_sweep(typed.words):
        what = f"bt-{typed.command}{' -m' if typed.command == 'train' else ''}"
        how = ", and add hydra/launcher=gpus" if typed.command == "train" else ""
        raise ConfigError(
            f"torchrun started {world_size()} processes to share one training, and {what} is no "
            f"such work; leave torchrun out{how}"
        )


def _request(cfg: Any, typed: Typed, sweep_folder: Path | None = None) -> Request:
    known = HydraConfig.get()
    choices = {str(k): str(v) for k, v in known.runtime.choices.items()}
    return Request(
        settings=dict(OmegaConf.to_container(cfg, resolve=True)),  # type: ignore[arg-type]
        choices={k: v for k, v in choices.items() if not k.startswith("hydra/")},
        # as typed: what stands in ${…} may be wrong, and is resolved where that is answered
        overrides=tuple(OmegaConf.to_container(known.overrides.task)),  # type: ignore[arg-type]
        sweep_folder=sweep_folder,
        command=(f"bt-{typed.command}", *typed.words),
        own_pictures=typed.with_own_pictures if typed.names_nothing else "",
    )


def _run_checked(config_name: str, run: Run, request: Request) -> None:
    request = dataclasses.replace(request, settings=with_found_places(request.settings))
    check_settings(config_name, request.settings)
    set_privacy(request.settings)
    configure_process()  # before torch allocates, so before what imports it
    run(request)


def run_job(config_name: str, run: Run, request: Request) -> int:
    """One of several runs: failing, it is recorded and ends no other. Gives its exit code."""
    try:
        if _lost:
            raise MachineError(f"not started: {_lost[0]}")
        if request.sweep_folder and (named := request.settings.get("run_dir")):
            raise ConfigError(
                f"run_dir={named} would be the folder of every job of the sweep; "
                "name the sweep's folder instead: hydra.sweep.dir=FOLDER"
            )
        _run_checked(config_name, run, request)
    except Exception as error:
        record_failure(RunFolder(request.folder), error, overrides=list(request.overrides))
        failure = failure_of(error)
        if not _lost and (said := device_failure(error)):
            _lost.append(said)
        console.log.error("job %s failed: %s", request.folder.name, failure or error)
        return failure.exit_code if failure else 1
    return 0


def _exit_code_of(work: Callable[[], int | None], typed: Typed) -> int:
    """Run it; print what went wrong, with a traceback only for our own bugs or BT_DEBUG=1."""
    try:
        return work() or 0
    except KeyboardInterrupt as error:
        return _interrupted(error, typed)
    except Exception as error:
        if failure := failure_of(error):
            return _report(str(failure), failure.exit_code)
        if is_asked():  # a library, cut off in its midst, raised something else instead
            return _interrupted(KeyboardInterrupt(), typed)
        answer = answer_mistake(error, typed)
        return _report(answer, 2) if answer else _report(_BUG, 1)


def _interrupted(error: KeyboardInterrupt, typed: Typed) -> int:
    if isinstance(error, ToldInterrupt):
        return INTERRUPTED
    if is_sweep(typed.words):  # of whose jobs more is said
        console.complain("\ninterrupted")
        return INTERRUPTED
    # it was cut off before it could say how to go on
    words = [*typed.words, *(n for n in getattr(error, "__notes__", ()) if n not in typed.words)]
    done = "nothing was trained yet; " if typed.command == "train" else ""
    if any(word.startswith("resume=") for word in typed.words):
        done = "nothing was changed; "
    how = f": {done}start again with: {shlex.join([f'bt-{typed.command}', *words])}"
    console.complain(f"\ninterrupted{how}")
    return INTERRUPTED


def _report(message: str, code: int) -> int:
    if code == 1 or os.environ.get("BT_DEBUG") == "1":
        traceback.print_exc()
    if rank() == 0 or code == 1:  # what a process beside it has to say reaches the first one
        console.complain(f"error: {message}")
    return code
