"""What the edge answers: status, headers in the two dialects servers speak, body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from sso.errors import SSOError

#: ``404`` -> ``404 Not Found``, as WSGI wants it.
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Headers:
    """Response headers written once for all: ``text`` pairs for WSGI, ``raw`` lower-case bytes for ASGI, and ``wire``
    lines as HTTP/1.1 sends them. Raises ``ValueError`` for what would be more lines than that.
    """

    __slots__ = ("raw", "text", "wire")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.text = list(pairs)
        self.raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.text]
        self.wire = "".join(f"{name}: {value}\r\n" for name, value in self.text).encode("latin-1")
        if not self.wire.count(b"\r") == self.wire.count(b"\n") == len(self.text):
            raise ValueError("a header holds a line break")

    def __add__(self, more: Headers) -> Headers:
        """Both, without encoding anything again."""
        both = Headers.__new__(Headers)
        both.text, both.raw, both.wire = self.text + more.text, self.raw + more.raw, self.wire + more.wire
        return both


class Answer(NamedTuple):
    """One response. The body is left out for HEAD by whoever sends it."""

    status: int
    headers: Headers
    body: bytes = b""


#: On every answer of the edge, refusals included.
COMMON = Headers(
    [
        ("Cache-Control", "no-store"),
        ("Vary", "Cookie, Origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
        ("Cross-Origin-Resource-Policy", "same-site"),
        ("Referrer-Policy", "no-referrer"),
        ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
    ]
)
NOTHING_MORE = Headers()


@lru_cache(maxsize=4096)
def body_headers(length: int) -> Headers:
    """The headers of a JSON body of ``length`` bytes, the common ones included."""
    return COMMON + Headers(
        [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(length))]
    )


def json_answer(status: int, content: Mapping[str, Any], more: Headers = NOTHING_MORE) -> Answer:
    """``content`` as JSON."""
    body = msgspec.json.encode(content)
    return Answer(status, body_headers(len(body)) + more, body)


def error_answer(error: SSOError, more: Headers = NOTHING_MORE, **extra: str) -> Answer:
    """The public side of an error, in the one shape all errors have; ``extra`` such as ``login_url``."""
    content = {"error": error.code, "message": error.public, **extra}
    return json_answer(error.status, content, Headers(error.headers.items()) + more)
