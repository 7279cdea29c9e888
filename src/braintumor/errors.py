"""What went wrong, for whom, and how to mend it.

Every message answers three questions in one sentence or two: what, where, what to do.
The commands print the message without a traceback and leave with `exit_code`.
"""

from collections.abc import Sequence

_OF_SEVERAL = {"is": "are", "has": "have"}
_FILES, _REASONS = 3, 20  # named in a message, of each reason and of them all


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


def one_line(text: str) -> str:
    """The text with its line breaks backslashed: a name with one forges no line of a message.

    >>> print(one_line("a" + chr(10) + "report: b"))
    a\\nreport: b
    """
    return text.replace("\r", "\\r").replace("\n", "\\n")


def reason_of(error: BraintumorError | OSError) -> str:
    """Why one file cannot be read, without its path, which the reader of a table need not know.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "/home/anna/a.png"))
    'No such file or directory'
    """
    return (isinstance(error, OSError) and error.strerror) or str(error)


def first_line(said: object) -> str:
    """What an error, or its text, says first; the name of its type where it says nothing.

    >>> first_line(ValueError("no such thing\\nin this place")), first_line(MemoryError())
    ('no such thing', 'MemoryError')
    """
    return next(iter(str(said).strip().splitlines()), type(said).__name__)


def some(count: int, what: str, verb: str = "") -> str:
    """A number of things, and what they do.

    >>> some(1, "image", "is"), some(1200, "image", "is"), some(2, "copy")
    ('1 image is', '1,200 images are', '2 copies')
    """
    if count != 1:
        what = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
        verb = _OF_SEVERAL.get(verb, verb)
    return f"{count:,} {what} {verb}".rstrip()


def listed_by_reason(unreadable: Sequence[tuple[str, str]]) -> str:
    """Lines of files and why they cannot be read; each reason once, the commonest first.

    unreadable: (path, reason).

    >>> print(listed_by_reason([("a.tif", "a stack"), ("b.png", "empty"), ("c.tif", "a stack")]))
      2 files (a.tif, c.tif): a stack
      b.png: empty
    """
    files: dict[str, list[str]] = {}
    for path, reason in dict.fromkeys(unreadable):  # one may have been given twice
        files.setdefault(one_line(reason), []).append(one_line(path))
    ranked = sorted(files.items(), key=lambda item: -len(item[1]))
    lines = []
    for reason, paths in ranked[:_REASONS]:
        named, more = ", ".join(paths[:_FILES]), len(paths) - _FILES
        if len(paths) > 1:
            named = f"{some(len(paths), 'file')} ({named}{', …' if more > 0 else ''})"
        lines.append(f"  {named}: {reason}")
    if left := ranked[_REASONS:]:
        lines.append(f"  … and {sum(len(paths) for _, paths in left):,} more")
    return "\n".join(lines)


def device_failure(error: BaseException) -> str:
    """What to say where the GPU failed for the rest of the process; empty for other errors.

    After such an error CUDA refuses every further call, so no other job can begin.
    """
    text = str(error)
    is_lost = type(error).__name__ == "AcceleratorError" or "CUDA error: " in text
    if not is_lost or "out of memory" in text:
        return ""
    if "no kernel image" in text:
        return (
            "this torch has no code for a GPU as old as the one here; docs/gpu.md says which torch "
            "has, or use device=cpu"
        )
    return (
        f"the GPU stopped working ({first_line(error)}), and no further work on it is possible "
        "in this process; run the command again, and if it fails there too, look at `nvidia-smi` "
        "and the kernel log (`dmesg`), or use device=cpu"
    )
