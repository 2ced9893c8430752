"""From observations to findings. Pure: the same observations always give the same findings, in the same order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sso.exposure.values import SEVERITIES, Domain, Finding, Host, Probe, Reach, Severity
from sso.origins import is_beneath

#: Seconds of HSTS below which a browser that comes back after a long holiday has forgotten it: 180 days.
SHORT: Final = 180 * 86_400
_DAY: Final = 86_400
_MAX_AGE: Final = re.compile(r'"?([0-9]{1,12})"?')


class Hsts(NamedTuple):
    """``Strict-Transport-Security`` as a browser reads it (RFC 6797 §6.1)."""

    max_age: int
    subdomains: bool
    preload: bool


def read_hsts(value: str | None) -> Hsts | None:
    """None for a header that is missing or that a browser ignores."""
    directives: dict[str, str] = {}
    for part in (value or "").split(";"):
        name, _, given = (half.strip() for half in part.partition("="))
        if name.lower() in directives:
            return None
        directives[name.lower()] = given
    match = _MAX_AGE.fullmatch(directives.get("max-age", ""))
    if match is None:
        return None
    return Hsts(int(match[1]), "includesubdomains" in directives, "preload" in directives)


def judge(domain: Domain, hosts: tuple[Host, ...]) -> tuple[Finding, ...]:
    """Everything wrong, worst first, then by host."""
    preloaded = _preloaded(domain, hosts)
    found = [finding for host in hosts for finding in _of(domain, host, preloaded)]
    return tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.host, one.code)))


def reach(domain: Domain, host: Host) -> Reach:
    """Whether a browser that goes to this host brings the shared cookie along.

    The cookie is ``Secure``, and no authority may issue a certificate for a name with an underscore
    (CA/Browser Forum Baseline Requirements §7.1.4.2), so the many ``_dmarc`` and ``_domainkey`` get none.
    """
    if not is_beneath(host.name.removeprefix("*."), domain.name) or "_" in host.name:
        return "no"
    lookup = host.lookup
    if lookup.state == "found":
        return "yes"
    if any(server.state in ("gone", "refuses") for server in host.nameservers):
        return "if_taken"
    if lookup.state == "unknown":
        return "unknown"
    free = lookup.state == "no_such_name" and lookup.chain
    return "if_taken" if free or _strangers(domain, host) else "no"


def _strangers(domain: Domain, host: Host) -> list[str]:
    """Where its aliases leave our domains; a circle leads nowhere."""
    chain = host.lookup.chain if host.lookup.state != "loop" else ()
    return [name for name in chain if not is_ours(domain, name)]


def _preloaded(domain: Domain, hosts: tuple[Host, ...]) -> bool:
    """Whether browsers know the whole domain as https before anybody's first visit."""
    apex = next((read_hsts(host.https.hsts) for host in hosts if host.name == domain.name), None)
    return bool(apex and apex.preload and apex.subdomains and apex.max_age >= 2 * SHORT)


def _of(domain: Domain, host: Host, preloaded: bool) -> Iterator[Finding]:
    reached = reach(domain, host)
    if reached == "no" and not host.nameservers and host.lookup.state != "loop":
        return
    yield from _delegation(domain, host)
    if "_" in host.name:
        return
    yield from _alias(domain, host)
    if reached == "unknown":
        yield Finding("not_looked_up", "notice", host.name)
    if host.is_wildcard and reached != "no":
        yield Finding("wildcard", "warning", host.name)
    if reached != "yes" or host.is_wildcard:
        return
    yield from _web(host, preloaded)
    if host.name != domain.hub and host.name not in domain.apps:
        yield Finding("unregistered", "warning", host.name)


def _delegation(domain: Domain, host: Host) -> Iterator[Finding]:
    for server in host.nameservers:
        if server.state == "gone":
            severity: Severity = "warning" if is_ours(domain, server.name) else "critical"
            yield Finding("dangling_delegation", severity, host.name, {"target": server.name})
    refusing = [server.name for server in host.nameservers if server.state == "refuses"]
    if refusing:
        severity = "notice" if any(s.state == "answers" for s in host.nameservers) else "serious"
        yield Finding("lame_delegation", severity, host.name, {"target": ", ".join(refusing)})


def _alias(domain: Domain, host: Host) -> Iterator[Finding]:
    chain = host.lookup.chain
    if host.lookup.state == "loop":
        yield Finding("cname_loop", "warning", host.name, {"target": chain[0] if chain else host.name})
        return
    strangers = _strangers(domain, host)
    if host.lookup.state == "no_such_name" and chain:
        # The last name is the one that is free; whoever has one before it decides as well.
        severity: Severity = "critical" if not is_ours(domain, chain[-1]) else "warning"
        yield Finding("dangling_cname", severity, host.name, {"target": chain[-1]})
        strangers = [name for name in strangers if name != chain[-1]]
    if strangers:
        # Of a registered app somebody decided once to give it the cookie, its host included.
        severity = "warning" if host.name in domain.apps else "serious"
        yield Finding("third_party", severity, host.name, {"target": strangers[0]})


def is_ours(domain: Domain, name: str) -> bool:
    """Whether a name is below a registrable domain of ours."""
    return any(is_beneath(name, own) for own in domain.own)


def _web(host: Host, preloaded: bool) -> Iterator[Finding]:
    if _serves_plain_http(host.http):
        yield Finding("plain_http", "warning", host.name, {"status": str(host.http.status)})
    if host.https.state == "bad_certificate":
        yield Finding("bad_certificate", "warning", host.name)
    if host.https.state != "answers" or preloaded:
        return
    hsts = read_hsts(host.https.hsts)
    if hsts is None or hsts.max_age == 0:
        yield Finding("no_hsts", "warning", host.name)
    elif hsts.max_age < SHORT:
        yield Finding("short_hsts", "notice", host.name, {"days": str(hsts.max_age // _DAY)})


def _serves_plain_http(probe: Probe) -> bool:
    """A redirect to https is how port 80 should answer; anything else is a page that a network can replace."""
    if probe.state != "answers":
        return False
    return not (probe.status in (301, 302, 303, 307, 308) and probe.location.startswith("https://"))
