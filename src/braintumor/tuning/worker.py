"""A worker of a study and its lock, which ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from optuna.trial import FrozenTrial

from braintumor.errors import ConfigError

WORKER = "worker"  # attribute of a trial
_UNNAMED = timedelta(seconds=60)  # between the begin of a trial and the name of its worker
_FAR = "://"  # in the URL of a database


def in_file(storage: str) -> bool:
    """Whether it is a file, and no URL of a database."""
    return _FAR not in storage


@dataclass(frozen=True)
class Worker:
    """One process that does trials.

    number: of all that share the file, the first that is free; of those that share a database, on
    its computer.  locks: the folder of the locks, where the study is a file.
    """

    number: int
    locks: Path | None

    def alone(self) -> AbstractContextManager[None]:
        """Within, no other worker of the file decides who does what; a database has no lock."""
        if self.locks is None:
            return nullcontext()
        return locked(self.locks / "take_up.lock", fcntl.LOCK_EX)

    def is_gone(self, trial: FrozenTrial) -> bool:
        """Whether the process of a running trial has ended; no trial of this worker runs now."""
        number = trial.user_attrs.get(WORKER)
        if number is None:
            begun = trial.datetime_start
            return begun is not None and datetime.now() - begun > _UNNAMED
        if number == self.number or self.locks is None:
            return number == self.number
        with suppress(BlockingIOError), locked(self.locks / f"{number}.lock"):
            return True
        return False


@contextmanager
def begin_work(storage: str, number: int) -> Iterator[Worker]:
    """A worker, and within the block its lock. number: where the storage is no file."""
    if not in_file(storage):
        yield Worker(number, None)
        return
    locks = Path(f"{storage}.workers")
    locks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for number in itertools.count():
            with suppress(BlockingIOError):
                stack.enter_context(locked(locks / f"{number}.lock"))
                break
        yield Worker(number, locks)


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be locked ({error.strerror}), as on some network disks; name a "
                "file on another disk, or the URL of a database, with tune.storage=…"
            ) from error
        yield
    finally:
        os.close(descriptor)
