"""One message to one app: a bounded exchange on a connection to an address that was looked at.

httpcore, because it connects through one function that can be ours: the name is resolved there, and nowhere again
(no DNS rebinding), while TLS still asks for a certificate of the name. It follows no redirect and reads no proxy
from the environment. Every exchange ends within :data:`WHOLE` seconds, however slowly somebody answers.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpcore
from httpcore._backends.base import SOCKET_OPTION

from sso.backchannel.targets import Rules, TargetRefused

#: Seconds until there is a connection, and for all of it.
CONNECT: Final = 2.0
WHOLE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try: a status, or none and the code of what went wrong, with a detail fit for a page."""

    milliseconds: int
    status: int | None = None
    reason: str = ""
    detail: str = ""


async def post(uri: str, token: str, rules: Rules) -> Answer:
    """Send the token; never raises but when it is cancelled. Nothing of the answer but its status is read."""
    began = time.monotonic()
    status, reason, detail = None, "", ""
    try:
        async with asyncio.timeout(WHOLE):
            status = await _exchange(uri, token, rules)
        reason = _judged(status)
    except TargetRefused as refused:
        reason, detail = refused.code, str(refused)
    except (TimeoutError, httpcore.TimeoutException):
        reason = "timeout"
    except (httpcore.ConnectError, httpcore.ProtocolError, httpcore.NetworkError, OSError) as error:
        reason, detail = _failure(error)
    except Exception as error:
        reason, detail = "failed", type(error).__name__
    return Answer(round((time.monotonic() - began) * 1000), status, reason, detail)


def _judged(status: int) -> str:
    """The code of an answer that is not "done" (Back-Channel Logout §2.8)."""
    if status in (200, 204):
        return ""
    if status == 400:
        return "refused"
    return "redirects" if 300 <= status < 400 else "status"


def _failure(error: Exception) -> tuple[str, str]:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return "certificate", str(seen.verify_message)
        if isinstance(seen, ssl.SSLError):
            return "tls", str(seen.reason or "")
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, httpcore.ConnectError):
        return "unreachable", ""
    return "broken_off", type(error).__name__


async def _exchange(uri: str, token: str, rules: Rules) -> int:
    parts = urlsplit(uri)
    rules.check_scheme(parts.scheme, parts.hostname or "")
    body = urlencode({"logout_token": token}).encode()
    headers = [
        (b"Host", parts.netloc.encode("ascii")),
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"Content-Length", str(len(body)).encode()),
        (b"User-Agent", b"sso-backchannel"),
        (b"Connection", b"close"),
    ]
    limits = {"connect": CONNECT, "read": WHOLE, "write": WHOLE, "pool": WHOLE}
    pool = httpcore.AsyncConnectionPool(ssl_context=_tls(), network_backend=_Pinned(rules), retries=0)
    async with (
        pool,
        pool.stream("POST", uri, headers=headers, content=body, extensions={"timeout": limits}) as response,
    ):
        return int(response.status)


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, or those of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``."""
    return ssl.create_default_context()


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that :class:`Rules` let through, and asks no resolver a second time."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.plain = rules, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with asyncio.timeout(CONNECT):
            return await self._first(await self.rules.addresses(host, port), port)

    async def _first(self, addresses: list[str], port: int) -> httpcore.AsyncNetworkStream:
        """The first that accepts; the last one's error when none does."""
        for address in addresses[:-1]:
            try:
                return await self.plain.connect_tcp(address, port, timeout=CONNECT)
            except httpcore.ConnectError:
                continue
        return await self.plain.connect_tcp(addresses[-1], port, timeout=CONNECT)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
