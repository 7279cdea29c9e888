"""What a terminal shows while something takes its time; nothing where there is none.

Bars are tqdm's, on standard error. A thread redraws them, so that the seconds go on where a single
step takes long.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from braintumor.runtime import rank

_REDRAW_S = 0.25
_DELAY_S = 0.5  # what takes less shows no bar
_FORMAT = "{l_bar}{bar}| {n_fmt} of {total_fmt} {unit}, {elapsed} so far, {remaining} left"
_is_ticking = threading.Lock()  # held by the thread that redraws, from the first bar on


def bar(what: str, items: Iterable | None = None, *, is_shown: bool = True, **options: Any) -> tqdm:
    """tqdm's bar over the items, or to be moved on by `update`; on a terminal until it is closed.

    Of several processes that train together the first one shows it.
    is_shown: False: not even on a terminal.  options: tqdm's, such as total and unit (of many).
    """
    is_shown = is_shown and rank() == 0
    if sys.stderr.isatty() and _is_ticking.acquire(blocking=False):
        threading.Thread(target=_redraw, daemon=True).start()
    # of a terminal that says 0 x 0, as one without a window does, tqdm would show nothing
    columns, lines = shutil.get_terminal_size()
    how: dict[str, Any] = {"desc": what, "leave": False, "delay": _DELAY_S, "bar_format": _FORMAT}
    how |= {"ncols": columns, "nrows": lines}
    disable = None if is_shown else True  # None: on no other file than a terminal
    return tqdm(items, disable=disable, **(how | options))


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Within, a terminal shows what is being done and for how long; for work without steps."""
    with bar(what, bar_format="{desc} … {elapsed}"):
        yield


@contextmanager
def above_bars() -> Iterator[None]:
    """Within, lines may be printed: bars on the terminal make room for them."""
    with tqdm.external_write_mode(file=sys.stdout):
        yield


def _redraw() -> None:
    pause = threading.Event()
    while not pause.wait(_REDRAW_S):
        with tqdm.get_lock():
            now = time.time()
            for each in list(tqdm._instances):
                # one that another thread is just making has no start yet
                if now - getattr(each, "start_t", now) > _DELAY_S and not each.disable:
                    each.last_print_t = now  # else closing would take it for one never shown
                    each.refresh(nolock=True)
