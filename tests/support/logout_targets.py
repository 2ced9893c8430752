"""An app's logout URL on this machine that a test lets hang, fail, redirect or answer, over http or https."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from tests.support.certificates import Certificates


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def token(self) -> str:
        return parse_qs(self.body)["logout_token"][0]


class LogoutTarget:
    """``how``: a status, a function of the handler that answers for itself, or a list of them for one try each."""

    def __init__(self, how: Any = 200, *, certificates: Certificates | None = None) -> None:
        self.how, self.got = how, list[Got]()
        self._news = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Talk)
        self._server.target = self
        if certificates:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificates.certificate, certificates.key)
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keep(self, got: Got) -> None:
        with self._news:
            self.got.append(got)
            self._news.notify_all()

    def wait(self, count: int = 1, seconds: float = 20) -> list[Got]:
        """Once so many messages came; fails when they do not."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.got) >= count, seconds), f"{len(self.got)} came"
            return list(self.got)

    def next_way(self) -> Any:
        if isinstance(self.how, list):
            return self.how.pop(0) if len(self.how) > 1 else self.how[0]
        return self.how


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    target: LogoutTarget

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that goes away is part of the tests."""


class _Talk(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.server.target.keep(Got(time.monotonic(), "POST", self.path, dict(self.headers.items()), body))
        way: int | Callable[[BaseHTTPRequestHandler], None] = self.server.target.next_way()
        if callable(way):
            way(self)
            return
        self.send_response(way)
        if 300 <= way < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.target.port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


def hangs(talk: BaseHTTPRequestHandler) -> None:
    """Never answers; ends when the sender has hung up."""
    talk.connection.recv(1)


def drips(talk: BaseHTTPRequestHandler) -> None:
    """A byte of a header now and then, for ever."""
    try:
        while True:
            talk.wfile.write(b"H")
            time.sleep(0.1)
    except OSError:
        return


def floods(talk: BaseHTTPRequestHandler) -> None:
    """Says yes, and then talks for ever."""
    talk.send_response(200)
    talk.end_headers()
    try:
        while True:
            talk.wfile.write(b"x" * 65536)
    except OSError:
        return


def hangs_up(talk: BaseHTTPRequestHandler) -> None:
    talk.close_connection = True
