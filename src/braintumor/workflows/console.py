"""Where messages go: standard output, as a person reads them, and train.log."""

from __future__ import annotations

import copy
import logging
import logging.handlers
import os
import re
import shutil
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

from braintumor.errors import one_line
from braintumor.files import printable
from braintumor.privacy import without_names
from braintumor.progress import above_bars
from braintumor.runtime import rank

log = logging.getLogger("braintumor")

_LONGEST_LINE = 100  # columns of a sentence, on a terminal
_SETTING = re.compile(r"'[\w.]+=[^']*'")  # quoted for a shell


class _Printable(logging.Formatter):
    """Names of files in messages steer no terminal, and no viewer of train.log, and end no line."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(arguments := record.args, tuple):
            record = copy.copy(record)  # which other handlers have, too
            record.args = tuple(
                one_line(str(arg)) if isinstance(arg, str | Path) else arg for arg in arguments
            )
        return printable(super().format(record))


class _Kept(_Printable):
    """In a file that others may read."""

    def format(self, record: logging.LogRecord) -> str:
        return str(without_names(super().format(record)))


class _Stdout(logging.StreamHandler):
    """Standard output as it is at each message: notebooks and tests put another in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_Printable("%(message)s"))

    @property
    def stream(self) -> Any:
        return sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        with above_bars():
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # elsewhere a sentence stays one line, which is easier to search
        if "COLUMNS" in os.environ or self.stream.isatty():
            columns = min(shutil.get_terminal_size().columns, _LONGEST_LINE)
            text = "\n".join(_wrapped(line, columns) for line in text.split("\n"))
        text = text.replace("\N{NO-BREAK SPACE}", " ")  # it has held a figure and its sign together
        return printable(text, getattr(self.stream, "encoding", None) or "utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        """A reader that has left, as in `bt-data … | head`, or a full disk: the work goes on."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        silence_stdout()
        if not isinstance(error, BrokenPipeError):
            complain(f"nothing more can be printed ({error.strerror}); the work goes on")


class _File(logging.FileHandler):
    """A log file on a disk that may be full: the work itself says so, where it has to end."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _wrapped(line: str, columns: int) -> str:
    """A long sentence on several lines; tables, and what is to be pasted, stay as they are.

    >>> print(_wrapped("  a sentence that is too long", 16))
      a sentence
        that is too
        long
    >>> print(_wrapped("say 'a.b=c d', or not", 10))
    say
      'a.b=c d',
      or not
    """
    if len(line) <= columns or "  " in line.strip() or "bt-" in line:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    joined = _SETTING.sub(lambda found: found[0].replace(" ", "\0"), line)
    return textwrap.fill(
        joined, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ).replace("\0", " ")


def log_table(text: str) -> None:
    """A table line by line, set in below the line before it."""
    for line in text.splitlines():
        log.info("  %s", line)


def silence_stdout() -> None:
    """Nobody reads standard output any more: what is still to come is thrown away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def complain(line: str) -> None:
    """Print it on standard error, if anybody takes it there."""
    with suppress(OSError):
        print(printable(line, sys.stderr.encoding or "utf-8"), file=sys.stderr, flush=True)


def open_standard_files() -> None:
    """Of the three that are closed (`>&-`) make ones that hold nothing.

    Else the next file that is opened would take the place, and what is printed would go there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def log_to_console() -> None:
    """Messages go to standard output as they are, unless somebody has said where.

    Of several processes that train together the first one speaks.
    """
    if not log.handlers:
        log.addHandler(logging.NullHandler() if rank() else _Stdout())
        log.setLevel(logging.INFO)
        log.propagate = False


def log_until_file() -> None:
    """Messages wait for the first log file; of a process whose output nobody watches."""
    log.handlers.clear()
    log.addHandler(logging.handlers.MemoryHandler(sys.maxsize, logging.CRITICAL + 1))
    log.setLevel(logging.INFO)
    log.propagate = False


def print_waiting() -> None:
    """Print the messages for which no log file has come."""
    _hand_over(_Stdout())


def log_to_file(path: Path) -> logging.Handler:
    """Append all messages to a file too, with the time; remove the handler when done.

    Those that have waited for it come first.
    """
    handler = _File(path, encoding="utf-8")
    handler.setFormatter(_Kept("%(asctime)s %(levelname)s %(message)s"))
    _hand_over(handler)
    log.addHandler(handler)
    return handler


def _hand_over(handler: logging.Handler) -> None:
    for waiting in [h for h in log.handlers if isinstance(h, logging.handlers.MemoryHandler)]:
        waiting.setTarget(handler)
        waiting.flush()
        log.removeHandler(waiting)
