"""Many web hosts on one address: an http and an https server whose answer depends on the ``Host`` asked for."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support.certificates import Certificates


class Page(NamedTuple):
    """How a host answers: on port 80, and the headers of its https answer."""

    status: int = 301
    #: Without ``{port}`` it is sent as it is.
    location: str | None = "https://{host}/"
    hsts: str | None = "max-age=63072000; includeSubDomains"


class WebHosts:
    """``pages``: host name -> how it answers; others are 404 in plain http."""

    def __init__(self, pages: dict[str, Page], certificates: Certificates) -> None:
        #: Every request: scheme, host, path, and whether it brought a cookie.
        self.requests: list[tuple[str, str, str, bool]] = []
        self._servers = [_Server(self, "http", pages), _Server(self, "https", pages)]
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificates.certificate, certificates.key)
        secure = self._servers[1]
        secure.socket = tls.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
        self.http_port, self.https_port = (int(server.server_address[1]) for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hosts: WebHosts, scheme: str, pages: dict[str, Page]) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.hosts, self.scheme, self.pages = hosts, scheme, pages

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of ours."""


class _Talk(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").partition(":")[0]
        server = self.server
        server.hosts.requests.append((server.scheme, host, self.path, "Cookie" in self.headers))
        page = server.pages.get(host)
        if server.scheme == "https":
            self.send_response(200)
            if page and page.hsts is not None:
                self.send_header("Strict-Transport-Security", page.hsts)
        else:
            self.send_response(page.status if page else 404)
            if page and page.location:
                self.send_header("Location", page.location.format(host=host))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
