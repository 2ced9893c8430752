"""Which addresses a message may go to: nobody who registers a logout URL reaches into our own network with it.

A name is resolved once, every address it has is looked at, and the connection goes to one that was. Knows nothing
of Django. OWASP ASVS 5.0 1.3.6, RFC 6890 (special addresses), RFC 6052 (NAT64), RFC 6761 §6.3 (localhost).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from sso.oidc.addresses import is_this_machine
from sso.proxies import Address, Network

#: Where IPv6 addresses of the whole Internet are (RFC 4291 §2.4); nothing else is one.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
#: Whose last 32 bits are an IPv4 address behind a translator.
_NAT64: Final = IPv6Network("64:ff9b::/96")
#: Tunnels that carry an IPv4 address inside with the relays to them, and what older Pythons take for public.
_SPECIAL: Final = tuple(
    ip_network(text) for text in ("2002::/16", "2001::/23", "192.88.99.0/24", "192.0.0.0/24", "3fff::/20")
)
LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class TargetRefused(Exception):
    """A message must not go there. ``code`` is ``inward``, ``unresolved`` or ``plain_http``; ``str()`` the address."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Rules:
    """``networks`` of one's own that may be told; ``trial``: this hub is a trial on somebody's own machine."""

    networks: tuple[Network, ...] = ()
    trial: bool = False

    def check_scheme(self, scheme: str, host: str) -> None:
        """https, or http where it stays on this machine. Raises ``TargetRefused``."""
        if scheme != "https" and not (scheme == "http" and is_this_machine(host)):
            raise TargetRefused("plain_http", host)

    async def addresses(self, host: str, port: int) -> list[str]:
        """All addresses of ``host``, each of which may be connected to. Raises ``TargetRefused``."""
        found = await _resolved(host, port)
        own = (*self.networks, *LOOPBACK) if self.trial and is_this_machine(host) else self.networks
        for address in found:
            if not (is_public(address) or _is_in(address, own)):
                raise TargetRefused("inward", str(address))
        return [str(address) for address in found]


def is_public(address: Address) -> bool:
    """Whether it is one unicast address of the whole Internet, whichever way it is written."""
    address = plain(address)
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (``::ffff:10.0.0.1``, ``64:ff9b::a00:1``), else itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read a comma-separated list of networks (CIDR) and addresses. Raises ``ValueError``."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network. Write one such as 10.20.0.0/16 or fd00:1::/64") from None


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    address = plain(address)
    return any(address in network for network in networks)


async def _resolved(host: str, port: int) -> list[Address]:
    """What the system's resolver says; names under ``localhost`` are this machine, which Python does not know."""
    if is_this_machine(host):
        return [ip_address("127.0.0.1"), ip_address("::1")] if host != "127.0.0.1" else [ip_address(host)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise TargetRefused("unresolved", host) from None
    texts = dict.fromkeys(str(where[0]) for *_, where in found)
    return [ip_address(text) for text in texts]
