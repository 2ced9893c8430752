"""Sign-in records in Redis, ``signin:<sid>`` (hashes), and each user's index, ``user:<id>`` (sorted sets).

``sso.sign_in_index`` has the indexes over all sign-ins, kept together with them.

Every write touches one key, so the same code serves a single server, Sentinel and Cluster.
Two promises are kept here. A sign-in is written to its user's index *before* anything else exists of
it, and every shared session is named in ``signin:<sid>`` *before* it is published: "sign out
everywhere" can never miss a live record. And a sign-in loses its ``revision`` before anything is deleted:
without one it has ended, and nothing can be added to it. (Taking a field away works in a Redis without room,
where adding one would not.)
"""

from __future__ import annotations

import logging
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sso_client.record import Actor

from sso import sign_in_index
from sso.redis import answering, keys, understood

log = logging.getLogger("sso.sign_ins")

#: What each field is called in Redis. Short, and every name and value below 65 bytes: then Redis keeps the whole
#: hash in one compact piece, less than half of what it takes otherwise.
FIELDS = {
    "user": "u", "hub": "h", "created": "c", "exp": "e", "idle": "i", "auth_time": "t", "amr": "a",
    "credential": "k", "remember": "p", "act": "by", "actor_credential": "bk", "ip": "ip", "user_agent": "d",
    "last_seen": "l", "revision": "r",
}  # fmt: skip
REVISION = FIELDS["revision"]

#: Nil for a sign-in that has ended, or never was.
_UNLESS_ENDED = f"""
if redis.call('HEXISTS', KEYS[1], '{REVISION}') == 0 then return nil end
"""

#: Adds fields to a sign-in that lives, and answers its revision.
_ADD = f"""{_UNLESS_ENDED}
redis.call('HSET', KEYS[1], unpack(ARGV))
return redis.call('HGET', KEYS[1], '{REVISION}')
"""

#: Creates the record with its end, or nothing at all.
_CREATE = """
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('EXPIREAT', KEYS[1], ARGV[1])
"""

#: Raises the revision of a sign-in that lives.
_BUMP = f"""{_UNLESS_ENDED}
return redis.call('HINCRBY', KEYS[1], '{REVISION}', 1)
"""

#: Adds a sid to the index, sweeps what is past by the server's clock (ours may be wrong, and would sweep what
#: lives), and keeps the key until the last absolute end.
_INDEX = """
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then return redis.call('EXPIREAT', KEYS[1], last[2]) end
"""

_SHARED = "s:"
_APP = "o:"
_SEEN_AT = "v:"
_DIGEST, _PACKED = re.compile("[0-9a-f]{64}"), re.compile("[A-Za-z0-9_-]{43}")


def _pack(digest: str) -> str:
    """64 hexadecimal digits as 43 characters; anything else as it is."""
    if not _DIGEST.fullmatch(digest):
        return digest
    return urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _unpack(text: str) -> str:
    return urlsafe_b64decode(text + "=").hex() if _PACKED.fullmatch(text) else text


def shared_field(cookie_hash: str) -> str:
    """The field that names a shared session."""
    return _SHARED + _pack(cookie_hash)


@dataclass(frozen=True, slots=True)
class SharedKey:
    """One published session of a sign-in, by the fingerprint of its cookie."""

    cookie_hash: str
    site: str
    issued: int  # Unix seconds


@dataclass(frozen=True, slots=True)
class SignIn:
    """One person authenticated in one browser. Times are Unix seconds, ``idle`` is seconds."""

    sid: str
    user_id: str
    hub_hash: str
    created: int
    exp: int
    idle: int
    auth_time: int
    amr: tuple[str, ...]
    #: Fingerprint of the password it was made with: another one means the person must sign in again.
    credential: str
    remember: bool
    ip: str
    user_agent: str
    last_seen: int
    revision: int = 0
    shared: tuple[SharedKey, ...] = ()
    ended: bool = False
    #: Client ids of the apps that were given tokens: they are to be told when it ends.
    apps: tuple[str, ...] = ()
    #: The administrator who is signed in as this person; None: it is the person.
    act: Actor | None = None
    #: Fingerprint of the administrator's own password when they began; empty without ``act``.
    actor_credential: str = ""
    #: Client ids of the apps that the person was sent to with it, by the hub.
    seen_at: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted({key.site for key in self.shared}))

    def remaining(self, now: float | None = None) -> int:
        """Seconds to the absolute end."""
        return self.exp - int(time.time() if now is None else now)

    def lease(self) -> int:
        """Seconds a shared session lives from now without activity."""
        return min(self.idle, self.remaining())


