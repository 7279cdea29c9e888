"""The commands. Their imports take a second, in which Ctrl-C ends them without a traceback."""

from __future__ import annotations

import sys
from types import TracebackType


def _without_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("\ninterrupted before it had begun", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _without_traceback
