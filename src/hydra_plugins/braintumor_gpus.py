"""hydra/launcher=gpus: a queue over the GPUs of this machine; Hydra finds it by its folder's name.

Hydra takes plugins from no other package. What the queue does is in braintumor/jobs. Annotations
are no strings here: Hydra executes the file before its module can be found by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


@dataclass
class _QueueConf:
    # by which Hydra itself finds a launcher; no YAML file has one, and none is executed
    _target_: str = "hydra_plugins.braintumor_gpus.GpusLauncher"
    slots: int | None = None
    slots_per_gpu: int = 1


ConfigStore.instance().store(
    group="hydra/launcher", name="_queue", node=_QueueConf, provider="braintumor"
)


class GpusLauncher(Launcher):
    """Hands the jobs of a sweep to the queue; a task function of ours only says what to do."""

    def __init__(self, slots: int | None, slots_per_gpu: int) -> None:
        self.slots, self.slots_per_gpu = slots, slots_per_gpu

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `launch`."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Until all jobs have ended; how each ended stands in its folder."""
        setup_globals()
        # the scan for plugins, which every command waits for, needs none of it
        from braintumor.interrupts import deferred

        with deferred():  # OmegaConf, cut off, may raise something else
            jobs = [self._compose(n, list(o)) for n, o in enumerate(job_overrides, initial_job_idx)]
        from braintumor.jobs.slots import make_slots
        from braintumor.progress import waiting

        with waiting("starting"):
            from braintumor.workflows.parallel import run_requests

        requests = [job.return_value for job in jobs]  # raises what went wrong in composing
        device = requests[0].settings.get("device", "auto")
        slots = make_slots(self.slots, self.slots_per_gpu, device=device)
        run_requests(requests, Path(self.config.hydra.sweep.dir), slots)
        return jobs

    def _compose(self, number: int, overrides: list[str]) -> JobReturn:
        """A job as any launcher would run it; ours returns a Request."""
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
