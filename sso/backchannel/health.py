"""How many tries an app may have at once in this process: few, one when it fails, none while it is left alone.

So an app that hangs holds neither the others nor the whole sender, and a hundred thousand messages that wait for
it are not each tried in vain.
"""

from __future__ import annotations

import time
from collections import Counter

#: Tries at once: in all, of one app, and of all apps together that failed the last time.
MOST, MOST_OF_ONE, MOST_FAILING = 64, 4, 32
#: Seconds for which an app that fails is left alone: four times as long each time.
FIRST_PAUSE, LONGEST_PAUSE = 1, 60


class Health:
    """Of one process; used by its sender's thread alone."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def full(self) -> set[str]:
        """Apps that get nothing now."""
        now = time.monotonic()
        paused = {client_id for client_id, until in self._until.items() if until > now}
        return paused | {client_id for client_id in self._in_flight if not self._has_room(client_id)}

    def free(self) -> int:
        return MOST - self._in_flight.total()

    def take(self, client_id: str) -> bool:
        if self.free() <= 0 or not self._has_room(client_id):
            return False
        self._in_flight[client_id] += 1
        return True

    def give_back(self, client_id: str) -> None:
        self._in_flight[client_id] -= 1
        if not self._in_flight[client_id]:
            del self._in_flight[client_id]

    def ended(self, client_id: str, *, well: bool) -> None:
        """A try is over; ``well``: the app answered as apps do."""
        self.give_back(client_id)
        if well:
            del self._failures[client_id]
            self._until.pop(client_id, None)
            return
        if self._until.get(client_id, 0.0) > time.monotonic():
            return  # one of several that were on their way when the app began to fail
        self._failures[client_id] += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 4 ** min(self._failures[client_id] - 1, 5))
        self._until[client_id] = time.monotonic() + pause

    def forgive(self) -> None:
        """Somebody says that it is time to try again."""
        self._until.clear()

    def _has_room(self, client_id: str) -> bool:
        if self._until.get(client_id, 0.0) > time.monotonic():
            return False
        if not self._failures[client_id]:
            return self._in_flight[client_id] < MOST_OF_ONE
        failing = sum(self._in_flight[other] for other in self._failures if self._failures[other])
        return self._in_flight[client_id] < 1 and failing < MOST_FAILING
