"""What a host answers on port 80 and 443: one request for ``/`` each, only the head of the answer is read.

No cookie is sent, no redirect followed, and every answer is bounded in time and size: the hosts are not trusted.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from sso.exposure.values import NOT_ASKED, Host, Probe

#: Seconds for one request, and bytes of one head.
PATIENCE: Final = 5.0
MOST_BYTES: Final = 64 * 1024
#: Connections at a time.
AT_ONCE: Final = 16
#: Interim answers (1xx) before the real one.
MOST_INTERIM: Final = 4
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_END: Final = re.compile(rb"\r?\n\r?\n")
_SILENT: Final = Probe("silent")


class Prober:
    """Asks hosts. ``ports`` and ``local`` (addresses of this machine and of its link) are for laboratories."""

    def __init__(
        self, *, ports: tuple[int, int] = (80, 443), authority: str | None = None, local: bool = False
    ) -> None:
        """``authority``: a PEM file to trust instead of the public ones. Raises ``OSError`` (``ssl.SSLError``)."""
        self._ports, self._local = ports, local
        self._tls = ssl.create_default_context(cafile=authority)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def probe(self, host: Host) -> tuple[Probe, Probe]:
        """How it answers http and https."""
        address = self._address(host.lookup.addresses)
        if host.is_wildcard or address is None:
            return NOT_ASKED, NOT_ASKED
        plain, secure = self._ports
        return await self._ask(host.name, address, plain), await self._ask(
            host.name, address, secure, self._tls
        )

    def _address(self, addresses: tuple[str, ...]) -> str | None:
        """The address to ask, IPv4 first. Never one that means this machine: whoever writes a DNS record must
        not choose what the auth server asks of itself or of its cloud's metadata service."""
        for text in sorted(addresses, key=lambda one: ":" in one):
            ip = ip_address(text)
            ip = getattr(ip, "ipv4_mapped", None) or ip
            inside = ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast
            if self._local or not (inside or ip.is_reserved):
                return text
        return None

    async def _ask(self, name: str, address: str, port: int, tls: ssl.SSLContext | None = None) -> Probe:
        async with self._turns:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await _exchange(name, address, port, tls)
            except ssl.SSLCertVerificationError:
                return Probe("bad_certificate")
            except (OSError, EOFError, ValueError, TimeoutError):
                return _SILENT


async def _exchange(name: str, address: str, port: int, tls: ssl.SSLContext | None) -> Probe:
    reader, writer = await asyncio.open_connection(
        address, port, ssl=tls, server_hostname=name if tls else None
    )
    try:
        default = 443 if tls else 80
        authority = name if port == default else f"{name}:{port}"
        writer.write(
            f"GET / HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: sso-audit-domain\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        return await _read(reader)
    finally:
        writer.transport.abort()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Probe:
    """Raises ``ValueError`` for what is not HTTP/1.1."""
    data = b""
    for _ in range(MOST_INTERIM):
        while (end := _END.search(data)) is None:
            more = await reader.read(4096)
            if not more or len(data) > MOST_BYTES:
                raise ValueError("no head")
            data += more
        head, data = data[: end.start()], data[end.end() :]
        probe = _parse(head)
        if probe.status >= 200:
            return probe
    raise ValueError("only interim answers")


def _parse(head: bytes) -> Probe:
    first, *lines = head.replace(b"\r\n", b"\n").split(b"\n")
    match = _STATUS.fullmatch(first)
    if match is None:
        raise ValueError("not HTTP/1.1")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        fields.setdefault(name.lower(), value.strip())
    hsts = fields.get("strict-transport-security")
    return Probe(
        "answers",
        int(match[1]),
        _origin_of(fields.get("location", "")),
        hsts[:200] if hsts is not None else None,
    )


def _origin_of(location: str) -> str:
    """Scheme and host alone; a relative address stays on the scheme it came from, so it is empty."""
    with suppress(ValueError):
        parts = urlsplit(location)
        if parts.scheme in ("http", "https") and parts.hostname and parts.netloc.isprintable():
            return f"{parts.scheme}://{parts.hostname[:253]}"
    return ""
