"""Writing beside the training: an epoch's files reach the disk while the next one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self


class Writer:
    """Does one piece of writing after the other, in the order given, in one thread.

    What a piece raises comes out of the next `write`, or of the end of the `with`. At most one
    piece waits, so that a slow disk holds the training back and memory does not fill.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._last: Future[None] | None = None

    def write(self, work: Callable[[], None]) -> None:
        """Wait for the piece before, then begin this one. What it uses may not change any more."""
        self.join()
        self._last = self._thread.submit(work)

    def join(self) -> None:
        """Wait until all is written."""
        last, self._last = self._last, None
        if last:
            last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.join()
        finally:
            self._thread.shutdown()
