"""What DNS says of names: aliases followed one by one, and name servers asked themselves. On asyncio, bounded."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from sso.exposure.sources import Zone, plain
from sso.exposure.values import Lookup, Nameserver

#: Seconds for one question to one server, and how often each server is asked.
PATIENCE: Final = 2.0
TRIES: Final = 2
#: Questions in flight.
AT_ONCE: Final = 40
#: Aliases that are followed (RFC 1034 §5.2.2 leaves the number open; resolvers stop at some eleven).
LONGEST_CHAIN: Final = 16

Address = tuple[str, int]


class NoResolver(Exception):
    """No resolver to ask, or one that answers nothing or makes answers up; ``str()`` says what to do."""


class Reply(NamedTuple):
    """What one server says about a name, aliases within its answer followed."""

    chain: tuple[str, ...]
    values: tuple[str, ...]
    exists: bool


class Asker:
    """Look-ups through the resolvers at ``servers``; each name is asked about once.

    What ``zone`` says of its names counts more than the resolvers. Questions to name servers themselves go to
    ``port``, which is 53 outside a laboratory.
    """

    def __init__(
        self, servers: list[Address], *, zone: Zone | None = None, apex: str = "", port: int = 53
    ) -> None:
        self._servers, self._zone, self._apex, self._port = servers, zone or Zone(), apex, port
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._known: dict[str, asyncio.Task[Lookup]] = {}
        self.asked = 0

    async def look_up(self, name: str) -> Lookup:
        """Where a name leads. Never raises for what DNS does: no answer is ``unknown``."""
        if name not in self._known:
            self._known[name] = asyncio.create_task(self._look_up(name))
        return await self._known[name]

    async def _look_up(self, name: str) -> Lookup:
        chain: list[str] = []
        while len(chain) <= LONGEST_CHAIN:
            last = chain[-1] if chain else name
            reply = await self._reply(last, "A")
            if reply is not None and reply.exists and not reply.chain and not reply.values:
                reply = await self._reply(last, "AAAA")
            if reply is None:
                return Lookup("unknown", tuple(chain))
            for target in reply.chain:
                if target == name or target in chain:
                    return Lookup("loop", (*chain, target))
                chain.append(target)
            if reply.values:
                return Lookup("found", tuple(chain), reply.values)
            if not reply.exists:
                return Lookup("no_such_name", tuple(chain))
            if not reply.chain:
                return Lookup("no_address", tuple(chain))
        return Lookup("loop", tuple(chain))

    async def nameservers(self, name: str) -> tuple[Nameserver, ...]:
        """The servers that ``name`` is delegated to, each asked whether it knows the zone."""
        names = self._zone.records.get(name, {}).get("NS")
        if names is None:
            reply = await self._reply(name, "NS")
            if reply is None:
                names = await self._referral(name)
            else:
                names = () if reply.chain else reply.values
        return tuple(await asyncio.gather(*(self._nameserver(server, name) for server in sorted(names))))

    async def check_honesty(self) -> None:
        """Raises :class:`NoResolver` for a resolver that is away, or has addresses for names that cannot exist."""
        reply = await self._reply("sso-audit-no-such-name.invalid", "A")
        if reply is not None and (reply.values or reply.chain):
            raise NoResolver(
                "the resolver has addresses for names that do not exist. Name an honest one: --resolver ADDRESS"
            )
        if reply is None and await self._reply(self._apex, "SOA") is None:
            raise NoResolver("no resolver answers. Name one that does: --resolver ADDRESS")

    # -- name servers themselves

    async def _nameserver(self, server: str, zone: str) -> Nameserver:
        found = await self.look_up(server)
        if found.state == "no_such_name":
            return Nameserver(server, "gone")
        knows = [await self._knows(address, zone) for address in found.addresses[:2]]
        if True in knows:
            return Nameserver(server, "answers")
        return Nameserver(server, "refuses" if False in knows else "unknown")

    async def _knows(self, address: str, zone: str) -> bool | None:
        """Whether the server at ``address`` answers for ``zone``; None when it does not answer at all."""
        query = dns.message.make_query(zone, "SOA")
        query.flags &= ~dns.flags.RD
        reply = await self._exchange(query, (address, self._port))
        if reply is None:
            return None
        return reply.rcode() == dns.rcode.NOERROR and bool(reply.flags & dns.flags.AA)

    async def _referral(self, name: str) -> tuple[str, ...]:
        """The delegation of a name that resolvers fail at, from the servers of the domain above."""
        above = await self._reply(self._apex, "NS")
        for server in above.values if above else ():
            for address in (await self.look_up(server)).addresses[:1]:
                query = dns.message.make_query(name, "NS")
                query.flags &= ~dns.flags.RD
                reply = await self._exchange(query, (address, self._port))
                if reply is not None and (names := _delegation(reply, name)):
                    return names
        return ()

    # -- questions

    async def _reply(self, name: str, kind: str) -> Reply | None:
        """What the zone file says, else the resolvers; None when none of them gives an answer."""
        written = self._zone.records.get(name)
        if written is not None and not self._zone.delegated(name, self._apex):
            return Reply(written.get("CNAME", ()), written.get(kind, ()), exists=True)
        try:
            query = dns.message.make_query(name, kind)
        except dns.exception.DNSException:
            return Reply((), (), exists=False)  # no name that DNS could hold
        for server in self._servers * TRIES:
            message = await self._exchange(query, server)
            if message is not None and message.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return _read(message, name, kind)
        return None

    async def _exchange(self, query: dns.message.Message, server: Address) -> dns.message.Message | None:
        async with self._turns:
            self.asked += 1
            try:
                reply, _ = await dns.asyncquery.udp_with_fallback(
                    query, server[0], timeout=PATIENCE, port=server[1], ignore_unexpected=True
                )
            except (OSError, EOFError, dns.exception.DNSException):
                return None
            return reply


def _read(message: dns.message.Message, name: str, kind: str) -> Reply:
    chain: list[str] = []
    here, wanted = dns.name.from_text(name), dns.rdatatype.from_text(kind)
    while True:
        for rrset in message.answer:
            if rrset.name == here and rrset.rdtype == wanted:
                values = tuple(plain(rd.to_text()) for rd in rrset)
                return Reply(tuple(chain), values, exists=True)
        alias = next((r for r in message.answer if r.name == here and r.rdtype == dns.rdatatype.CNAME), None)
        if alias is None:
            return Reply(tuple(chain), (), message.rcode() != dns.rcode.NXDOMAIN)
        here = alias[0].target
        chain.append(plain(here.to_text()))
        if len(chain) > LONGEST_CHAIN:
            return Reply(tuple(chain), (), exists=True)


def _delegation(message: dns.message.Message, name: str) -> tuple[str, ...]:
    """The name servers of exactly ``name`` in a referral."""
    owner = dns.name.from_text(name)
    return tuple(
        plain(rd.to_text())
        for rrset in (*message.answer, *message.authority)
        if rrset.rdtype == dns.rdatatype.NS and rrset.name == owner
        for rd in rrset
    )


def system_servers() -> list[Address]:
    """The resolvers of this machine. Raises :class:`NoResolver`."""
    try:
        found = [str(one) for one in dns.resolver.Resolver().nameservers]
    except dns.resolver.NoResolverConfiguration:
        found = []
    if not found:
        raise NoResolver("this machine names no resolver. Name one: --resolver ADDRESS")
    return [(address, 53) for address in found]
