"""What the core sees of a request, and what it may ask for while it thinks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

import msgspec
from sso_client.memory import Entry
from sso_client.record import Session

from sso.edge.answers import Answer


class Asked(Protocol):
    """One request, from WSGI or ASGI."""

    @property
    def method(self) -> str:
        """As sent."""

    @property
    def path(self) -> str:
        """Percent-decoded, without query."""

    @property
    def peer(self) -> str:
        """The other end of the connection: an IP address, empty for a Unix socket."""

    @property
    def raw_target(self) -> str | None:
        """Path and query as on the wire; None when the server does not hand them over."""

    def header(self, name: str) -> str | None:
        """The value (latin-1) of a header named in lower case.

        Several lines of one are joined with commas, those of ``cookie`` with semicolons (RFC 9113 §8.2.3).
        """


class WantSession(msgspec.Struct, frozen=True, gc=False):
    """Please look up the session of this cookie value: ``Entry[Session] | None``."""

    value: str


class WantRegistry(msgspec.Struct, frozen=True, gc=False):
    """Please tell the apps that are registered now: ``Directory | None``."""


class WantBody(msgspec.Struct, frozen=True, gc=False):
    """Please read the request's body, ``limit`` bytes at most: ``bytes``, or None when there is more."""

    limit: int


#: A look into memory for the session of a cookie value; None says nothing.
Peek = Callable[[str], Entry[Session] | None]
Want = WantSession | WantRegistry | WantBody
WANT_REGISTRY = WantRegistry()


#: A request being answered: yields what it wants, is sent the result (``StoreUnavailable`` is thrown in), and
#: returns the answer. Only the fetching in between differs from threads to asyncio.
Steps = Generator[Want, Any, Answer]
