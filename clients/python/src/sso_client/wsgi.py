"""The signed-in person for any WSGI app: ``environ["sso.session"]`` is a ``Session`` or ``None``.

app.wsgi_app = SSOMiddleware(app.wsgi_app, SessionReader("redis://…"), hub="https://auth.example.com")

session = signed_in(environ)                      # or the middleware sends the browser to sign in
session = signed_in(environ, groups=["editors"])  # or it says 403
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from sso_client.errors import StoreUnavailable
from sso_client.login import Asked, Dress, Gate, Refused, ignoring, private_headers, wire_target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from sso_client.record import Session

#: Where the middleware leaves the session: present (and perhaps ``None``) on every request it looked at.
SESSION = "sso.session"
_GATE, _PRIVATE = "sso.gate", "sso.private"


class Reader(Protocol):
    """The part of :class:`sso_client.SessionReader` the middleware uses."""

    def read(self, cookie_header: str) -> Session | None: ...


class SSOMiddleware:
    """Puts the session into ``environ``; answers 503 itself while the store does not.

    A page that called :func:`signed_in` is kept out of caches, unless it sets ``Cache-Control``.

    Args:
        app: the application to wrap.
        reader: one per process, shared by all threads.
        hub: origin of the auth server.
        app_origin: origin people see this app at; needed behind a proxy.
        required: send everybody who is not signed in to the hub, on every path.
        ignore: paths that are answered without asking who it is, so that they work while the store is down:
            ``("/", "/healthz", "/static/")``; see :func:`sso_client.login.ignoring`. ``sso.session`` is absent there.
        dress: shows 403 and 503 pages in the app's design.
    """

    def __init__(
        self,
        app: WSGIApplication,
        reader: Reader,
        *,
        hub: str,
        app_origin: str | None = None,
        required: bool = False,
        ignore: tuple[str, ...] = (),
        dress: Dress | None = None,
    ) -> None:
        self.app, self.reader, self.required, self.ignores = app, reader, required, ignoring(ignore)
        self.gate = Gate(hub, app_origin=app_origin, dress=dress)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop(SESSION, None)
        environ[_GATE] = self.gate
        try:
            if not self.ignores(environ.get("PATH_INFO", "")):
                self._admit(environ)
            return self.app(environ, _keeping_private(environ, start_response))
        except (Refused, StoreUnavailable) as error:
            answer = error.answer if isinstance(error, Refused) else self.gate.try_again(asked(environ))
            # In place of headers the app may have announced already and the server not yet sent (PEP 3333).
            because = sys.exc_info()
            return answer(environ, lambda status, headers: start_response(status, headers, because))

    def _admit(self, environ: WSGIEnvironment) -> None:
        environ[SESSION] = self.reader.read(environ.get("HTTP_COOKIE", ""))
        if self.required:
            signed_in(environ)


def signed_in(environ: dict[str, Any], *, groups: Iterable[str] = ()) -> Session:
    """The session of this request; of a member of one of ``groups``, when some are named.

    Raises:
        Refused: nobody, or not one of them. Let it go: the middleware answers it. A framework that handles
            errors itself returns ``refused.answer``, which is a WSGI application.
        LookupError: the middleware is not installed, or ignores this path.
    """
    if SESSION not in environ:
        raise LookupError(
            "environ has no sso.session: wrap the app in SSOMiddleware, and do not ignore this path"
        )
    gate: Gate = environ[_GATE]
    session = gate.check(environ[SESSION], asked(environ), groups)
    environ[_PRIVATE] = True
    return session


def _keeping_private(environ: dict[str, Any], start_response: StartResponse) -> StartResponse:
    """Mark what was made for somebody signed in, at the last moment, when it is known whether it was."""

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        if environ.get(_PRIVATE):
            headers = [*headers, *private_headers(name for name, _ in headers)]
        return start_response(status, headers, *([exc_info] if exc_info else []))

    return start


def asked(environ: dict[str, Any]) -> Asked:
    """What a refusal needs to know of a WSGI request (PEP 3333: text here is latin-1 bytes)."""
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    query = environ.get("QUERY_STRING", "").encode("latin-1")
    return Asked(
        method=environ["REQUEST_METHOD"],
        origin=f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST') or environ['SERVER_NAME']}",
        target=wire_target(path, query),
        mode=environ.get("HTTP_SEC_FETCH_MODE", ""),
        dest=environ.get("HTTP_SEC_FETCH_DEST", ""),
        accept=environ.get("HTTP_ACCEPT", ""),
        requested_with=environ.get("HTTP_X_REQUESTED_WITH", ""),
    )
