"""Who is asking, and under which address, when reverse proxies stand in front.

``X-Forwarded-*`` count only when the peer, the other end of the connection, is a proxy we were told to trust;
from anyone else they do not exist. They are read from the right, where our own proxies write. What a trusted
proxy sends and we cannot read is an error, never "no header": reading it as absent has let people past
throttles and whole stages of a sign-in (CVE-2023-36456, CVE-2024-47070).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from sso.errors import ForwardedHeadersRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: The peer's name when it connects through a Unix socket, and the word for it in ``SSO_TRUSTED_PROXIES``.
UNIX: Final = "unix"

#: Wider networks than any one network owner has (10.0.0.0/8, fc00::/7) would trust strangers.
_WIDEST: Final = {4: 8, 6: 7}

_FORWARDED_HOST: Final = re.compile(
    r"(?=.{1,259}\Z)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ClientView:
    """The request as the client made it."""

    #: ``http`` or ``https``.
    scheme: str
    #: Host and port as in a ``Host`` header; not checked against the sites.
    host: str
    #: An IP address in its canonical form, or ``unix`` for a socket without a forwarded address.
    address: str


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies whose word counts: networks, and peers on a Unix socket when ``unix`` is true."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Read a comma-separated list of IP addresses, CIDR networks and the word ``unix``.

        Raises:
            ValueError: says what is wrong and what to write instead.
        """
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        networks = tuple(_network(entry) for entry in entries if entry != UNIX)
        return cls(networks, UNIX in entries)

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def trusts(self, peer: str) -> bool:
        """Whether ``peer`` (an IP address; empty or ``unix`` for a Unix socket) is one of the proxies."""
        if peer in ("", UNIX):
            return self.unix
        address = _address(peer)
        return address is not None and any(address in network for network in self.networks)

    def view(
        self,
        *,
        peer: str,
        scheme: str,
        host: str,
        forwarded_proto: str | None = None,
        forwarded_host: str | None = None,
        forwarded_for: str | None = None,
    ) -> ClientView:
        """Say how the client sees this request.

        ``peer``, ``scheme`` and ``host`` are the connection's own. The others are the ``X-Forwarded-*``
        values, several lines of one header joined with commas; ``None`` means absent, an empty one is
        malformed.

        Raises:
            ForwardedHeadersRefused: a trusted proxy sent something malformed or contradictory.
        """
        own = _canonical(peer)
        if not self.trusts(peer):
            return ClientView(scheme, host, own)
        return ClientView(
            scheme if forwarded_proto is None else _proto(forwarded_proto),
            host if forwarded_host is None else _host(forwarded_host),
            own if forwarded_for is None else self._client(forwarded_for),
        )

    def _client(self, forwarded_for: str) -> str:
        """The rightmost address that is not one of our proxies; the leftmost when all are.

        Entries further left were written by the client and are never looked at.
        """
        rest, address = forwarded_for, ""
        while rest:
            rest, _, entry = rest.rpartition(",")
            address = _forwarded_address(entry)
            if not self.trusts(address):
                return address
        if not address or forwarded_for.startswith(","):
            raise ForwardedHeadersRefused("X-Forwarded-For has an empty entry")
        return address


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """Read an IP address; one of IPv4 in IPv6 clothing (a dual-stack socket's peer) is the IPv4 one."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or (None if address.scope_id else address)
    return address


def _canonical(peer: str) -> str:
    """The peer's address in one spelling, so that throttles count one client once."""
    return str(_address(peer) or peer or UNIX)


def _network(entry: str) -> Network:
    """Read one entry of ``SSO_TRUSTED_PROXIES``."""
    try:
        network = ip_network(entry)
    except ValueError as error:
        raise ValueError(
            f"{entry}: not an IP address or network ({error}). "
            "Write addresses such as 10.0.0.5, networks such as 10.0.0.0/24, or unix"
        ) from None
    if network.prefixlen < _WIDEST[network.version]:
        raise ValueError(
            f"{entry}: would trust strangers to say who they are. Name your proxies' own network"
        )
    return network


def _forwarded_address(entry: str) -> str:
    address = _address(entry.strip(" \t"))
    if address is None:
        raise ForwardedHeadersRefused("X-Forwarded-For holds something that is not an IP address")
    return str(address)


def _only_value(header: str, value: str) -> str:
    """The rightmost value, provided that no other one contradicts it."""
    values = {part.strip(" \t").lower() for part in value.split(",")}
    if len(values) > 1:
        raise ForwardedHeadersRefused(f"{header} holds values that contradict each other")
    return values.pop()


def _proto(value: str) -> str:
    proto = _only_value("X-Forwarded-Proto", value)
    if proto not in ("http", "https"):
        raise ForwardedHeadersRefused("X-Forwarded-Proto is neither http nor https")
    return proto


def _host(value: str) -> str:
    host = _only_value("X-Forwarded-Host", value)
    if not _FORWARDED_HOST.fullmatch(host):
        raise ForwardedHeadersRefused("X-Forwarded-Host is not a host")
    return host
