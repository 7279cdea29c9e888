"""Writing beside the training: in order, one at a time, and no error is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from braintumor.errors import MachineError
from braintumor.runs.writer import Writer


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_a_slow_disk_holds_the_next_piece_back_and_keeps_the_order() -> None:
    done: list[int] = []
    disk = threading.Event()

    def slow() -> None:
        disk.wait(10)
        done.append(1)

    with Writer() as writer:
        writer.write(slow)
        assert not done  # the training goes on meanwhile
        threading.Timer(0.05, disk.set).start()
        writer.write(lambda: done.append(2))
        assert done[0] == 1
        writer.write(lambda: done.append(3))
    assert done == [1, 2, 3]


def test_a_full_disk_stops_the_next_piece_with_its_sentence() -> None:
    done: list[int] = []
    with pytest.raises(MachineError, match="the disk is full"), Writer() as writer:
        writer.write(failing(MachineError("the disk is full")))
        writer.write(lambda: done.append(1))
    assert not done


@pytest.mark.parametrize("error", [MachineError("full"), SystemExit(3), MemoryError()])
def test_an_error_of_the_last_piece_comes_at_the_end(error: BaseException) -> None:
    with pytest.raises(type(error)), Writer() as writer:
        writer.write(failing(error))


def test_a_training_that_stops_waits_for_what_is_being_written() -> None:
    done: list[int] = []
    disk = threading.Event()
    with pytest.raises(KeyboardInterrupt), Writer() as writer:
        writer.write(lambda: done.append(disk.wait(10)))
        threading.Timer(0.05, disk.set).start()
        raise KeyboardInterrupt
    assert done == [True]
