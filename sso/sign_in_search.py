"""Who is signed in, a page at a time: of everybody, at an app, from an address, of some people.

Each page looks at :data:`LOOK` entries of an index at most, however many there are, and takes a fixed number of
round trips. The indexes also name sign-ins that idled out, which nothing in Redis announces: those met here are
ended, so each look leaves the next one less to do.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from django.conf import settings

from sso import audit, ending, shared_sessions, sign_in_index, sign_in_store, sign_ins
from sso.sign_in_index import REMEMBER, SESSION
from sso.sign_in_store import SignIn

#: Sign-ins on a page, and index entries that are looked at for one page at most.
SIZE, LOOK = 50, 500
#: Seconds after which a sign-in without any living session is over. Before, it may be just beginning.
BEGINNING = 60

Wanted = Callable[[SignIn], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """``further`` says where the next page begins, in each index that was read; None: there is nothing more."""

    sign_ins: tuple[SignIn, ...]
    further: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which sign-ins: those that indexes name, and of them the ones that are wanted."""

    parts: tuple[str, ...]
    network: str = ""
    client_id: str = ""

    def wants(self, sign_in: SignIn) -> bool:
        here = not self.network or _network(sign_in) == self.network
        return here and (not self.client_id or self.client_id in seen_at(sign_in))


EVERYBODY = Scope((SESSION, REMEMBER))


def at_app(client_id: str) -> Scope:
    """Those that somebody was sent to this app with, by the hub."""
    return Scope((sign_in_index.part_of_app(client_id),))


def from_address(address: str) -> Scope:
    """Those begun at an address; IPv6: in the same /64. Raises ``ValueError``."""
    network = sign_in_index.network_of(address)
    return Scope((sign_in_index.part_of_network(network),), network)


def _network(sign_in: SignIn) -> str:
    try:
        return sign_in_index.network_of(sign_in.ip)
    except ValueError:
        return ""


# -- a page


def page(scope: Scope, begin: Sequence[int] = (), size: int = SIZE) -> Found:
    """The newest that live, from ``begin`` on (a ``further`` of the same scope). Raises ``StoreUnavailable``."""
    offsets = list(begin) if len(begin) == len(scope.parts) else [0] * len(scope.parts)
    ahead = _ahead(scope.parts, offsets)
    found: list[SignIn] = []
    for at in range(0, len(ahead), size):
        portion = ahead[at : at + size]
        living, ended = sort_out([sid for sid, _ in portion])
        for sid, part in portion:
            if len(found) == size:
                return Found(tuple(found), tuple(offsets))
            offsets[part] += sid not in ended  # what has ended has left the index
            if (sign_in := living.get(sid)) and scope.wants(sign_in):
                found.append(sign_in)
    return Found(tuple(found), tuple(offsets) if len(ahead) == LOOK else None)


def _ahead(parts: Sequence[str], offsets: Sequence[int]) -> list[tuple[str, int]]:
    """The next :data:`LOOK` sids, the newest first, each with the number of the index it is from."""
    lifetimes = {SESSION: settings.SSO_ABSOLUTE_LIFETIME, REMEMBER: settings.SSO_REMEMBER_LIFETIME}
    ahead = [
        (end - lifetimes.get(part, 0), sid, number)
        for number, part in enumerate(parts)
        for sid, end in sign_in_index.latest(part, offsets[number], LOOK)
    ]
    ahead.sort(key=lambda entry: -entry[0])
    return [(sid, number) for _, sid, number in ahead[:LOOK]]


def sort_out(sids: Sequence[str]) -> tuple[dict[str, SignIn], set[str]]:
    """Those that live, with when they were last seen; and those that are over, which are ended here.

    A sid without a record is neither: it may be about to get one.
    """
    records = [found for found in sign_in_store.get_many(sids) if found is not None]
    lives = shared_sessions.lives(key for found in records if not found.ended for key in found.shared)
    living, over = {}, set()
    for found in records:
        left = [lives[key.cookie_hash] for key in found.shared if key.cookie_hash in lives]
        if left and not found.ended:
            living[found.sid] = replace(found, last_seen=sign_ins.last_seen(found, max(left)))
        elif found.created < time.time() - BEGINNING:
            over.add(found.sid)
    if over:
        with audit.cause(silent=True):  # they ended by themselves, when nobody used them any more
            ending.end_many(over)
    return living, over


# -- of people


def of_people(user_ids: Iterable[str], *, each: int | None = None) -> list[SignIn]:
    """What lives of these people, newest first: all (there is a limit to what one person has), or of so many."""
    sids = [sid for user_id in user_ids for sid in sign_in_store.sids_of(user_id, limit=each)]
    return sorted(sort_out(sids)[0].values(), key=lambda found: -found.created)


# -- an impression of all


@dataclass(frozen=True, slots=True)
class Impression:
    """``sign_ins`` and ``people`` live now: counted when ``exact``, else reckoned from a sample."""

    sign_ins: int
    people: int
    exact: bool
    sites: dict[str, int]
    apps: dict[str, int]


#: Sign-ins that are picked at random, people of them whose other sign-ins are counted, and up to how many of each.
SAMPLE, PEOPLE, EACH = 300, 20, 20


def impression() -> Impression:
    """About how many live, without looking at more than :data:`SAMPLE` of them."""
    totals = sign_in_index.counts(EVERYBODY.parts)
    total, picked = sum(totals), []
    for part, count in zip(EVERYBODY.parts, totals, strict=True):
        picked += sign_in_index.some(part, -(-SAMPLE * count // total) if total > SAMPLE else SAMPLE)
    living, _ = sort_out(picked)
    exact = total <= SAMPLE
    weight = 1.0 if exact else total / max(1, len(picked))
    return Impression(
        sign_ins=round(weight * len(living)),
        people=_people(living.values(), weight, exact),
        exact=exact,
        sites=_shares(weight, (site for found in living.values() for site in found.sites)),
        apps=_shares(weight, (app for found in living.values() for app in seen_at(found))),
    )


def seen_at(sign_in: SignIn) -> tuple[str, ...]:
    """Client ids of the apps it was seen at: where the hub sent somebody, and what was given tokens."""
    return tuple(sorted({*sign_in.seen_at, *sign_in.apps}))


def _shares(weight: float, names: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return {name: max(1, round(weight * n)) for name, n in sorted(counted.items(), key=lambda kv: -kv[1])}


def _people(living: Iterable[SignIn], weight: float, exact: bool) -> int:
    """Whoever has k sign-ins is met k times as often as somebody with one: so each counts for one k-th."""
    people = [found.user_id for found in living]
    if exact:
        return len(set(people))
    asked = people[:PEOPLE]
    have = Counter(found.user_id for found in of_people(set(asked), each=EACH))
    each = [1 / max(1, have[user_id]) for user_id in asked]
    return round(weight * len(people) * sum(each) / max(1, len(asked)))
