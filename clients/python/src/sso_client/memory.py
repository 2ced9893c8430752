"""Bounded memory of what Redis said, held true by what Redis pushes.

A hit costs one dictionary look-up. Two generations make it least recently used at no cost per hit: entries are
born young; when the young half is full it becomes the old one, and what was old and not asked for since is gone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Python objects of an entry beside its data, in bytes: dictionary slots, key, structs (measured, rounded up).
OVERHEAD: Final = 900
#: Bytes of memory for each byte of a record once it is decoded into strings.
GROWTH: Final = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """How much a reader may remember: a number of entries and of bytes, whichever is reached first."""

    entries: int = 50_000
    bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.entries < 2 or self.bytes < 4096:
            raise ValueError("A memory needs at least 2 entries and 4096 bytes; for none at all pass None.")


class Entry(Generic[T]):
    """One remembered value. Times are ``time.monotonic()``."""

    __slots__ = ("fresh_until", "lives_until", "prepared", "report_at", "size", "value")

    def __init__(self, value: T, size: int) -> None:
        self.value = value
        #: What the reader's ``prepare`` made of the value.
        self.prepared: object = None
        #: Bytes it counts for.
        self.size = size
        #: When its key is gone from Redis, as far as is known.
        self.lives_until = float("inf")
        #: When the next use of it has to be told to Redis.
        self.report_at = float("inf")
        #: The earlier of both: before, a hit needs nothing else.
        self.fresh_until = float("inf")

    def set_times(self, lives_until: float, report_at: float) -> None:
        self.lives_until, self.report_at = lives_until, report_at
        self.fresh_until = min(lives_until, report_at)


class Ticket:
    """A look-up in flight. An invalidation that overtakes its answer takes the ticket away."""

    __slots__ = ()


class CoherentMemory(Generic[T]):
    """Entries that are only as old as the last proof that invalidations still arrive.

    * A look-up draws a ticket *before* it is sent (:meth:`begin`) and is remembered afterwards only if it still
      holds it (:meth:`finish`): an invalidation in between wins, whatever the order of arrival.
    * A hit counts only before :attr:`proven_until`, which the tracking link moves on with each answered beat.
    * Link lost, FLUSHALL, fork: everything is forgotten, look-ups in flight included.

    Hits read :attr:`young` without a lock; whatever changes the memory holds it.
    """

    def __init__(self, limits: Memory) -> None:
        self._most = max(limits.entries // 2, 1)
        self._most_bytes = limits.bytes // 2
        self.reset()

    def reset(self) -> None:
        """Start anew with a fresh lock: in a forked child the old one may be held by nobody that lives."""
        self._lock = threading.Lock()
        self.tracking = False
        #: Hits count before this moment (``time.monotonic()``).
        self.proven_until = 0.0
        self.young: dict[str, Entry[T]] = {}
        self._old: dict[str, Entry[T]] = {}
        self._young_bytes = 0
        self._tickets: dict[str, Ticket] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def peek(self, key: str, now: float) -> Entry[T] | None:
        """The entry of ``key`` if it may be used now, moved to the young ones."""
        if now >= self.proven_until:
            return None
        entry = self.young.get(key) or self._promote(key)
        return entry if entry is not None and now < entry.lives_until else None

    def begin(self, key: str) -> Ticket | None:
        """Draw a ticket for a look-up about to be sent; None while nothing may be remembered."""
        with self._lock:
            if not self.tracking:
                return None
            ticket = self._tickets[key] = Ticket()
            return ticket

    def finish(self, key: str, ticket: Ticket | None, entry: Entry[T] | None) -> bool:
        """Hand a ticket back; with an entry, remember it. Says whether it is remembered."""
        with self._lock:
            if ticket is None or self._tickets.get(key) is not ticket:
                return False
            del self._tickets[key]
            self._drop(key)
            if entry is None or entry.size > self._most_bytes:
                return False
            self._insert(key, entry)
            return True

    def forget(self, key: str) -> None:
        """``key`` changed: no entry and no look-up in flight may answer for it any more."""
        with self._lock:
            self._tickets.pop(key, None)
            self._drop(key)

    def find(self, key: str) -> Entry[T] | None:
        """The entry of ``key``, usable or not."""
        return self.young.get(key) or self._old.get(key)

    def loading(self, key: str) -> bool:
        """Whether a look-up of ``key`` is in flight."""
        return key in self._tickets

    def forget_all(self) -> None:
        """Everything may have changed."""
        with self._lock:
            self._forget_all()

    def track(self) -> None:
        """Every node tracks from now on: what is asked from now on may be remembered."""
        with self._lock:
            self._forget_all()
            self.tracking = True

    def lose(self) -> None:
        """The link is gone: nothing is known, nothing may be remembered."""
        with self._lock:
            self.proven_until = 0.0
            self.tracking = False
            self._forget_all()

    def _forget_all(self) -> None:
        self.young, self._old, self._young_bytes = {}, {}, 0
        self._tickets.clear()

    def _drop(self, key: str) -> None:
        entry = self.young.pop(key, None)
        if entry is not None:
            self._young_bytes -= entry.size
        self._old.pop(key, None)

    def _promote(self, key: str) -> Entry[T] | None:
        if key not in self._old:
            return None
        with self._lock:
            entry = self._old.pop(key, None)
            if entry is not None:
                self._insert(key, entry)
            return self.young.get(key)  # perhaps another thread was first

    def _insert(self, key: str, entry: Entry[T]) -> None:
        if len(self.young) >= self._most or self._young_bytes + entry.size > self._most_bytes:
            self._old, self.young, self._young_bytes = self.young, {}, 0
        self.young[key] = entry
        self._young_bytes += entry.size
