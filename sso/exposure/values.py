"""What an audit of a cookie's domain observes, and what it finds: plain values, kept and sent as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

#: ``unknown``: nobody answered, so nothing is said. Never taken for "not there".
State = Literal["found", "no_address", "no_such_name", "loop", "unknown"]
#: ``if_taken``: nobody receives it today; whoever takes the target over does.
Reach = Literal["yes", "if_taken", "no", "unknown"]
Severity = Literal["critical", "serious", "warning", "notice"]
SEVERITIES: tuple[Severity, ...] = ("critical", "serious", "warning", "notice")


class Lookup(msgspec.Struct, frozen=True):
    """What DNS says of one name."""

    state: State
    #: Where CNAMEs lead, in their order.
    chain: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


class Nameserver(msgspec.Struct, frozen=True):
    """One server that a part of the domain is delegated to."""

    name: str
    #: ``gone``: its name does not exist. ``refuses``: it is there and does not know the zone.
    state: Literal["answers", "gone", "refuses", "unknown"]


class Probe(msgspec.Struct, frozen=True):
    """One request for ``/``. ``silent``: nothing that speaks HTTP answered in time."""

    state: Literal["answers", "silent", "bad_certificate", "not_asked"]
    status: int = 0
    #: Scheme and host of ``Location``; its path and query are nobody's business here.
    location: str = ""
    #: ``Strict-Transport-Security`` as sent; None when it was not.
    hsts: str | None = None


NOT_ASKED = Probe("not_asked")


class Host(msgspec.Struct, frozen=True):
    """One name and what was observed of it. ``*.example.com`` stands for all names that have no record of their own."""

    name: str
    #: How we came to know it: ``site``, ``hub``, ``registry``, ``zone``, ``list``, ``guess``, ``alias``, ``wildcard``.
    sources: tuple[str, ...]
    lookup: Lookup
    nameservers: tuple[Nameserver, ...] = ()
    http: Probe = NOT_ASKED
    https: Probe = NOT_ASKED

    @property
    def is_wildcard(self) -> bool:
        return self.name.startswith("*.")

    @property
    def records(self) -> tuple[str, ...]:
        """The types of its records, as far as they matter here."""
        address = {"AAAA" if ":" in one else "A" for one in self.lookup.addresses}
        found = {"CNAME"} if self.lookup.chain else address
        return tuple(sorted(found | ({"NS"} if self.nameservers else set())))


class Domain(msgspec.Struct, frozen=True):
    """The cookie's domain, who is at home there, and which domains are no third party."""

    name: str
    hub: str
    #: Host -> name of the registered app.
    apps: dict[str, str] = {}
    #: Registrable domains that are ours: those of all sites, and what the operator adds.
    own: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """One thing wrong with one host. ``sso.exposure.words`` says it in words."""

    code: str
    severity: Severity
    host: str
    #: What the words need: ``target``, ``days``, ``name``.
    about: dict[str, str] = {}


class Suggestion(msgspec.Struct, frozen=True):
    """A narrower cookie domain."""

    domain: str
    hub: str
    #: Hosts that receive the cookie today and would not.
    spared: int
    #: Old name -> new name; empty: everything is below it already.
    moves: dict[str, str] = {}


class Report(msgspec.Struct, frozen=True):
    """One audit, whole."""

    domain: Domain
    #: Unix seconds.
    at: int
    hosts: tuple[Host, ...]
    findings: tuple[Finding, ...]
    suggestion: Suggestion | None = None
    #: Seconds it took, names that were asked about, and whether hosts were asked over HTTP.
    seconds: float = 0.0
    asked: int = 0
    probed: bool = True

    @property
    def bad(self) -> tuple[Finding, ...]:
        """What somebody has to look at: all but notices."""
        return tuple(found for found in self.findings if found.severity != "notice")
