"""Where the WSGI edge gets sessions and the registry from: Redis, through the readers of ``sso_client``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from sso_client.memory import Entry, Memory
from sso_client.reader import DEFAULT_MEMORY, SessionReader, TrackedReader
from sso_client.record import Session

from sso.edge.directory import Directory
from sso.edge.remembered import Remembered
from sso.keys import Keys
from sso.metrics.tally import tally
from sso.registry import Registry

log = logging.getLogger("sso.edge")


class Settings(NamedTuple):
    """Where Redis is and what of it to keep. ``timeout`` in seconds; ``memory`` None asks Redis every time."""

    url: str
    prefix: str
    cookie_name: str
    timeout: float
    memory: Memory | None = DEFAULT_MEMORY


class ThreadSource:
    """Answers from memory while the link to Redis is proven, else with one round trip for each question."""

    def __init__(self, settings: Settings, directory_of: Callable[[Registry], Directory]) -> None:
        url, prefix, cookie_name, timeout, memory = settings
        sessions = SessionReader(
            url, prefix=prefix, cookie=cookie_name, timeout=timeout, memory=memory, prepare=Remembered
        )
        self._key, self._directory_of = Keys(prefix).registry, directory_of
        self._registry = TrackedReader(
            url, prefixes=[self._key], decode=decode_registry, timeout=timeout, memory=memory
        )
        #: Whose session a cookie value opens: the entry, with its ``prepared`` answers. Raises StoreUnavailable.
        self.session: Callable[[str], Entry[Session] | None] = sessions.entry
        self._readers: tuple[SessionReader, TrackedReader[Registry]] = (sessions, self._registry)
        sessions.timed, self._registry.timed = tally.loaded, tally.exchanged

    @property
    def down(self) -> bool:
        """Whether memory should be kept true, and is not."""
        return self._readers[0].down

    def directory(self) -> Directory | None:
        """The registered apps; None when none were ever published. Raises StoreUnavailable."""
        registry = self._registry.get(self._key)
        return None if registry is None else self._directory_of(registry)

    def close(self) -> None:
        """Stop the links and close the connections."""
        for reader in self._readers:
            reader.close()


def decode_registry(raw: bytes) -> Registry | None:
    """The registry, or None and one log line: what cannot be read is unknown, and every verdict is 503."""
    try:
        return Registry.decode(raw)
    except (ValueError, RecursionError) as error:
        log.error("bad_registry: not a registry of version 1 (%s)", type(error).__name__)  # noqa: TRY400
        return None
