"""Readers for threads: who is signed in, from memory while it is proven true, from Redis otherwise."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from hashlib import sha256
from queue import SimpleQueue
from time import monotonic, sleep, time
from typing import Any, Final, Generic, Self, TypeVar

from sso_client.connections import parse
from sso_client.cookies import SESSION_COOKIE, TOKEN, CookieReader
from sso_client.errors import StoreUnavailable
from sso_client.link import Link
from sso_client.memory import Entry, Memory
from sso_client.nodes import Nodes
from sso_client.recall import Decode, Recall, SessionRecall
from sso_client.record import Session

log = logging.getLogger("sso_client")

T = TypeVar("T")
#: What a reader remembers unless told otherwise.
DEFAULT_MEMORY: Final = Memory()
#: Seconds until a session is looked up again whose end could not be confirmed.
CONFIRM_AGAIN: Final = 0.25

_is_token = TOKEN.fullmatch


class TrackedReader(Generic[T]):
    """Values of keys under some prefixes, decoded once and remembered while Redis tells of changes.

    ``decode`` makes a value of a record or None of a bad one; it must not raise. ``on_change`` is called, from a
    thread of its own, with a key that changed, and with None when any may have: each time the link comes up (so it is
    the moment to read for the first time), and after FLUSHALL. Keep one reader for each process.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefixes: Iterable[str],
        decode: Decode[T],
        timeout: float = 0.5,
        memory: Memory | None = DEFAULT_MEMORY,
        on_change: Callable[[str | None], None] | None = None,
    ) -> None:
        self._set_up(url, timeout, Recall(prefixes, decode, memory, None))
        if on_change is not None:
            self._on_change = on_change
            self._recall.changed = self._call_on_change

    def _set_up(self, url: str, timeout: float, recall: Recall[T]) -> None:
        self._nodes = Nodes(parse(url), timeout)
        self._recall = recall
        self._memory = recall.memory
        self._link = Link(self._nodes, recall)
        self._calls = _Calls()
        #: Told after each look-up that asked Redis: the seconds it took, and whether Redis answered.
        self.timed: Callable[[float, bool], None] | None = None
        _readers.add(self)

    def _call_on_change(self, key: str | None) -> None:
        self._calls.put(self._on_change, key)

    def start(self) -> None:
        """Bring the link up now, in the background, and not with the first look-up."""
        self._link.start()

    @property
    def proven(self) -> bool:
        """Whether memory answers now: the link was proven within the last 1.5 seconds."""
        return monotonic() < self._memory.proven_until

    @property
    def down(self) -> bool:
        """Whether the link was begun and memory is not kept true now; False before the first look-up."""
        return self._recall.remembers and self._link.running and not self.proven

    def get(self, key: str) -> T | None:
        """The value of ``key``, None when there is none. At most one round trip.

        Raises StoreUnavailable when Redis does not answer within the time-out.
        """
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry.value
        entry = self._recall_or_load(key)
        return None if entry is None else entry.value

    def close(self) -> None:
        """Stop the link and close the connections. A closed reader still answers, by asking Redis."""
        self._link.close()
        self._calls.close()
        self._nodes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recall_or_load(self, key: str) -> Entry[T] | None:
        now = monotonic()
        entry = self._memory.peek(key, now)
        if entry is None:
            return self._load(key, active=True)
        if now >= entry.report_at:
            self._recall.touched(key, entry, now)
        return entry

    def _load(self, key: str, *, active: bool) -> Entry[T] | None:
        """Ask Redis, and remember the answer unless something overtook it."""
        if not self._link.running and self._recall.busy:
            self._link.start()
        memory, entry = self._memory, None
        ticket = memory.begin(key)
        try:
            reply, source = self._ask(key)
            entry = self._recall.understand(reply)
            if entry is not None:
                self._recall.date(key, entry, monotonic(), active=active)
        finally:
            if ticket is not None:
                memory.finish(
                    key, ticket, entry if entry is not None and source in self._link.tracked else None
                )
        return entry

    def _ask(self, key: str) -> tuple[Any, Any]:
        if self.timed is None:
            return self._nodes.get(key)
        began, answered = monotonic(), False
        try:
            reply = self._nodes.get(key)
            answered = True
        finally:
            self.timed(monotonic() - began, answered)
        return reply

    def _after_fork(self) -> None:
        self._link.abandon()
        self._nodes.close()
        self._recall.reset()
        self._calls = _Calls()


