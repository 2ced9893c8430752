"""What gunicorn says to bytes that are no request, and when an application breaks: the status and nothing else.

Its own answers and log lines repeat the offending header, method or address: a cookie or a ticket, perhaps.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors

STATUSES: dict[type[Exception], HTTPStatus] = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    # These two are the application's fault.
    errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ConfigurationProblem: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ParseException: HTTPStatus.BAD_REQUEST,
}
HEADERS = (
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    "Cache-Control: no-store",
    "X-Content-Type-Options: nosniff",
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy: no-referrer",
    "Strict-Transport-Security: max-age=63072000; includeSubDomains",
)


class DiscreetWorker:
    """For a worker class of gunicorn: replaces its way to answer errors."""

    log: Any

    def handle_error(
        self,
        req: Any,
        client: socket.socket,
        addr: tuple[str, int] | None,
        exc: BaseException,
    ) -> None:
        """Log the kind of error, answer its status; the caller closes the connection."""
        if isinstance(exc, ssl.SSLError):
            self.log.debug("tls_refused ip=%s", addr[0] if addr else "")
            return  # there is no common language to say anything in
        status, kind = status_of(exc), type(exc).__name__
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("request_failed error=%s", kind, exc_info=exc)
        else:
            self.log.warning(
                "request_refused status=%d error=%s ip=%s", status, kind, addr[0] if addr else ""
            )
        with contextlib.suppress(OSError):
            util.write_nonblock(client, answer(status))


def status_of(exc: BaseException) -> HTTPStatus:
    """The nearest of ``STATUSES``; 500 for what no client can have caused."""
    kinds = (STATUSES[kind] for kind in type(exc).__mro__ if kind in STATUSES)
    return next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR)


def answer(status: HTTPStatus) -> bytes:
    """A whole response, the same for everybody."""
    body = f"{status.phrase}\n"
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", *HEADERS, f"Content-Length: {len(body)}", "", body)
    return "\r\n".join(lines).encode()
