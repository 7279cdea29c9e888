"""What went wrong, for whom, and how to mend it.

Every message answers three questions in one sentence or two: what, where, what to do.
The commands print the message without a traceback and leave with `exit_code`.
"""


class BraintumorError(Exception):
    """Base of all errors that a user can act on."""

    exit_code = 2


class ConfigError(BraintumorError):
    """A key, name or value in the configuration is wrong."""


class DataError(BraintumorError):
    """The images, labels or splits are not what was asked for."""


class CheckpointError(BraintumorError):
    """A run folder or a checkpoint is missing, damaged, or of another model."""


class WeightsError(BraintumorError):
    """Pretrained weights cannot be had, or do not fit."""


class TrainingError(BraintumorError):
    """Training cannot go on as configured."""


class MachineError(BraintumorError):
    """Disk, memory or device cannot carry the work."""

    exit_code = 3


class DiskError(MachineError):
    """A disk has no room: what had been written is intact."""
