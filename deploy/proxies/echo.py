"""An app that says what it was asked: put it behind a proxy while ``manage.py proxy_check`` looks at the proxy.

    python3 deploy/proxies/echo.py 127.0.0.1:9000

Answers every request with JSON: method, target and headers exactly as they came. Accepts web sockets, and sends
the first message back. It shows cookies to whoever is let through: stop it when the check is done.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: RFC 6455 §1.3.
_SOCKET_ID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(BaseHTTPRequestHandler):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    timeout = 75
    #: Head and body leave together, or the other side's delayed acknowledgement costs 40 ms a request.
    wbufsize = -1

    def answer(self) -> None:
        """Say what came; the body is read and thrown away, or the next request would begin in it."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self._talk()
        body = json.dumps({"sso_echo": 1, **self._seen()}, indent=1).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def _seen(self) -> dict[str, object]:
        # Not self.path: it has lost a double slash at its beginning.
        return {
            "method": self.command,
            "target": self.requestline.split(" ")[1],
            "headers": [[name, value] for name, value in self.headers.raw_items()],
        }

    def _talk(self) -> None:
        """RFC 6455: shake hands, send the first short text frame back, and leave."""
        key = self.headers.get("Sec-WebSocket-Key", "") + _SOCKET_ID
        accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.wfile.flush()
        head = self.rfile.read(6)
        masked = self.rfile.read(head[1] & 0x7F)
        text = bytes(byte ^ head[2 + place % 4] for place, byte in enumerate(masked))
        self.wfile.write(bytes((0x81, len(text))) + text)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: targets may hold secrets."""


def serve(address: str) -> None:
    """Serve ``host:port`` until interrupted."""
    host, _, port = address.rpartition(":")
    ThreadingHTTPServer((host, int(port)), Echo).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000")
