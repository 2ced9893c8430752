"""Who is being served now, so that code deep inside needs no request in its hands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sso.audit.entries import Entry

#: What a proxy may call a request: nginx's and Envoy's identifiers fit, nothing that breaks a line does.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)

_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)
_actor: ContextVar[str] = ContextVar("audit_actor", default="system")


@contextmanager
def serving(request: HttpRequest) -> Iterator[None]:
    """While the block runs, events belong to ``request``."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def present() -> HttpRequest | None:
    """The request being served in this thread or task."""
    return _request.get()


@contextmanager
def acting(name: str) -> Iterator[None]:
    """While the block runs, events outside any request are done by ``name``, such as ``command:create_user``."""
    token = _actor.set(name)
    try:
        yield
    finally:
        _actor.reset(token)


def operator() -> str:
    """Who acts when there is no request."""
    return _actor.get()


def new_request_id() -> str:
    return uuid4().hex


def request_id(request: Any) -> str:
    return str(getattr(request, "request_id", ""))


def held(request: HttpRequest) -> list[Entry]:
    """Events of ``request`` that wait for its end (see ``recording``)."""
    entries: list[Entry] = request.__dict__.setdefault("_audit_held", [])
    return entries


def stranger(typed: str) -> str:
    """A stand-in for a name that belongs to nobody: what was typed may have been a password by mistake.

    The same name gives the same stand-in while ``SECRET_KEY`` stays; nobody can read it back.
    """
    return "unknown:" + salted_hmac("sso.audit.stranger", typed, algorithm="sha256").hexdigest()[:16]
