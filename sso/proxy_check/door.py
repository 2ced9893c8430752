"""The one address under attack, and requests that no tidy client would send."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from sso.origins import DEFAULT_PORTS

Pairs = Iterable[tuple[str, str]]
#: Seconds for one request; bytes of an answer that are read; requests of one check, all in all.
TIMEOUT, LONGEST_BODY, MOST_REQUESTS = 10.0, 65_536, 150


class TooManyRequests(Exception):
    """The check would ask more often than it promised."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the echo app says it was asked (``deploy/proxies/echo.py``)."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """The values of every header that some server would take for ``name``: all but letters and digits alike."""
        wanted = _plain(name)
        return [value for known, value in self.headers if _plain(known) == wanted]

    def mentions(self, text: str) -> list[str]:
        """Names of the headers whose value contains ``text``."""
        return [name for name, value in self.headers if text in value]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; status 0 when the connection was closed without one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of that name, or nothing."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")

    @property
    def seen(self) -> Seen | None:
        """What the app saw, if the echo app answered."""
        content = self.content
        if content.get("sso_echo") != 1:
            return None
        pairs = tuple((str(name), str(value)) for name, value in content["headers"])
        return Seen(str(content["method"]), str(content["target"]), pairs)

    @property
    def content(self) -> dict[str, Any]:
        """The body, if it is a JSON object."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def error(self) -> str:
        """Our error code, if it is one of our refusals."""
        return str(self.content.get("error", ""))

    @property
    def login_url(self) -> str:
        """Where it sends people to sign in."""
        return self.header("Location") or str(self.content.get("login_url", ""))

    @property
    def reached_the_app(self) -> bool:
        """Whether the app answered: the echo app for sure, any other by a success."""
        return self.seen is not None or 200 <= self.status < 300


class Door:
    """Asks one server, and nobody else."""

    def __init__(self, url: str, *, connect: str = "", ca: str | None = None, source: str = "") -> None:
        """``url`` names scheme, host and port. ``connect`` is the ``host[:port]`` to connect to instead of
        the one named, ``source`` the address of this machine to come from. ``ValueError`` for what is none.
        """
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"{url}: write it as https://host or https://host:port")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        there, _, other_port = connect.partition(":")
        self.host, self._name = parts.netloc, parts.hostname
        self._address = (there or parts.hostname, int(other_port or port))
        self._source = (source, 0) if source else None
        self._tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        #: How often it asked.
        self.asked = 0

    def ask(self, target: str, headers: Pairs = (), *, method: str = "GET") -> Reply:
        """One request on a connection of its own, with exactly these headers besides ``Host``.

        Raises:
            OSError: nobody listens there, or TLS fails.
        """
        self.asked += 1
        if self.asked > MOST_REQUESTS:
            raise TooManyRequests
        with self._connection() as line:
            try:
                line.sendall(self._request(method, target, list(headers)))
                return _read(line, method)
            except (OSError, http.client.HTTPException):
                return Reply(0)

    def _connection(self) -> socket.socket:
        line = socket.create_connection(self._address, TIMEOUT, self._source)
        # The request must not wait until the other side has acknowledged the handshake (40 ms).
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(line, server_hostname=self._name) if self._tls else line

    def _request(self, method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        if not any(name.lower() == "connection" for name, _ in headers):
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _read(line: socket.socket, method: str) -> Reply:
    response = http.client.HTTPResponse(line, method=method)
    response.begin()
    try:
        body = b"" if response.status == 101 else response.read(LONGEST_BODY)
    finally:
        response.close()
    return Reply(response.status, tuple(cast(Any, response.getheaders())), body)


def _plain(name: str) -> str:
    """A header's name as the sloppiest server reads it (RFC 3875 §4.1.18 and beyond)."""
    return "".join(c if c.isalnum() else "_" for c in name.lower())
