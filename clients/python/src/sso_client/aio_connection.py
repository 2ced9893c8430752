"""One connection to Redis for asyncio, shared by everybody who asks: replies and pushes in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sso_client.channel import Channel
from sso_client.connections import Address, Target
from sso_client.recall import Recall
from sso_client.wire import LinkLost, checked, greeting, new_parser, role_of, tls_context


class Closed(LinkLost):
    """The server closed the connection."""


class Connection(asyncio.Protocol):
    """A connected socket whose commands may be sent before earlier ones are answered."""

    def __init__(self, address: Address, recall: Recall[Any]) -> None:
        self.address = address
        self.channel = Channel(recall, new_parser())
        self._loop = asyncio.get_running_loop()
        #: Done when the connection is of no more use; its result says why.
        self.lost: asyncio.Future[LinkLost] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._pending: set[asyncio.Future[Any]] = set()
        self._outbox: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            self.channel.feed(data)
        except LinkLost as error:
            self.drop(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(Closed(f"{self.address} closed the connection{f': {exc}' if exc else ''}"))

    def drop(self, error: LinkLost) -> None:
        """Give the connection up; everybody who waits for a reply is told why."""
        if self.lost.done():
            return
        self.lost.set_result(error)
        if self._transport is not None:
            self._transport.abort()
        for future in self._pending:
            if not future.done():
                future.set_exception(type(error)(*error.args))
        self._pending.clear()

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """Send a packed command with whatever else this turn of the loop sends; its reply to come."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(self.lost.result())
            return future

        def answered(reply: Any) -> None:
            self._pending.discard(future)
            if not future.done():  # the request may have been cancelled
                future.set_result(reply)

        self._pending.add(future)
        self.post(command, answered)
        return future

    def give_up_later(self, future: asyncio.Future[Any], seconds: float) -> asyncio.TimerHandle:
        """Raise ``TimeoutError`` to whoever waits for this reply then; cheaper than ``asyncio.timeout``."""
        return self._loop.call_later(seconds, _give_up, future)

    def post(self, command: bytes, handler: Callable[[Any], None] | None = None) -> None:
        """Send a command whose reply ``handler`` takes, or one for which the channel expects it already."""
        if handler is not None:
            self.channel.expect(handler)
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(command)

    def _flush(self) -> None:
        data = b"".join(self._outbox)
        self._outbox.clear()
        if self._transport is not None and not self.lost.done():
            self._transport.write(data)


async def open_connection(address: Address, target: Target, recall: Recall[Any]) -> tuple[Connection, bytes]:
    """Connect and greet; returns the server's role too. Raises LinkLost."""
    loop = asyncio.get_running_loop()
    try:
        if not address.port:
            _, connection = await loop.create_unix_connection(
                lambda: Connection(address, recall), address.host
            )
        else:
            tls = tls_context(target)
            _, connection = await loop.create_connection(
                lambda: Connection(address, recall), *address, ssl=tls
            )
    except OSError as error:
        raise LinkLost(f"{address}: {error}") from error
    try:
        replies = [connection.ask(command) for command in greeting(target, "sso_client-link")]
        answers = [checked(reply) for reply in await asyncio.gather(*replies)]
    except BaseException:
        connection.drop(LinkLost("the greeting failed"))
        raise
    return connection, role_of(answers[0])


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
