"""Pictures decoded by processes beside this one, as many as it has cores.

Decoding is a hundred short calls that each take Python's lock, so two threads of one process decode
1.3 times as fast as one, and sixteen more slowly than one. Each hands what it has read to a process
of its own and waits, without the lock, for the answer.
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, NamedTuple, cast

import numpy as np

from braintumor.data.fingerprint import Fingerprint, fingerprint
from braintumor.data.images import Fit, decode, resize
from braintumor.errors import DataError
from braintumor.machine import cores
from braintumor.runtime import keep_big_blocks

# h, w height and width of a picture in its file, S side of the square that a model sees, in px

_FEW = 500  # pictures; up to these the threads are as fast
_BEGUN = b"."  # the first that a process says
_LOST = (OSError, EOFError, pickle.UnpicklingError)  # what tells that it has ended
_SERVE = "from braintumor.data.decoders import answer_questions; answer_questions()"
_CHILD = [sys.executable, "-P", "-c", _SERVE]  # -P: no module of the user's working directory


Raw = bytes | np.ndarray


class Decoded(NamedTuple):
    """uint8 (S, S), or (S, S, 3) in colour, and what there is to say of the whole picture.

    mode: as its file stores it.  print: None where it was not asked for.
    """

    square: np.ndarray
    width: int
    height: int
    mode: str
    print: Fingerprint | None


def decode_square(
    raw: Raw | Callable[[], Raw], size_px: int, fit: Fit, with_print: bool = True
) -> Decoded:
    """The picture of a file's content or in an array, or of what a call gives as such.

    Raises DataError as `decode` does.
    """
    pixels, mode = decode(raw() if callable(raw) else raw)
    height, width = pixels.shape[:2]
    found = fingerprint(pixels) if with_print else None
    return Decoded(resize(pixels, size_px, fit), width, height, mode, found)


class Decoders:
    """`decode_square` for many threads, by processes that end with the block.

    Where none is free, since they have not begun yet or were lost, a thread decodes for itself.
    """

    def __init__(self, pictures: int) -> None:
        """pictures: how many may come; processes for a few are not worth their start."""
        self._processes: list[_Process] = []
        self._free: SimpleQueue[_Process] = SimpleQueue()
        if cores() > 1 and pictures > _FEW and sys.executable:
            with suppress(OSError):  # no more processes are allowed
                for _ in range(cores()):
                    self._processes.append(_Process(self._free.put))

    def decode(
        self, raw: Raw | Callable[[], Raw], size_px: int, fit: Fit, *, with_print: bool
    ) -> Decoded:
        """As `decode_square`; several threads may ask."""
        with suppress(Empty, *_LOST):
            process = self._free.get_nowait()
            answer = process.ask(raw, size_px, fit, with_print)
            self._free.put(process)
            if isinstance(answer, DataError):
                raise answer
            return answer
        return decode_square(raw, size_px, fit, with_print)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.end()


class _Process:
    """One that decodes. It ends with its pipe, so with the process that began it."""

    def __init__(self, when_begun: Callable[[_Process], None]) -> None:
        # it imports what this one does; a BLAS there needs no threads
        path = os.pathsep.join(filter(None, sys.path))
        env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(  # noqa: S603
            _CHILD, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,  # Ctrl-C is for us alone
        )  # fmt: skip
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

        def wait() -> None:
            if self._answers.read(len(_BEGUN)) == _BEGUN:
                when_begun(self)

        self._waits = Thread(target=wait, daemon=True)
        self._waits.start()

    def ask(self, *question: Any) -> Decoded | DataError:
        """Raises one of _LOST when it has ended."""
        pickle.dump(question, self._questions, pickle.HIGHEST_PROTOCOL)
        self._questions.flush()
        answer: Decoded | DataError = pickle.load(self._answers)  # noqa: S301 (from ourselves)
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._waits.join()
        self._answers.close()
        with suppress(OSError):  # what it did not read any more
            self._questions.close()


def answer_questions() -> None:
    """In such a process: answers to the arguments of `decode_square`, until nobody asks.

    Any other error ends it: whoever asked meets that too, and tells it where it can be read.
    """
    keep_big_blocks()
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    importlib.import_module("scipy.ndimage")  # which the first picture would wait for
    answers.write(_BEGUN)
    answers.flush()
    with suppress(EOFError, BrokenPipeError):
        while True:
            question = pickle.load(questions)  # noqa: S301
            answer: Decoded | DataError
            try:
                answer = decode_square(*question)
            except DataError as error:
                answer = error
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