def create(sign_in: SignIn) -> None:
    """Write index, then record. Dying in between leaves a dangling index entry, which is harmless."""
    index(sign_in)
    fields = {
        "user": sign_in.user_id, "hub": _pack(sign_in.hub_hash), "created": sign_in.created, "exp": sign_in.exp,
        "idle": sign_in.idle, "auth_time": sign_in.auth_time, "amr": " ".join(sign_in.amr),
        "credential": _pack(sign_in.credential), "remember": int(sign_in.remember), "ip": sign_in.ip,
        "user_agent": sign_in.user_agent, "last_seen": sign_in.last_seen, "revision": sign_in.revision,
    }  # fmt: skip
    if sign_in.act is not None:
        fields["act"] = f"{sign_in.act.id} {sign_in.act.username}"
        fields["actor_credential"] = _pack(sign_in.actor_credential)
    flat = [str(part) for name, value in fields.items() for part in (FIELDS[name], value)]
    with answering() as redis:
        redis.eval(_CREATE, 1, keys().signin(sign_in.sid), str(sign_in.exp), *flat)


def index(sign_in: SignIn) -> None:
    """Make the user's index know this sign-in, that of who acts, and those of all sign-ins."""
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        pipe.execute_command("EVAL", _INDEX, 1, keys().user(sign_in.user_id), str(sign_in.exp), sign_in.sid)
        if sign_in.act is not None:
            acting = keys().acting(sign_in.act.id)
            pipe.execute_command("EVAL", _INDEX, 1, acting, str(sign_in.exp), sign_in.sid)
        sign_in_index.enter(pipe, sign_in)
        pipe.execute()


def is_indexed(sign_in: SignIn) -> bool:
    """Whether the person's index knows this sign-in."""
    with answering() as redis:
        return redis.zscore(keys().user(sign_in.user_id), sign_in.sid) is not None


def clear_foreign_index(key: str) -> None:
    """Delete what stands at the place of an index and is none."""
    with answering() as redis:
        if redis.type(key) not in (b"zset", b"none"):
            log.warning("bad_record: an index is of another type")
            redis.delete(key)


def add_shared(sid: str, key: SharedKey) -> int | None:
    """Name a shared session before it exists. Returns the revision, or None when the sign-in has ended."""
    return _add(sid, shared_field(key.cookie_hash), f"{key.site} {key.issued}")


def add_app(sid: str, client_id: str) -> int | None:
    """Name an app before it is given anything. Returns the revision, or None when the sign-in has ended."""
    with answering() as redis:
        exp = redis.hget(keys().signin(sid), FIELDS["exp"])
    if exp is None:
        return None
    sign_in_index.enter_at_app(sid, int(exp), client_id)
    return _add(sid, _APP + client_id, "")


def add_seen_at(sign_in: SignIn, client_id: str) -> int | None:
    """Note that the person was sent to an app. Returns the revision, or None when the sign-in has ended."""
    sign_in_index.enter_at_app(sign_in.sid, sign_in.exp, client_id)
    return _add(sign_in.sid, _SEEN_AT + client_id, "")


def touch(sid: str) -> None:
    """Note that the hub saw this sign-in just now."""
    _add(sid, FIELDS["last_seen"], str(int(time.time())))


def rebind(sid: str, credential: str) -> None:
    """The same password is hashed anew: the sign-in stays."""
    _add(sid, FIELDS["credential"], _pack(credential))


def _add(sid: str, *pairs: str) -> int | None:
    with answering() as redis:
        revision = redis.eval(_ADD, 1, keys().signin(sid), *pairs)
    return None if revision is None else int(revision)


def bump(sid: str) -> int | None:
    """Announce that the identity behind this sign-in changed; whoever is writing it notices."""
    with answering() as redis:
        revision = redis.eval(_BUMP, 1, keys().signin(sid))
    return None if revision is None else int(revision)


def revision(sid: str) -> int | None:
    """The revision of a sign-in that lives, else None."""
    with answering() as redis:
        number = redis.hget(keys().signin(sid), REVISION)
    return None if number is None else int(number)


def get(sid: str) -> SignIn | None:
    """The record, also when it is marked as ended; None when there is none (legible) or it is past its end."""
    return get_many([sid])[0]


def get_many(sids: Iterable[str]) -> list[SignIn | None]:
    return _each(sids, mark=False)


