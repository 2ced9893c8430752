"""How many failures somebody may cause in a while. Of this process, bounded, forgotten with it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

#: Failures within the window after which nothing is checked any more.
MOST_FAILURES = 10
#: Seconds.
WINDOW = 60.0
#: Keys that are counted at a time; the one not seen for longest makes room.
MOST_KEYS = 10_000


class Throttle:
    """Counts failures by key, in fixed windows that begin with the first failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def wait(self, key: Hashable) -> int:
        """Whole seconds until ``key`` may try again; 0 = now."""
        began, count = self._failures.get(key, (0.0, 0))
        left = began + WINDOW - self._clock()
        return int(left) + 1 if count >= MOST_FAILURES and left > 0 else 0

    def failed(self, key: Hashable) -> None:
        """Count one failure."""
        now = self._clock()
        with self._lock:
            began, count = self._failures.pop(key, (now, 0))
            self._failures[key] = (began, count + 1) if now < began + WINDOW else (now, 1)
            if len(self._failures) > MOST_KEYS:
                self._failures.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failures)
