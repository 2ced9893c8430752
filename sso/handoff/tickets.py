"""Tickets in Redis, ``ticket:<fingerprint>``: minted once, spent once, and remembered for a while as spent.

A hash of ``ticket`` (JSON), ``until`` (milliseconds by the server's clock), and once it was presented ``given``, the
fingerprint of the session it was presented for; ``again`` from the second time on. Each step is one script on one
key, so of any number of callers one only is first.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_urlsafe

import msgspec

from sso.keys import fingerprint
from sso.redis import answering, keys

log = logging.getLogger("sso.handoff")

#: Milliseconds a ticket is good for: it is on its way through two redirects.
LIFE_MS = 60 * 1000
#: Milliseconds it is remembered, so that a late or second use is known for what it is.
MEMORY_MS = 10 * 60 * 1000
#: 256 random bits, base64url.
SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")

_MINT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local t = redis.call('TIME')
local until_ = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[1], 'ticket', ARGV[1], 'until', string.format('%.0f', until_))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

#: Spends a ticket for the session ARGV[1]. Returns how it was, its JSON, and what an earlier use was given.
_SPEND = """
local kept = redis.call('HMGET', KEYS[1], 'ticket', 'until', 'given')
if not kept[1] then return {'unknown', '', ''} end
if kept[3] then
  local first = redis.call('HSETNX', KEYS[1], 'again', '1') == 1
  return {first and 'again' or 'worn', kept[1], kept[3]}
end
redis.call('HSET', KEYS[1], 'given', ARGV[1])
local t = redis.call('TIME')
local fresh = t[1] * 1000 + math.floor(t[2] / 1000) <= tonumber(kept[2])
return {fresh and 'fresh' or 'expired', kept[1], ''}
"""


class Was(StrEnum):
    """What a ticket was when it was presented."""

    FRESH = "fresh"
    EXPIRED = "expired"
    #: Presented for the second time, and for any later one.
    AGAIN = "again"
    WORN = "worn"
    #: Never minted, or forgotten since.
    UNKNOWN = "unknown"


class Ticket(msgspec.Struct, frozen=True):
    """A sign-in on its way to one site, one address, one browser."""

    sid: str
    user_id: str
    #: Cookie domain of the site it is for.
    site: str
    #: Where the person goes on to, as it was resolved.
    address: str
    challenge: str


@dataclass(frozen=True, slots=True)
class Presented:
    """What came of presenting a ticket. ``given`` is the fingerprint of the session of its first use."""

    was: Was
    ticket: Ticket | None
    given: str = ""


def mint(ticket: Ticket) -> str:
    """Keep ``ticket`` and return its secret. Raises ``StoreUnavailable``."""
    content = msgspec.json.encode(ticket)
    while True:
        secret = token_urlsafe(32)
        with answering() as redis:
            if redis.eval(_MINT, 1, _key(secret), content, LIFE_MS, MEMORY_MS):
                return secret


def spend(secret: str, *, giving: str) -> Presented:
    """Present a ticket, for a session whose cookie has the fingerprint ``giving``: the first use is the only one."""
    with answering() as redis:
        was, content, given = redis.eval(_SPEND, 1, _key(secret), giving)
    return Presented(Was(was.decode()), _read(content), given.decode())


def was_presented_again(secret: str) -> bool:
    """Whether somebody else came with the same ticket since it was spent."""
    with answering() as redis:
        return bool(redis.hexists(_key(secret), "again"))


def _read(content: bytes) -> Ticket | None:
    try:
        return msgspec.json.decode(content, type=Ticket) if content else None
    except ValueError as error:
        log.warning("bad_record: a ticket cannot be read (%s)", type(error).__name__)
        return None


def _key(secret: str) -> str:
    return keys().ticket(fingerprint(secret))
