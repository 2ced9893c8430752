"""All sign-ins there are, found without scanning: sorted sets of ``sid`` by absolute end, under ``signins:``.

* ``session`` and ``remember``: every sign-in is in one of the two. Those of one set live equally long, so whose end
  is the latest is the newest.
* ``app:<client id>``: those that somebody was sent to this app with, or that gave it tokens.
* ``net:<three hexadecimal digits>``: by a hash of the network they came from. So many keys (4096) that a look-up
  reads a few sids more than it wanted, so few that most hold several, which is what keeps them small.

Like the person's own index they are written before the sign-in exists, and one command touches one key. What is past
its end is swept by the server's clock, a hundred a sign-in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from sso.redis import Client, answering, keys, understood

if TYPE_CHECKING:
    from sso.sign_in_store import SignIn

SESSION, REMEMBER = "session", "remember"

#: Adds a sid and sweeps some of what is past. Something of another type in this place was put there by nobody of
#: us: it must not keep people from signing in.
_ENTER = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local past = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1], 'LIMIT', 0, 100)
if #past > 0 then redis.call('ZREM', KEYS[1], unpack(past)) end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then return redis.call('EXPIREAT', KEYS[1], last[2]) end
"""


def network_of(address: str) -> str:
    """What counts as one place: an IPv4 address, and the /64 that one household is given. Raises ``ValueError``."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)


def part_of_app(client_id: str) -> str:
    return f"app:{client_id}"


def part_of_network(network: str) -> str:
    return f"net:{sha256(network.encode()).hexdigest()[:3]}"


def _parts(sign_in: SignIn) -> list[str]:
    """Where this sign-in is entered, whatever is seen of it later."""
    parts = [REMEMBER if sign_in.remember else SESSION]
    with suppress(ValueError):  # came without an address (a socket of this machine)
        parts.append(part_of_network(network_of(sign_in.ip)))
    return parts


def enter(pipe: Client, sign_in: SignIn) -> None:
    """Add the commands that enter a sign-in, with the apps it was at.

    Written out: a cluster's pipeline has no ``eval`` of its own, and takes the command all the same.
    """
    for part in (*_parts(sign_in), *_parts_of_apps(sign_in)):
        pipe.execute_command("EVAL", _ENTER, 1, keys().signins(part), str(sign_in.exp), sign_in.sid)


def _parts_of_apps(sign_in: SignIn) -> list[str]:
    return [part_of_app(app) for app in sorted({*sign_in.seen_at, *sign_in.apps})]


def enter_at_app(sid: str, exp: int, client_id: str) -> None:
    """Before the app is named in the sign-in's record."""
    with answering() as redis:
        redis.eval(_ENTER, 1, keys().signins(part_of_app(client_id)), str(exp), sid)


def leave(pipe: Client, sid: str, sign_in: SignIn | None) -> None:
    """Add the commands that take a sign-in out; without its record, out of what every sign-in is in."""
    parts = [SESSION, REMEMBER] if sign_in is None else [*_parts(sign_in), *_parts_of_apps(sign_in)]
    for part in parts:
        pipe.zrem(keys().signins(part), sid)


# -- reading; every answer may name sign-ins that have ended or idled out


def latest(part: str, offset: int, limit: int) -> list[tuple[str, int]]:
    """``limit`` sids behind the first ``offset``, with their absolute ends (Unix seconds), the latest end first."""
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        pipe.zrevrange(keys().signins(part), offset, offset + limit - 1, withscores=True)
        found = understood(pipe.execute(raise_on_error=False)[0], "an index of sign-ins") or []
    return [(sid.decode(), int(end)) for sid, end in found]


def earliest(part: str, offset: int, limit: int) -> list[str]:
    """``limit`` sids behind the first ``offset``, the earliest end first."""
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        pipe.zrange(keys().signins(part), offset, offset + limit - 1)
        found = understood(pipe.execute(raise_on_error=False)[0], "an index of sign-ins") or []
    return [sid.decode() for sid in found]


def counts(parts: Iterable[str]) -> list[int]:
    """How many each holds that are not past their end, by our clock."""
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        for part in parts:
            pipe.zcount(keys().signins(part), int(time.time()), "+inf")
        replies = pipe.execute(raise_on_error=False)
        return [understood(reply, "an index of sign-ins") or 0 for reply in replies]


def some(part: str, number: int) -> list[str]:
    """So many different sids, picked at random."""
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        pipe.zrandmember(keys().signins(part), number)
        picked = understood(pipe.execute(raise_on_error=False)[0], "an index of sign-ins") or []
    return [sid.decode() for sid in picked]
