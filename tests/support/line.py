"""One kept-alive connection to 127.0.0.1, for tests that ask thousands of times."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tests.support.auth_server import AuthServer
from tests.support.http import Answer

T = TypeVar("T")
R = TypeVar("R")
Pairs = Iterable[tuple[str, str | bytes]]


class Line:
    """Asks with exactly the headers given, besides ``Host`` and ``Content-Length``; reconnects when it was closed."""

    def __init__(self, server: AuthServer, *, host: str | None = None) -> None:
        self.host = host or server.host
        self.context: ssl.SSLContext | None = server.context
        # A name of ours for TLS, at this machine.
        self.connection = _Here(self.host.partition(":")[0], server.port, self.context)

    def ask(self, method: str, path: str, headers: Pairs = (), body: bytes | str | None = None) -> Answer:
        pairs, content = list(headers), body.encode() if isinstance(body, str) else body
        try:
            return self._ask(method, path, pairs, content)
        except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
            self.connection.close()
            return self._ask(method, path, pairs, content)

    def _ask(
        self, method: str, path: str, pairs: list[tuple[str, str | bytes]], content: bytes | None
    ) -> Answer:
        line = self.connection
        line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        names = {name.lower() for name, _ in pairs}
        if "host" not in names:
            line.putheader("Host", self.host)
        if content is not None:
            line.putheader("Content-Length", str(len(content)))
        for name, value in pairs:
            line.putheader(name, value)
        line.endheaders(content)
        response = line.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())

    def close(self) -> None:
        self.connection.close()


class _Here(http.client.HTTPSConnection):
    """TLS for a name, or plain HTTP without a context; in both cases to 127.0.0.1."""

    def __init__(self, name: str, port: int, context: ssl.SSLContext | None) -> None:
        super().__init__(name, port, timeout=30, context=context)
        self._trust = context

    def connect(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        # Head and body go out in two pieces: the second must not wait for the first to be acknowledged.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._trust:
            self.sock = self._trust.wrap_socket(self.sock, server_hostname=self.host)


@contextmanager
def line_to(server: AuthServer, *, host: str | None = None) -> Iterator[Line]:
    line = Line(server, host=host)
    try:
        yield line
    finally:
        line.close()


def over_lines(
    server: AuthServer,
    rows: Iterable[T],
    ask: Callable[[Line, T], R],
    *,
    lines: int = 4,
    host: str | None = None,
) -> list[R]:
    """``ask(line, row)`` for every row, over a few connections at a time; results in the order of the rows."""
    rows = list(rows)
    shares = [rows[start::lines] for start in range(lines)]

    def work(share: list[T]) -> list[R]:
        with line_to(server, host=host) as line:
            return [ask(line, row) for row in share]

    with ThreadPoolExecutor(lines) as pool:
        done = list(pool.map(work, shares))
    return [done[index % lines][index // lines] for index in range(len(rows))]
