"""One training by several processes of torchrun: the first leads, the others do as they are told.

Only the first has a run folder, a console and an evaluation; the others end before that.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from braintumor.data.manifest import KNOWN
from braintumor.errors import ConfigError, MachineError
from braintumor.runs.commands import how_to_go_on
from braintumor.runs.folder import RunFolder
from braintumor.runs.state import load_state
from braintumor.runtime import world_size
from braintumor.training.distributed import Team, end, team
from braintumor.training.loop import fit
from braintumor.training.recipe import Recipe
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.training.watch import watch
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.console import log
from braintumor.workflows.outputs import tell_failure
from braintumor.workflows.resume import left_of_job
from braintumor.workflows.setup import Experiment, setup


@dataclass(frozen=True)
class Beginning:
    """What the others need to have the same experiment. folder: of the run."""

    folder: Path
    settings: Settings
    data_name: str


@dataclass(frozen=True)
class Fit:
    """A training of the run, of which there is a second one under train.refit.

    folder: where its state is.  resumes: whether there is one.
    """

    folder: Path
    recipe: Recipe
    resumes: bool
    is_refit: bool


def check_together(request: Request, *, is_several: bool) -> Request:
    """What the processes of torchrun can do together; what is left of it when they start again.

    is_several: whether it stands for folds or seeds.
    Raises ConfigError on what each GPU does better by itself.
    """
    settings, size = request.settings, world_size()
    if is_several:
        raise ConfigError(
            f"torchrun started {size} processes to share one training, and this asks for several, "
            f"which are done sooner with a GPU each: leave torchrun out, and give slots={size}"
        )
    is_agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    if is_agents and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)):
        # what one attempt left in the store, the next would read: pytorch #135712, #167288
        raise ConfigError(
            "torchrun --max-restarts works only with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1; put it "
            "before the command: TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun …"
        )
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) and settings["run_dir"]:
        folder = Path(settings["run_dir"]).expanduser()
        left = left_of_job(dataclasses.replace(request, sweep_folder=folder))
        if left is None:
            raise ConfigError(f"{folder} is complete")
        return dataclasses.replace(left, sweep_folder=None)
    return request


@contextmanager
def led(experiment: Experiment, run: RunFolder) -> Iterator[None]:
    """Within, the other processes do the fits of the run as well; afterwards they have ended.

    Raises MachineError when one of them ends before.
    """
    watched = watch()
    if watched is None:
        yield
        return

    def with_command(error: MachineError) -> MachineError:
        return MachineError(f"{error}{how_to_go_on(run)}")

    watched.at_loss = lambda error: tell_failure(run, with_command(error))
    together = team()
    settings = experiment.recipe.train
    log.info("%d processes share each batch of %d images", together.size, settings.batch_size)
    if settings.cuda_graphs:
        log.info("train.cuda_graphs=true is for one process; going on without")
    try:
        with watched.telling():
            together.tell(Beginning(run.path.resolve(), experiment.settings, experiment.data_name))
            yield
            together.tell(None)
            together.wait()
    except MachineError as error:
        raise with_command(error) from error
    watched.close()
    end()


def follow(together: Team) -> RunFolder:
    """Do every fit that the first process does, without a word; gives the folder of its run."""
    begun: Beginning = together.tell()
    run = RunFolder(begun.folder)
    experiment = setup(begun.settings, begun.data_name, run)
    while (told := together.tell()) is not None:
        _fit(experiment, told)
    together.wait()
    return run


def _fit(experiment: Experiment, told: Fit) -> None:
    if told.is_refit:
        experiment = experiment.with_fresh_model()
    train = experiment.images(*(KNOWN if told.is_refit else ("train",)))
    val = None if told.is_refit else experiment.images("val")
    saved = load_state(RunFolder(told.folder), torch.device("cpu")) if told.resumes else None
    state = FitState(experiment.model, BestCheckpoint(told.recipe.train.early_stopping))
    for _ in fit(state, train, val, told.recipe, experiment.augment, resume_from=saved):
        pass
