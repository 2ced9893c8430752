"""Who is being served now, so that code deep inside needs no request in its hands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.utils.crypto import salted_hmac

from sso.audit.events import Event

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sso.audit.entries import Entry


@dataclass(frozen=True, slots=True)
class Cause:
    """Why sign-ins end: the event that is recorded, and its detail ``by``."""

    by: str = ""
    event: Event = Event.SIGN_IN_ENDED
    #: Whoever ends very many at once records one event of their own.
    silent: bool = False


#: What a proxy may call a request: nginx's and Envoy's identifiers fit, nothing that breaks a line does.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)

_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)
_actor: ContextVar[str] = ContextVar("audit_actor", default="system")
_cause: ContextVar[Cause] = ContextVar("audit_cause", default=Cause())  # noqa: B039 - frozen


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


@contextmanager
def cause(by: str = "", *, event: Event = Event.SIGN_IN_ENDED, silent: bool = False) -> Iterator[None]:
    """While the block runs, sign-ins end for this reason; an outer reason stays the one that counts."""
    if _cause.get() != Cause():
        yield
        return
    token = _cause.set(Cause(by, event, silent))
    try:
        yield
    finally:
        _cause.reset(token)


def present_cause() -> Cause:
    return _cause.get()


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
