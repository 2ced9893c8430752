"""The last times that Redis or the database did not answer this process, for whoever looks later."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

#: So many are remembered.
MOST = 5


class Trouble(NamedTuple):
    """``what`` failed, ``how`` (the name of an error, never its text: that may hold an address with a password)."""

    when: float
    what: str
    how: str


_last: deque[Trouble] = deque(maxlen=MOST)


def note(what: str, error: BaseException) -> None:
    _last.append(Trouble(time.time(), what, type(error).__name__))


def lately() -> list[Trouble]:
    """The latest first."""
    return list(reversed(_last))
