"""Know who is signed in, from the session every app of a domain shares.

Nothing is imported before it is asked for: an app that only needs :func:`login_url` loads no Redis client, and
nothing here needs Django, Flask or FastAPI. The integrations are modules of their own: ``sso_client.django``,
``sso_client.wsgi``, ``sso_client.asgi``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sso_client.aio import AsyncSessionReader
    from sso_client.cookies import SESSION_COOKIE, CookieReader
    from sso_client.errors import SSOClientError, StoreUnavailable
    from sso_client.login import Answer, Gate, Refused, login_url, member_of
    from sso_client.memory import Memory
    from sso_client.reader import SessionReader
    from sso_client.record import Identity, Session

__all__ = [
    "SESSION_COOKIE",
    "Answer",
    "AsyncSessionReader",
    "CookieReader",
    "Gate",
    "Identity",
    "Memory",
    "Refused",
    "SSOClientError",
    "Session",
    "SessionReader",
    "StoreUnavailable",
    "login_url",
    "member_of",
]

#: Where each public name lives.
_HOMES = {
    "AsyncSessionReader": "aio",
    "CookieReader": "cookies",
    "SESSION_COOKIE": "cookies",
    "SSOClientError": "errors",
    "StoreUnavailable": "errors",
    "Answer": "login",
    "Gate": "login",
    "Refused": "login",
    "login_url": "login",
    "member_of": "login",
    "Memory": "memory",
    "SessionReader": "reader",
    "Identity": "record",
    "Session": "record",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use and remember it here (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
