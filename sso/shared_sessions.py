"""Shared sessions: the records that relying apps read, and the only code that writes them.

A save never revives what was ended: the first write is ``SET NX``, every later one ``SET XX KEEPTTL``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from sso_client.record import MAX_RECORD, Identity, Session, decode

from sso import redis as store
from sso.keys import fingerprint
from sso.redis import answering, keys, understood

if TYPE_CHECKING:
    from sso.sign_in_store import SharedKey, SignIn

#: A new record lives this long (milliseconds) until its sign-in is seen to live still; then it gets its
#: true life. A process that dies in between leaves nothing that outlives the next sign-out.
PROVISIONAL_MS = 5000


def record(sign_in: SignIn, site: str, user: Identity) -> Session:
    """The published value, version 1."""
    return Session(
        v=1,
        sid=sign_in.sid,
        site=site,
        user=user,
        amr=sign_in.amr,
        auth_time=sign_in.auth_time,
        iat=int(time.time()),
        exp=sign_in.exp,
        idle=sign_in.idle,
        act=sign_in.act,
    )


def create(value: str, session: Session) -> bool:
    """Publish provisionally under a new cookie value; False when that key exists already."""
    with answering() as redis:
        key = keys().session(fingerprint(value))
        return bool(redis.set(key, msgspec.json.encode(session), nx=True, px=PROVISIONAL_MS))


def confirm(value: str, sign_in: SignIn) -> None:
    """Give a provisional record its idle life; a record that was ended meanwhile stays gone."""
    with answering() as redis:
        redis.expire(keys().session(fingerprint(value)), max(1, sign_in.lease()))


def rewrite(cookie_hash: str, user: Identity) -> None:
    """Put a changed identity into a record that lives, leaving its life, and fields of newer releases, as they are."""
    key = keys().session(cookie_hash)
    raw = store.get(key, "a shared session")
    if raw is None or decode(raw, time.time()) is None:
        delete([cookie_hash])  # gone, over, or not a record of ours: nobody's session
        return
    fields = msgspec.json.decode(raw)
    fields["user"] |= msgspec.to_builtins(user)
    with answering() as redis:
        redis.set(key, msgspec.json.encode(fields), xx=True, keepttl=True)


def delete(cookie_hashes: Iterable[str]) -> None:
    store.delete(keys().session(cookie_hash) for cookie_hash in cookie_hashes)


def lives(shared: Iterable[SharedKey]) -> dict[str, int]:
    """Seconds that each still living shared session has left, by fingerprint; the dead are absent.

    Dead is also what no reader would take for a session. A record that lost its expiry gets it back.
    """
    hashes = [key.cookie_hash for key in shared]
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        for cookie_hash in hashes:
            pipe.ttl(keys().session(cookie_hash))
            pipe.getrange(keys().session(cookie_hash), 0, MAX_RECORD)
        replies = pipe.execute(raise_on_error=False) if hashes else []
        ttls = [understood(reply, "a shared session") for reply in replies[::2]]
        raws = [understood(reply, "a shared session") for reply in replies[1::2]]
    left = {h: _life(h, ttl, raw) for h, ttl, raw in zip(hashes, ttls, raws, strict=True)}
    return {cookie_hash: seconds for cookie_hash, seconds in left.items() if seconds >= 0}


def _life(cookie_hash: str, ttl: int, raw: bytes | None) -> int:
    """Seconds left of one record as Redis holds it; negative for none."""
    now = time.time()
    session = decode(raw, now) if raw else None
    if session is None:
        return -1
    if ttl == -1:
        ttl = min(session.idle, session.exp - int(now))
        keep_alive([cookie_hash], ttl)
    return ttl


def keep_alive(cookie_hashes: Iterable[str], seconds: int) -> None:
    """Count activity at the hub: it keeps the shared sessions from idling out too."""
    with answering() as redis:
        for cookie_hash in cookie_hashes:
            redis.expire(keys().session(cookie_hash), max(1, seconds))


def read(value: str) -> Session | None:
    """The living session behind a cookie value, as every relying app reads it."""
    raw = store.get(keys().session(fingerprint(value)), "a shared session")
    return decode(raw, time.time()) if raw is not None else None
