"""Who was active, told to Redis at most once a minute for each session and never by the request itself.

A plain ``GET`` does not count as activity and only the record says for how long activity keeps a session. So a
request that finds a session leaves a note here, and the link sends what is due: ``GETEX key EX
min(idle, exp - now)``. Its reply proves how long the key lives.
"""

from __future__ import annotations

import heapq
import threading
from dataclasses import dataclass
from time import time
from typing import Final

from sso_client.record import Session

#: Seconds between two reports of one session.
INTERVAL: Final = 60.0
#: A note waits at most this long, so that reports travel together.
PATIENCE: Final = 5.0
#: Notes and reports kept at most: an hour-long outage must not fill the memory.
MOST: Final = 200_000


def interval_of(session: Session) -> float:
    """Seconds between two reports: a minute, or less where the idle time is so short that it would matter."""
    return min(INTERVAL, session.idle / 3)


def life_of(session: Session, now: float) -> int:
    """Seconds that activity now (Unix time) keeps the session: its idle time, never past its absolute end."""
    return min(session.idle, int(session.exp - now))


@dataclass(frozen=True, slots=True)
class Report:
    """The last report of a session that Redis confirmed. Times are ``time.monotonic()``."""

    next_at: float
    lives_until: float


class Activity:
    """Notes of active sessions by key, and the last reports. Safe for threads."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._due: list[tuple[float, str]] = []
        self._noted: dict[str, Session] = {}
        self._reports: dict[str, Report] = {}
        self._older: dict[str, Report] = {}
        self._turned = 0.0

    def last(self, key: str) -> Report | None:
        """The last confirmed report, if it is not older than two intervals."""
        return self._reports.get(key) or self._older.get(key)

    def note(self, key: str, session: Session, now: float) -> None:
        """This session was active now (``time.monotonic()``); due soon, unless it is noted already."""
        with self._lock:
            if key in self._noted or len(self._noted) >= MOST:
                return
            self._noted[key] = session
            heapq.heappush(self._due, (now + min(PATIENCE, session.idle / 10), key))

    def take(self, now: float, most: int) -> list[tuple[str, Session, int]]:
        """What is due, as (key, session, seconds to live); sessions past their end are left out."""
        taken: list[tuple[str, Session, int]] = []
        with self._lock:
            self._turn(now)
            while self._due and len(taken) < most and self._due[0][0] <= now:
                at, key = heapq.heappop(self._due)
                session = self._noted.pop(key)
                life = life_of(session, time())
                # an old note (the link was down) says nothing about now, nor about what was told meanwhile
                if life > 0 and now - at < INTERVAL and not self._told(key, now):
                    taken.append((key, session, life))
        return taken

    def _told(self, key: str, now: float) -> bool:
        report = self.last(key)
        return report is not None and now < report.next_at

    def reported(self, key: str, session: Session, at: float, life: float) -> Report:
        """Redis confirmed a report sent ``at`` that keeps the key ``life`` seconds."""
        report = Report(at + interval_of(session), at + life)
        with self._lock:
            self._reports[key] = report
        return report

    def ended(self, key: str) -> None:
        with self._lock:
            self._reports.pop(key, None)
            self._older.pop(key, None)

    def _turn(self, now: float) -> None:
        """Let reports go that are older than an interval: two generations, as in the memory."""
        if now - self._turned >= INTERVAL or len(self._reports) >= MOST:
            self._older, self._reports, self._turned = self._reports, {}, now
