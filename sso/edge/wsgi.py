"""The edge as a WSGI callable, in front of an application or alone."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from sso_client.errors import StoreUnavailable

from sso.edge.answers import STATUS_LINES, Answer
from sso.edge.core import Edge, not_here
from sso.edge.metrics import PATH as METRICS
from sso.edge.requests import Steps, Want, WantRegistry, WantSession
from sso.metrics.tally import read_route, tally

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from sso_client.memory import Entry
    from sso_client.record import Session

    from sso.edge.directory import Directory


class Source(Protocol):
    """Where answers to the core's questions come from. Both raise ``StoreUnavailable``."""

    def session(self, value: str, /) -> Entry[Session] | None:
        """The session of a cookie value."""

    def directory(self) -> Directory | None:
        """The registered apps; None when none were ever published."""


class EnvironAsked:
    """A request as PEP 3333 describes it."""

    __slots__ = ("_environ", "method", "path")

    def __init__(self, environ: WSGIEnvironment, path: str) -> None:
        self._environ, self.path = environ, path
        self.method: str = environ["REQUEST_METHOD"]

    @property
    def peer(self) -> str:
        return str(self._environ.get("REMOTE_ADDR", ""))

    @property
    def raw_target(self) -> str | None:
        """gunicorn's name for it, then the one of Apache and uWSGI; PEP 3333 has none."""
        return self._environ.get("RAW_URI") or self._environ.get("REQUEST_URI")

    def header(self, name: str) -> str | None:
        value: str | None = self._environ.get(_VARIABLES.get(name) or _variable(name))
        return value


class WsgiEdge:
    """Answers what is the edge's and hands the rest to ``app``; without one the rest is 404."""

    def __init__(self, edge: Edge, source: Source, app: WSGIApplication | None = None) -> None:
        self._edge, self._source, self._app = edge, source, app or _nothing_else

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        ours = path.startswith("/api/") or path == METRICS
        steps = self._edge.handle(EnvironAsked(environ, path)) if ours else None
        if steps is None:
            return self._app(environ, start_response)
        began = perf_counter()
        answer = self._run(steps, environ)
        tally.record("edge", read_route(path), answer.status, perf_counter() - began)
        return _send(answer, environ, start_response)

    def _run(self, steps: Steps, environ: WSGIEnvironment) -> Answer:
        """Fetch what the steps want until they return."""
        try:
            want = next(steps)
            while True:
                try:
                    found = self._fetch(want, environ)
                except StoreUnavailable as error:
                    want = steps.throw(error)
                else:
                    want = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    def _fetch(self, want: Want, environ: WSGIEnvironment) -> Any:
        if isinstance(want, WantSession):
            tally.asked()
            return self._source.session(want.value)
        if isinstance(want, WantRegistry):
            return self._source.directory()
        return _body(environ, want.limit)


def _send(answer: Answer, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    # PEP 3333 lets servers change the list, and this one is shared.
    start_response(STATUS_LINES[answer.status], answer.headers.text.copy())
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]


def _body(environ: WSGIEnvironment, limit: int) -> bytes | None:
    """The body, or None when it is longer than ``limit`` bytes; without a length it may be none at all."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length and not environ.get("wsgi.input_terminated"):
        return b""
    if length and (not length.isdecimal() or int(length[:9]) > limit):
        return None
    body: bytes = environ["wsgi.input"].read(int(length) if length else limit + 1)
    return None if len(body) > limit else body


def _nothing_else(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return _send(not_here(environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")), environ, start_response)


def _variable(name: str) -> str:
    """``sec-fetch-mode`` -> ``HTTP_SEC_FETCH_MODE``; only the core asks, so the names are few."""
    variable = name.upper().replace("-", "_")
    variable = variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"
    _VARIABLES[name] = variable
    return variable


_VARIABLES: dict[str, str] = {}
