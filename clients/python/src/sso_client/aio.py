"""Readers for asyncio: the rules of :mod:`sso_client.reader`, one multiplexed connection, no thread."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import weakref
from collections.abc import Callable, Iterable
from hashlib import sha256
from time import monotonic, time
from typing import Any, Generic, Self, TypeVar

from sso_client.aio_link import AsyncLink
from sso_client.connections import parse
from sso_client.cookies import SESSION_COOKIE, TOKEN, CookieReader
from sso_client.errors import StoreUnavailable
from sso_client.memory import Entry, Memory
from sso_client.reader import CONFIRM_AGAIN, DEFAULT_MEMORY
from sso_client.recall import Decode, Recall, SessionRecall
from sso_client.record import Session

log = logging.getLogger("sso_client")

T = TypeVar("T")

_is_token = TOKEN.fullmatch


class AsyncTrackedReader(Generic[T]):
    """:class:`sso_client.reader.TrackedReader` for one event loop; ``on_change`` may be a coroutine function."""

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefixes: Iterable[str],
        decode: Decode[T],
        timeout: float = 0.5,
        memory: Memory | None = DEFAULT_MEMORY,
        on_change: Callable[[str | None], object] | None = None,
    ) -> None:
        self._set_up(url, timeout, Recall(prefixes, decode, memory, None))
        if on_change is not None:
            self._on_change = on_change
            self._recall.changed = self._call_on_change

    def _set_up(self, url: str, timeout: float, recall: Recall[T]) -> None:
        self._recall = recall
        self._memory = recall.memory
        self._link = AsyncLink(parse(url), timeout, recall)
        self._tasks: set[asyncio.Task[None]] = set()
        #: Told after each look-up that asked Redis: the seconds it took, and whether Redis answered.
        self.timed: Callable[[float, bool], None] | None = None
        _readers.add(self)

    def _call_on_change(self, key: str | None) -> None:
        self._spawn(self._on_change, key)

    def start(self) -> None:
        """Bring the link up now, in the running event loop, and not with the first look-up."""
        self._link.start()

    @property
    def proven(self) -> bool:
        """Whether memory answers now: the link was proven within the last 1.5 seconds."""
        return monotonic() < self._memory.proven_until

    @property
    def down(self) -> bool:
        """Whether the link was begun and memory is not kept true now; False before the first look-up."""
        return self._recall.remembers and self._link.running and not self.proven

    async def get(self, key: str) -> T | None:
        """The value of ``key``, None when there is none. At most one round trip. Raises StoreUnavailable."""
        entry = self._remembered(key) or await self._load(key, active=True)
        return None if entry is None else entry.value

    def recall(self, key: str) -> Entry[T] | None:
        """What memory holds for ``key``, without awaiting; None says nothing: ask."""
        return self._remembered(key)

    async def close(self) -> None:
        """Stop the link and what is still being called. A closed reader raises StoreUnavailable."""
        await self._link.close()
        for task in list(self._tasks):
            task.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _remembered(self, key: str) -> Entry[T] | None:
        """The entry in memory if it may be used now."""
        now = monotonic()
        entry = self._memory.young.get(key)
        if entry is not None and now < entry.fresh_until and now < self._memory.proven_until:
            return entry
        entry = self._memory.peek(key, now)
        if entry is not None and now >= entry.report_at:
            self._recall.touched(key, entry, now)
        return entry

    async def _load(self, key: str, *, active: bool) -> Entry[T] | None:
        """Ask Redis, and remember the answer unless something overtook it."""
        self._link.start()
        memory, entry, source = self._memory, None, None
        ticket = memory.begin(key)
        try:
            reply, source = await (self._link.get(key) if self.timed is None else self._ask(key, self.timed))
            entry = self._recall.understand(reply)
            if entry is not None:
                self._recall.date(key, entry, monotonic(), active=active)
        finally:
            if ticket is not None:
                memory.finish(key, ticket, entry if source in self._link.tracked else None)
        if entry is not None:
            self._loaded(key, entry)
        return entry

    async def _ask(self, key: str, timed: Callable[[float, bool], None]) -> tuple[Any, Any]:
        began, answered = monotonic(), False
        try:
            reply = await self._link.get(key)
            answered = True
        finally:
            timed(monotonic() - began, answered)
        return reply

    def _loaded(self, key: str, entry: Entry[T]) -> None:
        """Redis told us of this entry."""

    def _spawn(self, call: Callable[[Any], object], argument: Any) -> None:
        task = asyncio.get_running_loop().create_task(_called(call, argument))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _after_fork(self) -> None:
        self._recall.reset()
        self._link.abandon()
        self._tasks = set()


class AsyncSessionReader(AsyncTrackedReader[Session]):
    """:class:`sso_client.reader.SessionReader` for one event loop.

    ``on_end`` may be a coroutine function; it runs in a task of its own.
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

    async def read(self, cookie_header: str) -> Session | None:
        """Who sent this raw ``Cookie`` header (a latin-1 ``str``); None is nobody. Raises StoreUnavailable."""
        value = self._cookie.read(cookie_header)
        return None if value is None else await self.look_up(value)

    async def look_up(self, value: str) -> Session | None:
        """Whose session the cookie's value opens; None is nobody. Raises StoreUnavailable."""
        key = self._key_prefix + sha256(value.encode(errors="replace")).hexdigest()
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry.value
        entry = await self._entry(key, value)
        return None if entry is None else entry.value

    async def entry(self, value: str) -> Entry[Session] | None:
        """Like :meth:`look_up`, with ``.value`` (the session) and ``.prepared``. Raises StoreUnavailable."""
        key = self._key_prefix + sha256(value.encode(errors="replace")).hexdigest()
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry
        return await self._entry(key, value)

    async def _entry(self, key: str, value: str) -> Entry[Session] | None:
        entry = self._remembered(key)
        if entry is not None:
            return entry
        return await self._load(key, active=True) if _is_token(value) else None

    def peek(self, value: str) -> Entry[Session] | None:
        """What :meth:`entry` would answer from memory, without awaiting; None says nothing: ask."""
        key = self._key_prefix + sha256(value.encode(errors="replace")).hexdigest()
        entry = self._memory.young.get(key)
        if entry is not None:
            now = monotonic()
            if now < entry.fresh_until and now < self._memory.proven_until:
                return entry
        return self._remembered(key)

    def _loaded(self, key: str, entry: Entry[Session]) -> None:
        if self._on_end is not None:
            self._watched[key] = entry.value
            if len(self._watched) > self._most_watched:
                self._watched.pop(next(iter(self._watched)), None)

    def _suspect(self, key: str | None) -> None:
        """Something changed (the link tells): have it confirmed in a task, the link must not wait."""
        for suspect in list(self._watched) if key is None else [key]:
            if suspect in self._watched:
                self._spawn(self._confirm, suspect)

    async def _confirm(self, key: str) -> None:
        session = self._watched.get(key)
        while session is not None:
            try:
                if await self._load(key, active=False) is not None:
                    return
                break
            except StoreUnavailable:
                if time() >= session.exp:
                    break
                await asyncio.sleep(CONFIRM_AGAIN)
        session = self._watched.pop(key, None)
        if session is not None and self._on_end is not None:
            await _called(self._on_end, session)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._watched = {}


async def _called(call: Callable[[Any], object], argument: Any) -> None:
    try:
        result = call(argument)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("callback_failed: %s", getattr(call, "__qualname__", call))


_readers: weakref.WeakSet[AsyncTrackedReader[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for reader in list(_readers):
        reader._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
