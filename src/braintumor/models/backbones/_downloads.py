"""Whether weights may be fetched from the network; they may, except within `no_downloads`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_forbidden: ContextVar[str | None] = ContextVar("_forbidden", default=None)


@contextmanager
def no_downloads(why: str) -> Iterator[None]:
    """Within, pretrained weights come from this machine only.

    why: for the error where they are not there; it says what the user can do.
    """
    token = _forbidden.set(why)
    try:
        yield
    finally:
        _forbidden.reset(token)


def forbidden() -> str | None:
    """Why nothing may be fetched now; None when it may."""
    return _forbidden.get()
