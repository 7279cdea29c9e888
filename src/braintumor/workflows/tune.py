"""bt-tune: a search for settings on one study, by one or several workers, and what it found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.config import flat, typed
from braintumor.errors import ConfigError, MachineError, TrainingError, some
from braintumor.interrupts import ToldInterrupt, before_leaving, listening, tell
from braintumor.jobs.slots import make_slots
from braintumor.models.classifier import model_name
from braintumor.privacy import without_names, words_again
from braintumor.progress import waiting
from braintumor.quoting import key_of, pasteable, shell_line
from braintumor.runs.folder import RunFolder, begun_in
from braintumor.runs.kinds import STATES, TUNING, TuningFile
from braintumor.runs.ownership import Existing, hold, remove_own
from braintumor.tuning.space import TuneSettings, find_space, find_start, read_space
from braintumor.workflows.arguments import Request
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log
from braintumor.workflows.outputs import named_folder
from braintumor.workflows.results import TuningResult
from braintumor.workflows.setup import setup
from braintumor.workflows.train import train

if TYPE_CHECKING:
    from braintumor.workflows.search import Images, Search

_OWN = ("tune", "run_dir", "overwrite")  # words that are not bt-train's
# what may differ between the commands that work on one study: it changes no figure of a trial
_HERE = (*_OWN, "device", "tracker", "privacy")
_PLACES = ("data.root", "data.table", "data.download")
_HOW = ("sampler", "pruner", "min_epochs", "reduction")
_FLAGS = ("--config-dir", "--config-name", "-cd", "-cn")
_NAME = "bt-tune"


def tune(request: Request) -> TuningResult:
    """Search until the study has tune.trials trials; say what is best and, on request, train it.

    request: the settings of configs/tune.yaml.
    Raises ConfigError, DataError, TrainingError, MachineError.
    """
    try:
        import optuna  # noqa: F401 (an extra, which no other command needs)
    except ImportError as error:
        raise ConfigError(
            "bt-tune needs the package optuna; install it: pip install 'braintumor[tune]'"
        ) from error
    if request.own_pictures:
        log.info("a demonstration: settings are searched for generated slices")
        log.info("your own pictures, a folder for each class: %s", request.own_pictures)
    tuning = _settings(request)
    fixed = _fixed(request, tuning)
    if (folder := named_folder(request)) is None:  # the same for the same settings, to go on there
        model = model_name(request.settings["model"])
        folder = Path("tuning") / f"{request.choices['data']}_{model}_{_digest(fixed)}"
    existing: Existing = "replace" if request.settings["overwrite"] else "continue"
    with hold(folder, TUNING, existing), listening():
        if existing == "replace":
            remove_own(folder, TUNING)
        _search(request, tuning, fixed, folder)
    return TuningResult(folder)


def _settings(request: Request) -> TuneSettings:
    """The section `tune`, its space by key; refuses what a search cannot do."""
    for key in ("folds", "seeds", "resume"):
        if request.settings[key] is not None:
            raise ConfigError(
                f"{key}=… is for bt-train: a search compares trainings on one split with one seed; "
                "leave it out, and add it to the command that the search ends with"
            )
    if flag := next((word for word in request.command if word.startswith(_FLAGS)), None):
        raise ConfigError(f"{flag} is for bt-train; give bt-tune the settings themselves")
    tuning = typed(TuneSettings, request.settings["tune"], "tune")
    space = find_space(tuning.space, request.choices.get("experiment"))
    read_space(space)
    return dataclasses.replace(tuning, space=space)


def _fixed(request: Request, tuning: TuneSettings) -> dict[str, Any]:
    """What all trials of a study have in common, by key; what is searched stands with its range."""
    settings = {k: v for k, v in flat(request.settings) if k.split(".")[0] not in _HERE}
    fixed = {k: v for k, v in settings.items() if k not in _PLACES}
    fixed |= {f"tune.{name}": getattr(tuning, name) for name in _HOW}
    return fixed | {f"tune.space.{p.key}": str(p) for p in read_space(tuning.space or {})}  # type: ignore[arg-type]


def _digest(fixed: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:6]


def _search(request: Request, tuning: TuneSettings, fixed: dict[str, Any], folder: Path) -> None:
    # optuna, an extra: `tune` has answered where it is missing
    from braintumor.tuning.study import agree
    from braintumor.tuning.trials import done
    from braintumor.tuning.worker import in_file
    from braintumor.workflows.search import Images, Search, same_images

    storage = tuning.storage or str(folder / TuningFile.STUDY)
    search = Search(
        words=tuple(_words(request, tuning)),
        tune=dataclasses.asdict(tuning),
        storage=storage,
        name=_NAME if in_file(storage) else f"{_NAME}-{_digest(fixed)}",
        metric=request.settings["train"]["early_stopping"]["metric"],
        seed=request.settings["seed"],
        deadline=time.time() + 60 * (tuning.minutes or float("inf")),
    )
    with waiting("checking the space"):
        _check_space(search)
    study = search.open()
    agree(study, fixed, storage)
    images, base = Images(), search.request([])
    if not study.trials:  # what a search has to beat is what bt-train does without one
        start = find_start(search.space, base.settings, base.choices)
        study.enqueue_trial(start, skip_if_exists=True)
    same_images(study, setup(base.settings, base.choices["data"], read=images))
    planned = some(tuning.trials, "trial")
    log.info("study: %s, %d of %s done", storage, len(done(study)), planned)
    for parameter in search.space:
        log.info("  %s: %s", parameter.key, parameter)
    words = [word for word in request.overrides if key_of(word) not in ("run_dir", "overwrite")]
    command = f"{shell_line(['bt-tune', *words])} {pasteable('run_dir', str(folder))}"
    go_on = f"; the same command goes on: {command}"
    try:
        with before_leaving(lambda: tell(f"interrupted{go_on}")):
            _work(search, images, request.settings["device"])
            count = len(done(search.open()))
            if count < tuning.trials:
                log.warning("%d of %s are done%s", count, planned, go_on)
            _finish(search, folder)
        if tuning.final:
            _train_best(search, folder)
    except ToldInterrupt:  # by the final run
        raise
    except KeyboardInterrupt as error:
        count = len(done(search.open()))
        log.warning("interrupted with %d of %s done%s", count, planned, go_on)
        raise ToldInterrupt from error


def _words(request: Request, tuning: TuneSettings) -> Iterator[str]:
    """Of bt-train, for all trials; what is searched has no other value."""
    for word in request.overrides:
        key = key_of(word)
        if key in (tuning.space or {}):
            log.info("%s is searched, so %s has no effect", key, word)
        elif key.split(".")[0] not in _OWN:
            yield word


def _check_space(search: Search) -> None:
    """Raises ConfigError when an end or a choice is no setting of bt-train."""
    columns = [[f"{each.key}={value}" for value in each.extremes()] for each in search.space]
    for row in zip_longest(*columns):
        words = [word for word in row if word is not None]
        search.request(sorted(words, key=lambda word: "." in key_of(word)))


def _work(search: Search, images: Images, device: str | int) -> None:
    """Do trials, here or in processes, until there are enough or time is over."""
    # optuna, as above
    from braintumor.workflows.search import start_workers
    from braintumor.workflows.trials import work

    slots = make_slots(search.settings.workers, None, device=device)
    if len(slots) == 1:
        work(search, images)
        return
    with start_workers(search, slots) as processes:
        codes = [process.wait() for process in processes]
    for number, code in enumerate(codes):
        if code < 0:
            log.warning("worker %d was ended by signal %d; others take up its trial", number, -code)
    if all(codes):
        raise MachineError(
            f"{some(len(codes), 'worker', 'has')} failed, and none is left (exit codes "
            f"{', '.join(map(str, codes))}); what they said stands above; with "
            "tune.workers=1 the search is in one process"
        )


def _finish(search: Search, folder: Path) -> None:
    """The tables and the page, and the command that trains the best."""
    # matplotlib, once the trials have ended
    from braintumor.tuning.write import write_search

    study = search.open()
    best = write_search(study, folder, search.metric, search.words)
    if best is None:
        raise TrainingError(
            "no trial has been trained to its end, so there is no best one; give more trials, or "
            "tune.pruner=none"
        )
    log.info("best: trial %d, %s %.4f on validation", best["trial"], search.metric, best["value"])
    log.info(
        "  the best of %s is also the luckiest: expect worse on other images; test was not used",
        some(best["trials"], "trial"),
    )
    log.info("train it: %s", best["command"])
    log.info("page: %s", folder / TuningFile.PAGE)


def _train_best(search: Search, folder: Path) -> None:
    """The run with the best settings, evaluated once on test; what is there already stays."""
    best = TuningResult(folder).best
    run = RunFolder(folder / TuningFile.FINAL)
    words = [*search.words, *best["words"]]
    there = words_again(run.read_status().get("overrides", []), begun_in(run))
    is_same = set(without_names(words)) <= set(without_names(there))
    if is_same and run.is_complete:
        log.info("final run: %s, complete", run.path)
        return
    if is_same and any((run.path / name).is_file() for name in STATES):
        train(compose("train", [], {"resume": str(run.path)}))
        return
    train(compose("train", [*words, "overwrite=true"], {"run_dir": str(run.path)}))
