"""Which names to ask about: a zone file, a list, the registry, and names that many domains have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import dns.exception
import dns.rdatatype
import dns.zone
import msgspec

from sso.origins import is_beneath

T = TypeVar("T")
#: Names of one audit; a larger zone is audited in parts.
MOST_NAMES: Final = 20_000
#: Labels that many domains have, and that are forgotten often.
COMMON: Final = tuple(Path(__file__).with_name("common_names.txt").read_text().split())
_NAME: Final = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}")

#: Record types that make a name a host: a browser could go there.
_HOSTS: Final = ("A", "AAAA", "CNAME", "NS", "DNAME")


class SourceRefused(ValueError):
    """A file that cannot be read as what it should be; ``str()`` says why and what to do."""


class Zone(msgspec.Struct, frozen=True):
    """A zone file: name -> type -> values, hosts only. Names are lower case, without the last dot."""

    records: dict[str, dict[str, tuple[str, ...]]] = {}

    def delegated(self, name: str, apex: str) -> bool:
        """Whether somebody else answers for ``name``, so that the file has no say."""
        above = name
        while is_beneath(above, apex) and above != apex:
            if "NS" in self.records.get(above, {}):
                return True
            above = above.partition(".")[2]
        return False


def read_zone(text: str, domain: str) -> Zone:
    """A BIND zone file (RFC 1035 §5), with ``domain`` as its origin unless it names another.

    ``$INCLUDE`` is refused: the file may come from elsewhere, and other files are nobody's business.
    Raises :class:`SourceRefused`.
    """
    try:
        zone = dns.zone.from_text(
            text, origin=domain, relativize=False, check_origin=False, allow_include=False
        )
    except (dns.exception.DNSException, ValueError) as error:
        raise SourceRefused(
            f"not a zone file ({str(error)[:200]}). Give the zone as BIND writes it, for {domain}"
        ) from None
    records: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, node in zone.nodes.items():
        types = {
            dns.rdatatype.to_text(rds.rdtype): tuple(plain(rd.to_text()) for rd in rds)
            for rds in node.rdatasets
            if dns.rdatatype.to_text(rds.rdtype) in _HOSTS
        }
        if types and _NAME.fullmatch(plain(name.to_text())):
            records[plain(name.to_text())] = types
    if not records:
        raise SourceRefused(f"the zone file names no host. Give the whole zone of {domain}")
    return Zone(_within_bounds(records))


def read_list(text: str, domain: str) -> list[str]:
    """One name a line, whole or just its first label; ``#`` begins a comment. Raises :class:`SourceRefused`."""
    names = []
    for number, line in enumerate(text.splitlines(), 1):
        name = plain(line.partition("#")[0].strip())
        if not name:
            continue
        if not _NAME.fullmatch(name):
            raise SourceRefused(f"line {number} is no host name. Write one name a line, such as www.{domain}")
        names.append(name if "." in name else f"{name}.{domain}")
    return list(_within_bounds(dict.fromkeys(names)))


def plain(name: str) -> str:
    """A name as browsers write it: lower case, no dot at the end."""
    return name.lower().removesuffix(".")


def collect(
    domain: str, *, hub: str, apps: Iterable[str], zone: Zone, listed: Iterable[str], guess: bool
) -> dict[str, tuple[str, ...]]:
    """Every name to ask about, with where we have it from."""
    found: dict[str, list[str]] = {}
    kinds: tuple[tuple[str, Iterable[str]], ...] = (
        ("site", [domain]),
        ("hub", [hub]),
        ("registry", apps),
        ("zone", zone.records),
        ("list", listed),
        ("guess", [f"{label}.{domain}" for label in COMMON] if guess else ()),
    )
    for kind, names in kinds:
        for name in names:
            found.setdefault(name, []).append(kind)
    return {name: tuple(dict.fromkeys(sources)) for name, sources in found.items()}


def _within_bounds(names: dict[str, T]) -> dict[str, T]:
    if len(names) > MOST_NAMES:
        raise SourceRefused(f"more than {MOST_NAMES} names. Split the file")
    return names
