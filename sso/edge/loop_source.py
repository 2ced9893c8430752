"""Where the ASGI edge gets sessions and the registry from: as ``sso.edge.sources``, awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sso_client.aio import AsyncSessionReader, AsyncTrackedReader
from sso_client.memory import Entry
from sso_client.record import Session

from sso.edge.directory import Directory
from sso.edge.remembered import Remembered
from sso.edge.sources import Settings, decode_registry
from sso.keys import Keys
from sso.metrics.tally import tally
from sso.registry import Registry


class LoopSource:
    """Answers from memory while the link to Redis is proven, else with one round trip for each question."""

    def __init__(self, settings: Settings, directory_of: Callable[[Registry], Directory]) -> None:
        url, prefix, cookie_name, timeout, memory = settings
        self._sessions = AsyncSessionReader(
            url, prefix=prefix, cookie=cookie_name, timeout=timeout, memory=memory, prepare=Remembered
        )
        self._key, self._directory_of = Keys(prefix).registry, directory_of
        self._registry = AsyncTrackedReader(
            url, prefixes=[self._key], decode=decode_registry, timeout=timeout, memory=memory
        )
        self._sessions.timed, self._registry.timed = tally.loaded, tally.exchanged
        #: Whose session a cookie value opens: the entry, with its ``prepared`` answers. Raises StoreUnavailable.
        self.session: Callable[[str], Awaitable[Entry[Session] | None]] = self._sessions.entry
        #: The same from memory alone, at once; None says nothing.
        self.peek: Callable[[str], Entry[Session] | None] = self._sessions.peek

    @property
    def down(self) -> bool:
        """Whether memory should be kept true, and is not."""
        return self._sessions.down

    async def directory(self) -> Directory | None:
        """The registered apps; None when none were ever published. Raises StoreUnavailable."""
        registry = await self._registry.get(self._key)
        return None if registry is None else self._directory_of(registry)

    def directory_at_once(self) -> Directory | None:
        """The registered apps if they are remembered; None says nothing."""
        entry = self._registry.recall(self._key)
        return None if entry is None else self._directory_of(entry.value)

    def start(self) -> None:
        """Bring the links up now, in the running event loop."""
        self._sessions.start()
        self._registry.start()

    async def close(self) -> None:
        """Stop the links and close the connections."""
        await self._sessions.close()
        await self._registry.close()
