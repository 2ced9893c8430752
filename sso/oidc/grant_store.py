"""What one app was given of one sign-in, in Redis: ``oidc:<grant id>``, one hash, so that revoking is one ``DEL``.

A grant begins as a code and becomes a family of tokens. Code and tokens are ``<grant id>.<256 random bits>``; Redis
has their fingerprints only. Every step is one script on one key: of two that spend the same code, or the same
refresh token, one wins; whoever comes second shows that somebody copied it, and ends the grant with all it gave.
RFC 6749 §4.1.2 and §10.5, RFC 9700 §4.14.2.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from secrets import token_urlsafe

from django.conf import settings
from sso_client.errors import StoreUnavailable

from sso.keys import fingerprint
from sso.redis import answering, keys, understood

log = logging.getLogger("sso.oidc")

#: Seconds from code to tokens.
CODE_LIFE = 60
#: Seconds of an access token.
ACCESS_LIFE = 10 * 60
#: Seconds after which a refresh token that nobody uses is forgotten: an app that asks anew and anew fills nothing.
UNUSED_LIFE = 24 * 60 * 60

_TOKEN = re.compile(r"(?P<grant>[A-Za-z0-9_-]{22})\.[A-Za-z0-9_-]{43}", re.ASCII)
_FIELDS = {
    "client_id": "c", "sid": "s", "user_id": "u", "scope": "o",
    "redirect_uri": "r", "challenge": "h", "nonce": "n", "address": "i",
}  # fmt: skip
#: Fingerprints of the code and of the refresh token; there once the code is spent; prefix of access tokens.
_CODE, _REFRESH, _SPENT, _ACCESS = "k", "f", "x", "a:"

_CREATE = """
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""

#: ARGV: field and fingerprint of what is spent, the new access token's fingerprint, "<end> <scope>", the new refresh
#: token's fingerprint, when all of it is forgotten, now, until when the caller waits (Redis's clock). 0: spent
#: already, or ended; whatever it gave is gone then. -1: too late, nobody hears the answer. The same call again, over
#: a connection that broke before the answer, is no second use.
_SPEND = f"""
local time = redis.call('TIME')
if time[1] + time[2] / 1000000 > tonumber(ARGV[8]) then return -1 end
if redis.call('HGET', KEYS[1], '{_REFRESH}') == ARGV[5] then return 1 end
local kept = redis.call('HMGET', KEYS[1], ARGV[1], '{_SPENT}')
if kept[1] ~= ARGV[2] or (ARGV[1] == '{_CODE}' and kept[2]) then
    redis.call('DEL', KEYS[1])
    return 0
end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 2) == '{_ACCESS}' then
        local till = tonumber(string.match(redis.call('HGET', KEYS[1], field), '^%d+'))
        if not till or till <= tonumber(ARGV[7]) then redis.call('HDEL', KEYS[1], field) end
    end
end
redis.call('HDEL', KEYS[1], 'r', 'h', 'n')
redis.call('HSET', KEYS[1], '{_SPENT}', '1', '{_ACCESS}' .. ARGV[3], ARGV[4], '{_REFRESH}', ARGV[5])
redis.call('EXPIREAT', KEYS[1], ARGV[6])
return 1
"""


_TIME = """
local time = redis.call('TIME')
return string.format('%d.%06d', time[1], time[2])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One app, one sign-in, some scopes."""

    client_id: str
    sid: str
    user_id: str
    #: Words separated by spaces.
    scope: str
    #: Only until the code is spent.
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""
    #: From where the person entered the app: its rules are asked again with it. Empty: not known.
    address: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A grant as Redis has it now, with how the text that was presented stands to it."""

    id: str
    grant: Grant
    presented: str
    fields: dict[str, str]
    #: What Redis's clock says more than our monotonic one (seconds), to compare with Redis's alone.
    ahead: float = 0.0

    @property
    def is_code(self) -> bool:
        """Whether it is the code this grant began with, spent or not."""
        return self.fields.get(_CODE) == self.presented

    @property
    def is_spent(self) -> bool:
        return _SPENT in self.fields

    @property
    def is_refresh(self) -> bool:
        """Whether it is the refresh token that is valid now."""
        return self.fields.get(_REFRESH) == self.presented

    def access_scope(self) -> str | None:
        """What the access token allows; None when it is none, or too old."""
        till, _, scope = self.fields.get(_ACCESS + self.presented, "").partition(" ")
        return scope if till and int(till) > time.time() else None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code or a refresh token was exchanged for. Secret."""

    access: str
    refresh: str


def begin(grant: Grant) -> str:
    """Store a new grant; returns its code, good for :data:`CODE_LIFE` seconds."""
    grant_id, code = _new()
    fields = {short: str(getattr(grant, name)) for name, short in _FIELDS.items()} | {
        _CODE: fingerprint(code)
    }
    with answering() as redis:
        flat = [part for pair in fields.items() for part in pair]
        redis.eval(_CREATE, 1, keys().oidc(grant_id), str(CODE_LIFE), *flat)
    return code


def find(token: str) -> Found | None:
    """The grant that a code or token belongs to; None when there is none. Raises ``StoreUnavailable``."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys().oidc(match["grant"]))
        pipe.execute_command("EVAL", _TIME, 1, keys().oidc(match["grant"]))
        reply, clock = pipe.execute(raise_on_error=False)
        ahead = float(understood(clock, "the clock")) - time.monotonic()
        raw = understood(reply, "a grant")
    fields = {name.decode(): value.decode("utf-8", "replace") for name, value in (raw or {}).items()}
    if not all(_FIELDS[name] in fields for name in ("client_id", "sid", "user_id", "scope")):
        return None
    grant = Grant(**{name: fields.get(short, "") for name, short in _FIELDS.items()})
    return Found(match["grant"], grant, fingerprint(token), fields, ahead)


def exchange(found: Found, scope: str, *, until: int) -> Tokens | None:
    """Spend the code or refresh token that was found, for new tokens; ``until`` is the absolute end (Unix seconds).

    None when somebody else was quicker, or it was revoked meanwhile: then nothing of this grant lives.
    """
    tokens = Tokens(access=_new(found.id)[1], refresh=_new(found.id)[1])
    now = int(time.time())
    arguments = (
        _CODE if found.is_code else _REFRESH,
        found.presented,
        fingerprint(tokens.access),
        f"{min(until, now + ACCESS_LIFE)} {scope}",
        fingerprint(tokens.refresh),
        str(min(until, now + UNUSED_LIFE)),
        str(now),
        f"{found.ahead + time.monotonic() + settings.SSO_REDIS_TIMEOUT:.3f}",
    )
    with answering() as redis:
        done = redis.eval(_SPEND, 1, keys().oidc(found.id), *arguments)
    if done < 0:
        raise StoreUnavailable("Redis was too slow to spend a token")
    return tokens if done else None


def revoke(grant_id: str) -> None:
    """End all a grant gave."""
    with answering() as redis:
        redis.delete(keys().oidc(grant_id))


def revoke_access(found: Found) -> None:
    """End one access token."""
    with answering() as redis:
        redis.hdel(keys().oidc(found.id), _ACCESS + found.presented)


def _new(grant_id: str = "") -> tuple[str, str]:
    grant_id = grant_id or token_urlsafe(16)
    return grant_id, f"{grant_id}.{token_urlsafe(32)}"