def mark_ended(sids: Iterable[str]) -> list[SignIn | None]:
    """Mark each as ended and return all that must be deleted; nothing can be added from here on."""
    return _each(sids, mark=True)


def _each(sids: Iterable[str], *, mark: bool) -> list[SignIn | None]:
    sids = list(sids)
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        for sid in sids:
            if mark:
                pipe.hdel(keys().signin(sid), REVISION)
            pipe.hgetall(keys().signin(sid))
        replies = pipe.execute(raise_on_error=False)
        step = 2 if mark else 1
        for marked, found in zip(replies[::step], replies[step - 1 :: step], strict=True):
            if isinstance(marked, Exception) and not isinstance(found, Exception):
                raise marked
        found = [understood(one, "a sign-in") for one in replies[step - 1 :: step]]
        return [_legible(sid, fields) for sid, fields in zip(sids, found, strict=True)]


def _legible(sid: str, fields: dict[bytes, bytes] | None) -> SignIn | None:
    """The sign-in these fields are, None and one log line when nobody of us wrote them."""
    try:
        return _parse(sid, fields) if fields else None
    except (KeyError, ValueError) as error:
        log.warning("bad_record: the sign-in %s cannot be read (%s)", sid, type(error).__name__)
        return None


def forget(owners: Mapping[str, str | None], known: Mapping[str, SignIn] | None = None) -> None:
    """Remove index entries and records: the last step of an end.

    ``owners`` has the user's id for each sid, None where it is not known; ``known`` the records that there were.
    """
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        for sid, user_id in owners.items():
            sign_in_index.leave(pipe, sid, (known or {}).get(sid))
            if user_id is not None:
                pipe.zrem(keys().user(user_id), sid)
                pipe.delete(keys().signin(sid))
        pipe.execute()


def drop_shared(sid: str, cookie_hashes: Iterable[str]) -> None:
    """Forget shared sessions that are gone from Redis already."""
    if fields := [shared_field(cookie_hash) for cookie_hash in cookie_hashes]:
        with answering() as redis:
            redis.hdel(keys().signin(sid), *fields)


def sids_of(user_id: str, *, offset: int = 0, limit: int | None = None) -> list[str]:
    """The user's sign-ins, those with the latest end first, also ended ones not yet swept."""
    stop = -1 if limit is None else offset + limit - 1
    with answering() as redis:
        return [sid.decode() for sid in redis.zrevrange(keys().user(user_id), offset, stop)]


def sids_begun_by(actor_id: str) -> list[str]:
    """What an administrator began as somebody else, also what has ended and is not swept yet."""
    with answering() as redis:
        return [sid.decode() for sid in redis.zrange(keys().acting(actor_id), 0, -1)]


def count(user_id: str) -> int:
    """How many sids the user's index holds."""
    with answering() as redis:
        return int(redis.zcard(keys().user(user_id)))


def _parse(sid: str, fields: dict[bytes, bytes]) -> SignIn | None:
    text = {name.decode(): value.decode("utf-8", "replace") for name, value in fields.items()}
    known = {name: text.get(short) for name, short in FIELDS.items()}
    required = {name: value for name, value in known.items() if value is not None}
    numbers = {n: int(required[n]) for n in ("created", "exp", "idle", "auth_time", "last_seen")}
    return SignIn(
        sid=sid,
        user_id=required["user"],
        hub_hash=_unpack(required["hub"]),
        amr=tuple(required["amr"].split()),
        credential=_unpack(required["credential"]),
        remember=required["remember"] == "1",
        ip=required["ip"],
        user_agent=required["user_agent"],
        shared=tuple(_shared_key(n, v) for n, v in text.items() if n.startswith(_SHARED)),
        revision=int(required.get("revision", 0)),
        ended="revision" not in required,
        apps=tuple(sorted(n.removeprefix(_APP) for n in text if n.startswith(_APP))),
        seen_at=tuple(sorted(n.removeprefix(_SEEN_AT) for n in text if n.startswith(_SEEN_AT))),
        act=_actor(required["act"]) if "act" in required else None,
        actor_credential=_unpack(required.get("actor_credential", "")),
        **numbers,
    )


def _actor(text: str) -> Actor:
    actor_id, _, username = text.partition(" ")
    return Actor(actor_id, username)


def _shared_key(name: str, value: str) -> SharedKey:
    site, _, issued = value.rpartition(" ")
    return SharedKey(_unpack(name.removeprefix(_SHARED)), site, int(issued))
