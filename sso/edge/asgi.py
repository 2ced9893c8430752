"""The edge as an ASGI application, in front of another one or alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from sso_client.errors import StoreUnavailable

from sso.edge.answers import Answer
from sso.edge.core import Edge, not_here
from sso.edge.metrics import PATH as METRICS
from sso.edge.requests import Steps, Want, WantRegistry, WantSession
from sso.metrics.tally import read_route, tally

if TYPE_CHECKING:
    from sso_client.memory import Entry
    from sso_client.record import Session

    from sso.edge.directory import Directory


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsyncSource(Protocol):
    """Where answers to the core's questions come from; those that are awaited raise ``StoreUnavailable``."""

    def start(self) -> None:
        """Connect now, in the running event loop."""

    def peek(self, value: str, /) -> Entry[Session] | None:
        """The session of a cookie value from memory alone; None says nothing: await."""

    def session(self, value: str, /) -> Awaitable[Entry[Session] | None]:
        """The session of a cookie value."""

    def directory_at_once(self) -> Directory | None:
        """The registered apps from memory alone; None says nothing: await."""

    async def directory(self) -> Directory | None:
        """The registered apps; None when none were ever published."""

    async def close(self) -> None:
        """Let go of connections and tasks."""


class ScopeAsked:
    """A request as the ASGI specification describes it."""

    __slots__ = ("_scope", "method", "path")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]

    @property
    def peer(self) -> str:
        client = self._scope.get("client")
        return str(client[0] or "") if client else ""

    @property
    def raw_target(self) -> str | None:
        raw_path: bytes | None = self._scope.get("raw_path")
        if not raw_path:
            return None
        query: bytes = self._scope.get("query_string") or b""
        # Some servers leave the query in raw_path, against the specification.
        whole = raw_path.partition(b"?")[0] + (b"?" + query if query else b"")
        return whole.decode("latin-1")

    def header(self, name: str) -> str | None:
        wanted = name.encode()
        found = [value for key, value in self._scope["headers"] if key == wanted]
        if not found:
            return None
        joined: bytes = found[0] if len(found) == 1 else (b"; " if wanted == b"cookie" else b", ").join(found)
        return joined.decode("latin-1")


class AsgiEdge:
    """Answers what is the edge's and hands the rest to ``app``; without one the rest is 404."""

    def __init__(self, edge: Edge, source: AsyncSource, app: App | None = None) -> None:
        self.edge, self.source, self._app = edge, source, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._other(scope, receive, send)
        path = scope["path"]
        ours = path.startswith("/api/") or path == METRICS
        steps = self.edge.handle(ScopeAsked(scope)) if ours else None
        if steps is not None:
            began = perf_counter()
            answer = await self._run(steps, receive)
            tally.record("edge", read_route(path), answer.status, perf_counter() - began)
            return await _send(answer, scope, send)
        if self._app is not None:
            return await self._app(scope, receive, send)
        return await _send(not_here(scope["method"], scope["path"]), scope, send)

    async def _run(self, steps: Steps, receive: Receive) -> Answer:
        """Fetch what the steps want until they return."""
        try:
            want = next(steps)
            while True:
                try:
                    found = await self._fetch(want, receive)
                except StoreUnavailable as error:
                    want = steps.throw(error)
                else:
                    want = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    async def _fetch(self, want: Want, receive: Receive) -> Any:
        if isinstance(want, WantSession):
            tally.asked()
            return await self.source.session(want.value)
        if isinstance(want, WantRegistry):
            return await self.source.directory()
        return await _body(receive, want.limit)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Web sockets and the server's life: the application's, if there is one."""
        if self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        if scope["type"] == "lifespan":
            await self.source.close()


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan protocol: nothing to prepare, connections are made when they are needed."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _send(answer: Answer, scope: Scope, send: Send) -> None:
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers.raw})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The body, or None when it is longer than ``limit`` bytes or the client went away."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > limit:
            return None
        if not message.get("more_body"):
            return body
