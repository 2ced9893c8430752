"""Plain HTTP to 127.0.0.1 with any Host and any header, which ordinary clients would tidy up."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Headers = Mapping[str, str] | Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Answer:
    """A response as it came: header names and duplicates untouched."""

    status: int
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first header of that name."""
        return next(iter(self.all(name)), default)

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.pairs if known.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cookies(self) -> dict[str, str]:
        """Names and values of ``Set-Cookie``; an expired cookie's value is empty."""
        pairs = (value.partition(";")[0].partition("=") for value in self.all("Set-Cookie"))
        return {name: value for name, _, value in pairs}


def request(
    port: int,
    method: str,
    path: str,
    *,
    host: str,
    headers: Headers = (),
    body: bytes | str | None = None,
    context: ssl.SSLContext | None = None,
    timeout: float = 15,
) -> Answer:
    """One request on a connection of its own; TLS (with ``host`` as server name) when ``context`` is given.

    ``path`` and header values go out as they are (latin-1, or bytes); ``Host`` is ``host`` unless among the headers.
    """
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    connection.sock.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )  # as http.client's own connect() does
    if context:
        connection.sock = context.wrap_socket(connection.sock, server_hostname=host.partition(":")[0])
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        content = body.encode() if isinstance(body, str) else body
        names = {name.lower() for name, _ in pairs}
        extra = [] if "host" in names else [("Host", host)]
        if content is not None and not names & {"content-length", "transfer-encoding"}:
            extra.append(("Content-Length", str(len(content))))
        for name, value in [*extra, *pairs]:
            connection.putheader(name, value)
        connection.endheaders(content)
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def send_raw(port: int, data: bytes, *, host: str = "", context: ssl.SSLContext | None = None) -> bytes:
    """Send bytes as they are, and return everything that comes back until the server closes or is silent for 2 s."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
        line = context.wrap_socket(plain, server_hostname=host) if context else plain
        line.sendall(data)
        chunks = []
        try:
            while chunk := line.recv(65536):
                chunks.append(chunk)
        except TimeoutError:
            pass
        return b"".join(chunks)
