"""One audit of a cookie's domain: which names, what they are, what is wrong with them, what would be narrower."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from sso.exposure import sources
from sso.exposure.dns_asking import Address, Asker
from sso.exposure.http_asking import Prober
from sso.exposure.judging import judge
from sso.exposure.narrower import suggest
from sso.exposure.values import Domain, Host, Lookup, Report
from sso.origins import is_beneath

T = TypeVar("T")
Given = TypeVar("Given")
#: Told how much of which step is done: step, done, all.
Progress = Callable[[str, int, int], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to audit and how. ``seconds``: the whole of it may take so long."""

    domain: Domain
    servers: list[Address]
    zone: sources.Zone = sources.Zone()
    listed: tuple[str, ...] = ()
    guess: bool = True
    http: bool = True
    seconds: float = 600.0
    #: Of laboratories: ports of http, https and DNS, an own authority, addresses of this machine.
    ports: tuple[int, int, int] = (80, 443, 53)
    authority: str | None = None
    local: bool = False


def run(plan: Plan, progress: Progress = lambda *_: None) -> Report:
    """Audit now. Raises ``NoResolver``, and ``TimeoutError`` when it takes longer than the plan allows."""
    return asyncio.run(_run(plan, progress))


async def _run(plan: Plan, progress: Progress) -> Report:
    began = time.monotonic()
    async with asyncio.timeout(plan.seconds):
        asker = Asker(plan.servers, zone=plan.zone, apex=plan.domain.name, port=plan.ports[2])
        await asker.check_honesty()
        hosts = await _hosts(plan, asker, progress)
        if plan.http:
            hosts = await _probed(plan, hosts, progress)
    found = tuple(sorted(hosts, key=lambda host: host.name.split(".")[::-1]))
    return Report(
        domain=plan.domain,
        at=int(time.time()),
        hosts=found,
        findings=judge(plan.domain, found),
        suggestion=suggest(plan.domain, found),
        seconds=round(time.monotonic() - began, 1),
        asked=asker.asked,
        probed=plan.http,
    )


async def _hosts(plan: Plan, asker: Asker, progress: Progress) -> list[Host]:
    domain = plan.domain.name
    names = sources.collect(
        domain,
        hub=plan.domain.hub,
        apps=plan.domain.apps,
        zone=plan.zone,
        listed=plan.listed,
        guess=plan.guess,
    )

    async def observe(name: str) -> Host:
        if not is_beneath(name.removeprefix("*."), domain):
            return Host(
                name, names[name], Lookup("unknown")
            )  # the cookie does not go there: nothing is asked
        if name.startswith("*.") and name not in plan.zone.records:
            return Host(name, names[name], await asker.look_up(_made_up(name)))
        looked_up, servers = await asyncio.gather(asker.look_up(name), asker.nameservers(name))
        return Host(name, names[name], looked_up, servers)

    names.setdefault(f"*.{domain}", ("wildcard",))
    # Below a DNAME (RFC 6672) every name is an alias.
    names |= {f"*.{name}": ("zone",) for name, types in plan.zone.records.items() if "DNAME" in types}
    hosts = await _all(observe, list(names), lambda done, of: progress("dns", done, of))
    further = {target for host in hosts for target in host.lookup.chain} - names.keys()
    names |= {name: ("alias",) for name in further if is_beneath(name, domain)}
    hosts += await _all(observe, [name for name in names if name in further], lambda *_: None)
    wildcard = next(host for host in hosts if host.name == f"*.{domain}")
    return [host for host in hosts if _is_there(host, wildcard)]


def _made_up(wildcard: str) -> str:
    """A name that nobody has given a record, so that only a wildcard can answer for it."""
    return f"sso-audit-{secrets.token_hex(6)}{wildcard.removeprefix('*')}"


def _is_there(host: Host, wildcard: Host) -> bool:
    """A guess counts when it has something of its own; a wildcard and an alias when they are there."""
    lookup = host.lookup
    if not set(host.sources) <= {"guess", "wildcard"} or host.nameservers:
        return True
    if host.is_wildcard:
        return bool(lookup.addresses or lookup.chain)
    if lookup.chain != wildcard.lookup.chain:
        return lookup.state == "found" or bool(lookup.chain)
    if lookup.addresses and not lookup.chain:
        return set(lookup.addresses).isdisjoint(wildcard.lookup.addresses)
    return lookup.state == "unknown" and wildcard.lookup.state == "no_such_name"


async def _probed(plan: Plan, hosts: list[Host], progress: Progress) -> list[Host]:
    prober = Prober(ports=plan.ports[:2], authority=plan.authority, local=plan.local)

    async def probe(host: Host) -> Host:
        if host.lookup.state != "found" or "_" in host.name:
            return host
        http, https = await prober.probe(host)
        return msgspec.structs.replace(host, http=http, https=https)

    return await _all(probe, hosts, lambda done, of: progress("http", done, of))


async def _all(
    work: Callable[[Given], Awaitable[T]], on: list[Given], progress: Callable[[int, int], None]
) -> list[T]:
    """The results in order; all at once, as far as those who ask take turns."""
    done = 0

    async def one(item: Given) -> T:
        nonlocal done
        result = await work(item)
        done += 1
        progress(done, len(on))
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in on]
    return [task.result() for task in tasks]
