"""Work handed to all cores."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from braintumor.runtime import cores, in_threads


def test_work_in_threads_keeps_its_order_and_takes_few_parts_ahead() -> None:
    taken: list[int] = []

    def parts() -> Iterator[int]:
        for part in range(1, 1001):
            taken.append(part)
            yield part

    def slowest_first(part: int) -> int:
        time.sleep(0.01 if part % 5 == 1 else 0)
        return part * part

    results = in_threads(slowest_first, parts())
    assert [next(results) for _ in range(20)] == [n * n for n in range(1, 21)]
    assert len(taken) <= 20 + 2 * cores() + 1
    results.close()  # type: ignore[attr-defined]


def test_an_error_in_a_thread_is_raised_where_its_result_is_asked_for() -> None:
    results = in_threads(lambda part: 1 // part, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
