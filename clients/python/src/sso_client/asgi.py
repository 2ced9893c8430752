"""The signed-in person for any ASGI app: ``scope["state"]["sso"]`` is a ``Session`` or ``None``.

    app.add_middleware(SSOMiddleware, reader=AsyncSessionReader("redis://…"), hub="https://auth.example.com")

    session = signed_in(request)                      # or the middleware sends the browser to sign in
    session = signed_in(request, groups=["editors"])  # or it says 403

In Starlette and FastAPI the session is also ``request.state.sso``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from sso_client.errors import StoreUnavailable
from sso_client.login import Answer, Asked, Dress, Gate, Refused, ignoring, private_headers, wire_target

if TYPE_CHECKING:
    from sso_client.record import Session

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_GATE, _PRIVATE = "sso.gate", "sso.private"
#: Policy violation (RFC 6455 §7.4.1), and "try again later" of the same IANA registry.
_CLOSED_BY_POLICY, _CLOSED_TRY_AGAIN = 1008, 1013


class Reader(Protocol):
    """The part of :class:`sso_client.AsyncSessionReader` the middleware uses."""

    async def read(self, cookie_header: str) -> Session | None: ...


class Connection(Protocol):
    """A Starlette or FastAPI request or web socket: all that counts is its scope."""

    @property
    def scope(self) -> Scope: ...


class SSOMiddleware:
    """Puts the session into the scope of HTTP requests and web sockets; answers 503 itself while the store does not.

    Takes what :class:`sso_client.wsgi.SSOMiddleware` takes; the reader is an ``AsyncSessionReader``, one per process.
    In Starlette and FastAPI use ``app.add_middleware``: only then does a refusal raised in a view get here.
    """

    def __init__(
        self,
        app: App,
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        # A copy: the server shares one state dictionary between all requests of a lifespan.
        scope["state"] = {**scope.get("state", {}), _GATE: self.gate}
        scope["state"].pop("sso", None)
        line = _Line(scope, send)
        try:
            if not self.ignores(scope["path"]):
                await self._admit(scope)
            await self.app(scope, receive, line.send)
        except (Refused, StoreUnavailable) as error:
            if line.started:
                raise
            refused = error.answer if isinstance(error, Refused) else self.gate.try_again(asked(scope))
            await line.refuse(refused)

    async def _admit(self, scope: Scope) -> None:
        scope["state"]["sso"] = await self.reader.read(_header(scope, b"cookie", b"; "))
        if self.required:
            signed_in(scope)


def signed_in(at: Scope | Connection, *, groups: Iterable[str] = ()) -> Session:
    """The session of this request or web socket; of a member of one of ``groups``, when some are named.

    Raises:
        Refused: nobody, or not one of them. Let it go: the middleware answers it (a web socket is refused).
        LookupError: the middleware is not installed, or ignores this path.
    """
    scope: Mapping[str, Any] = at if isinstance(at, Mapping) else at.scope
    state = scope.get("state", {})
    if "sso" not in state:
        raise LookupError("the scope has no session: add SSOMiddleware, and do not ignore this path")
    gate: Gate = state[_GATE]
    session = gate.check(state["sso"], asked(scope), groups)
    state[_PRIVATE] = True
    return session


def asked(scope: Mapping[str, Any]) -> Asked:
    """What a refusal needs to know of an ASGI request."""
    host = _header(scope, b"host") or "{}:{}".format(*(scope.get("server") or ("", "")))
    scheme = scope.get("scheme", "http").replace("ws", "http")
    return Asked(
        method=scope.get("method", "GET"),
        origin=f"{scheme}://{host}",
        target=wire_target(scope["path"].encode(), scope.get("query_string", b"")),
        mode=_header(scope, b"sec-fetch-mode"),
        dest=_header(scope, b"sec-fetch-dest"),
        accept=_header(scope, b"accept"),
        requested_with=_header(scope, b"x-requested-with"),
    )


def _header(scope: Mapping[str, Any], name: bytes, join: bytes = b", ") -> str:
    """A header's value; HTTP/2 may split the cookie header over lines (RFC 9113 §8.2.3 joins them by "; ")."""
    return join.join(value for key, value in scope["headers"] if key == name).decode("latin-1")


class _Line:
    """The way back to the browser: knows whether an answer has begun, and keeps private what was made for somebody."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self._send, self.started, self.accepted = scope, send, False, False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        self.accepted = self.accepted or kind == "websocket.accept"
        self.started = self.started or kind in ("http.response.start", "websocket.close")
        if kind == "http.response.start" and self.scope["state"].get(_PRIVATE):
            headers = list(message.get("headers", ()))
            more = private_headers(bytes(name).decode("latin-1") for name, _ in headers)
            message = {**message, "headers": [*headers, *_encoded(more)]}
        await self._send(message)

    async def refuse(self, answer: Answer) -> None:
        """Send a finished answer: over HTTP, as the denial of a web socket's handshake, or as its close."""
        socket = self.scope["type"] == "websocket"
        if socket and (self.accepted or "websocket.http.response" not in self.scope.get("extensions", {})):
            code = _CLOSED_TRY_AGAIN if answer.status == 503 else _CLOSED_BY_POLICY
            await self._send({"type": "websocket.close", "code": code})
            return
        kind = "websocket.http.response" if socket else "http.response"
        headers = _encoded(answer.headers)
        await self._send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
        body = b"" if self.scope.get("method") == "HEAD" else answer.body
        await self._send({"type": f"{kind}.body", "body": body})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
