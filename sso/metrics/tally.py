"""Counting where every microsecond counts: plain numbers of this process, handed on once a second.

Without a lock where one event loop serves; whoever has threads calls :meth:`Tally.record` and friends, which lock.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sso.metrics import definitions as metrics

if TYPE_CHECKING:
    from sso.edge.answers import Answer

#: Seconds between handing on.
EVERY: Final = 1.0
_ROOMS: Final = len(metrics.BOUNDS) + 1


class Durations:
    """Durations by bucket, and their sum."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts, self.seconds = [0] * _ROOMS, 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(metrics.BOUNDS, seconds)] += 1
        self.seconds += seconds


def _never() -> bool:
    return False


class Tally:
    """What one process has answered since it last handed on."""

    def __init__(self) -> None:
        #: Whether the reader that serves should be kept true by Redis and is not; asked when handing on.
        self.link_down: Callable[[], bool] = _never
        self._running = False
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        #: ``GET /api/session`` answered from memory, by status: the hottest line there is increments this.
        self.at_once: dict[int, int] = {200: 0, 401: 0}
        #: Sessions that forward auth and introspection found in memory, in an event loop.
        self.found = 0
        #: Sessions looked up by threads, wherever they were.
        self.lookups = 0
        #: Answers that an event loop gave without waiting, by route and status.
        self.at_call: dict[tuple[str, int], int] = {}
        self._answers: dict[tuple[str, str, int], int] = {}
        self._durations: dict[tuple[str, str], Durations] = {}
        self._redis, self._loads = Durations(), 0
        self._outcomes: dict[str, int] = {}

    # -- counting

    def sent(self, path: str, answer: Answer) -> Answer:
        """The same answer, which an event loop gives without having waited."""
        key = (_ROUTES.get(path) or read_route(path), answer.status)
        self.at_call[key] = self.at_call.get(key, 0) + 1
        return answer

    def record(self, part: str, route: str, status: int, seconds: float) -> None:
        """One answer. ``route`` is of a fixed list."""
        with self._lock:
            key = (part, route, status)
            self._answers[key] = self._answers.get(key, 0) + 1
            durations = self._durations.get((part, route))
            if durations is None:
                durations = self._durations[part, route] = Durations()
            durations.add(seconds)
        if not self._running:
            self._start()

    def redis(self, seconds: float, outcome: str) -> None:
        """One exchange with Redis: ``answered``, ``refused`` or ``failed``."""
        with self._lock:
            self._redis.add(seconds)
            self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def loaded(self, seconds: float, answered: bool) -> None:
        """A session was not in memory, and Redis was asked."""
        outcome = "answered" if answered else "failed"
        with self._lock:
            self._loads += 1
            self._redis.add(seconds)
            self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def exchanged(self, seconds: float, answered: bool) -> None:
        """Something else than a session was asked of Redis."""
        self.redis(seconds, "answered" if answered else "failed")

    def asked(self) -> None:
        """A thread looks a session up, in memory or in Redis."""
        with self._lock:
            self.lookups += 1

    # -- handing on

    def flush(self) -> None:
        """Add everything to the metrics. Whoever counts meanwhile counts for the next time."""
        with self._flushing:
            self._publish(self._take())
            metrics.PROCESSES.set(1)
            metrics.LINKS_DOWN.set(int(self.link_down()))

    def _take(self) -> Tally:
        taken = Tally()
        with self._lock:
            for name in (
                "at_once",
                "at_call",
                "found",
                "lookups",
                "_answers",
                "_durations",
                "_redis",
                "_loads",
                "_outcomes",
            ):
                setattr(taken, name, getattr(self, name))
            self._clear()
        return taken

    def _publish(self, taken: Tally) -> None:
        at_once = {("api/session", status): count for status, count in taken.at_once.items() if count}
        for quick in (at_once, taken.at_call):
            for (route, status), count in quick.items():
                metrics.REQUESTS.labels("edge", route, str(status)).inc(count)
                metrics.SECONDS.labels("edge", route).add([count, *[0] * (_ROOMS - 1)], 0.0)
        for (part, route, answer), count in taken._answers.items():
            metrics.REQUESTS.labels(part, route, str(answer)).inc(count)
        for (part, route), durations in taken._durations.items():
            metrics.SECONDS.labels(part, route).add(durations.counts, durations.seconds)
        remembered = taken.at_once[200] + taken.found + max(0, taken.lookups - taken._loads)
        metrics.LOOKUPS.labels("memory").inc(remembered)
        metrics.LOOKUPS.labels("redis").inc(taken._loads)
        metrics.REDIS_SECONDS.add(taken._redis.counts, taken._redis.seconds)
        for outcome, count in taken._outcomes.items():
            metrics.REDIS_CALLS.labels(outcome).inc(count)

    def ticks(self) -> None:
        """Somebody else calls :meth:`flush` every second."""
        self._running = True

    def _start(self) -> None:
        with self._lock:
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="sso-metrics", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(EVERY)
            self.flush()

    def after_fork(self) -> None:
        """What the parent counted is the parent's."""
        self._running = False
        self._reset()


#: Of this process.
tally = Tally()
os.register_at_fork(after_in_child=tally.after_fork)


_ROUTES: Final = {
    "/api/session": "api/session",
    "/api/introspect": "api/introspect",
    "/api/authz/auth-request": "api/authz/auth-request",
    "/api/authz/forward-auth": "api/authz/forward-auth",
    "/metrics": "metrics",
}


def read_route(path: str) -> str:
    """The group that an address of the edge is counted in: one of a few, whatever is asked for."""
    found = _ROUTES.get(path)
    if found is None:
        found = "api/authz/ext-authz" if f"{path}/".startswith("/api/authz/ext-authz/") else "none"
    return found