class SessionReader(TrackedReader[Session]):
    """Who is signed in, by the value of the shared cookie.

    ``prepare`` makes something of each session once (prepared bytes, say); it is kept beside the session, see
    :meth:`entry`. ``on_end`` is called with a session that was seen here and has ended: signed out, idle, over. It
    runs in a thread of its own, once, after a look-up confirmed the end. Sessions seen here count as active unless
    ``report_activity`` is False.

    Make one for each process, or before forking: threads share it, children start their own link.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "sso:",
        cookie: str = SESSION_COOKIE,
        timeout: float = 0.5,
        memory: Memory | None = DEFAULT_MEMORY,
        on_end: Callable[[Session], object] | None = None,
        report_activity: bool = True,
        prepare: Callable[[Session], object] | None = None,
    ) -> None:
        if on_end is not None and memory is None:
            raise ValueError("on_end needs a memory: without one nothing tells that a session ended.")
        self._set_up(url, timeout, SessionRecall(prefix, memory, prepare, report_activity))
        self._key_prefix = f"{prefix}session:"
        self._cookie = CookieReader(cookie)
        self._on_end = on_end
        self._watched: dict[str, Session] = {}
        self._most_watched = memory.entries if memory else 0
        if on_end is not None:
            self._recall.changed = self._suspect

    def read(self, cookie_header: str) -> Session | None:
        """Who sent this raw ``Cookie`` header (a latin-1 ``str``); None is nobody. Raises StoreUnavailable."""
        value = self._cookie.read(cookie_header)
        if value is None:
            return None
        # As look_up does, written out: this is asked for every request of an app.
        key = self._key_prefix + sha256(value.encode()).hexdigest()
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry.value
        entry = self._recall_or_load(key)
        return None if entry is None else entry.value

    def look_up(self, value: str) -> Session | None:
        """Whose session the cookie's value opens; None is nobody. Raises StoreUnavailable."""
        key = self._key_prefix + sha256(value.encode(errors="replace")).hexdigest()
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry.value
        entry = self._recall_or_load(key) if _is_token(value) else None
        return None if entry is None else entry.value

    def entry(self, value: str) -> Entry[Session] | None:
        """Like :meth:`look_up`, with ``.value`` (the session) and ``.prepared``. Raises StoreUnavailable."""
        key = self._key_prefix + sha256(value.encode(errors="replace")).hexdigest()
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry
        return self._recall_or_load(key) if _is_token(value) else None

    def _load(self, key: str, *, active: bool) -> Entry[Session] | None:
        entry = super()._load(key, active=active)
        if entry is not None and self._on_end is not None:
            self._watch(key, entry.value)
        return entry

    def _watch(self, key: str, session: Session) -> None:
        self._watched[key] = session
        if len(self._watched) > self._most_watched:
            self._watched.pop(next(iter(self._watched)), None)

    def _suspect(self, key: str | None) -> None:
        """Something changed (the link tells): have it confirmed elsewhere, the link must not wait."""
        for suspect in list(self._watched) if key is None else [key]:
            if suspect in self._watched:
                self._calls.put(self._confirm, suspect)

    def _confirm(self, key: str) -> None:
        session = self._watched.get(key)
        if session is None or self._lives(key, session):
            return
        if self._watched.pop(key, None) is not None and self._on_end is not None:
            self._on_end(session)

    def _lives(self, key: str, session: Session) -> bool:
        """Whether it does, or is to be asked again: Redis not answering ends nothing but what is over anyway."""
        try:
            return self._load(key, active=False) is not None
        except StoreUnavailable:
            if time() >= session.exp:
                return False
            sleep(CONFIRM_AGAIN)
            self._calls.put(self._confirm, key)
            return True

    def _after_fork(self) -> None:
        super()._after_fork()
        self._watched = {}


class _Calls:
    """A thread for the app's callbacks, started with the first: they may be slow, or fail, or ask Redis."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Callable[..., object], Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = False

    def put(self, call: Callable[..., object], argument: Any) -> None:
        self._queue.put((call, argument))
        with self._lock:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="sso_client-calls", daemon=True).start()

    def close(self) -> None:
        self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            call, argument = job
            try:
                call(argument)
            except Exception:
                log.exception("callback_failed: %s", getattr(call, "__qualname__", call))


_readers: weakref.WeakSet[TrackedReader[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for reader in list(_readers):
        reader._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
