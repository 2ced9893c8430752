"""An app that answers 200 and two bytes, for each kind of server: what a server costs before any work is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sso.edge.answers import Answer, Headers
from sso.edge.requests import Asked, Peek

HEADERS = Headers([("Content-Type", "application/json"), ("Content-Length", "2")])
ANSWER = Answer(200, HEADERS, b"{}")


def wsgi(_: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", HEADERS.text)
    return [b"{}"]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS.raw})
    return await send({"type": "http.response.body", "body": b"{}"})


class NoDecision:
    """In place of ``sso.edge.core.Edge``: the same answer to everybody, at once."""

    def at_once(self, asked: Asked, peek: Peek) -> Answer:
        return ANSWER


class NoSource:
    """In place of ``sso.edge.loop_source.LoopSource``."""

    def peek(self, value: str) -> None:
        """Nothing is remembered."""

    def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to close."""


class OwnHttp:
    """What ``authserver.edge_worker`` takes from an application; gunicorn wants it callable."""

    edge, source = NoDecision(), NoSource()

    def __call__(self) -> None:
        """Never called."""


own_http = OwnHttp()
