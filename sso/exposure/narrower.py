"""Which narrower domain would do, so that fewer hosts receive the cookie."""

from __future__ import annotations

from typing import Final

from sso.exposure.judging import reach
from sso.exposure.values import Domain, Host, Suggestion
from sso.origins import is_beneath
from sso.sites import check_cookie_domain

#: First labels of a domain that apps could move below.
LABELS: Final = ("app", "apps", "my", "sso", "in")


def suggest(domain: Domain, hosts: tuple[Host, ...]) -> Suggestion | None:
    """The narrowest domain that holds the hub and every registered app; where there is none, one to move to.

    None when nobody would be spared, and while no app is registered: any domain would do then.
    """
    members = sorted({domain.hub, *domain.apps})
    if not domain.apps:
        return None
    common = _common(members)
    if common and common != domain.name and is_beneath(common, domain.name) and _allowed(common):
        return _made(domain, hosts, common, {})
    target = _free(domain, hosts)
    moves = _moves(members, target, domain) if target else None
    return _made(domain, hosts, target, moves) if target and moves else None


def _common(names: list[str]) -> str:
    """The longest run of last labels that all names share."""
    shared: list[str] = []
    for labels in zip(*(reversed(name.split(".")) for name in names), strict=False):
        if len(set(labels)) > 1:
            break
        shared.insert(0, labels[0])
    return ".".join(shared)


def _allowed(name: str) -> bool:
    try:
        check_cookie_domain(name)
    except ValueError:
        return False
    return True


def _free(domain: Domain, hosts: tuple[Host, ...]) -> str | None:
    """A domain below ours that no observed name is at or below."""
    names = {host.name for host in hosts} | set(domain.apps)
    for label in LABELS:
        candidate = f"{label}.{domain.name}"
        if not any(is_beneath(name, candidate) for name in names):
            return candidate
    return None


def _moves(members: list[str], target: str, domain: Domain) -> dict[str, str] | None:
    """Each host with its name below ``target``; None when two would get the same."""
    moves = {host: f"{_stem(host, domain)}.{target}" for host in members}
    return moves if len(set(moves.values())) == len(moves) else None


def _stem(host: str, domain: Domain) -> str:
    """``wiki`` of ``wiki.example.com``; the app's name where the app is the domain itself."""
    if host == domain.name:
        return domain.apps.get(host, "www")
    return host.removesuffix("." + domain.name).replace(".", "-")


def _made(domain: Domain, hosts: tuple[Host, ...], target: str, moves: dict[str, str]) -> Suggestion | None:
    stay = set(domain.apps) | {domain.hub}
    spared = sum(
        1
        for host in hosts
        if host.name not in stay
        and reach(domain, host) in ("yes", "if_taken", "unknown")
        and not (is_beneath(host.name.removeprefix("*."), target) and not moves)
    )
    hub = moves.get(domain.hub, domain.hub)
    return Suggestion(target, hub, spared, moves) if spared else None
