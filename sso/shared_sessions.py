"""Shared sessions: the records that relying apps read, and the only code that writes them.

A save never revives what was ended: the first write is ``SET NX``, every later one ``SET XX KEEPTTL``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from sso_client.record import Identity, Session, decode

from sso.keys import fingerprint
from sso.redis import answering, keys

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
    """Put a changed identity into a record that lives, leaving its life as it is."""
    with answering() as redis:
        key = keys().session(cookie_hash)
        raw = redis.get(key)
        if raw is None:
            return
        try:
            session = msgspec.json.decode(raw, type=Session)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            redis.delete(key)  # not a record of ours: nobody's session
            return
        redis.set(
            key, msgspec.json.encode(msgspec.structs.replace(session, user=user)), xx=True, keepttl=True
        )


def delete(cookie_hashes: Iterable[str]) -> None:
    with answering() as redis:
        for cookie_hash in cookie_hashes:
            redis.delete(keys().session(cookie_hash))


def lives(shared: Iterable[SharedKey]) -> dict[str, int]:
    """Seconds that each still living shared session has left, by fingerprint; the dead are absent."""
    hashes = [key.cookie_hash for key in shared]
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        for cookie_hash in hashes:
            pipe.ttl(keys().session(cookie_hash))
        answers = pipe.execute() if hashes else []
    return {cookie_hash: ttl for cookie_hash, ttl in zip(hashes, answers, strict=True) if ttl >= 0}


def keep_alive(cookie_hashes: Iterable[str], seconds: int) -> None:
    """Count activity at the hub: it keeps the shared sessions from idling out too."""
    with answering() as redis:
        for cookie_hash in cookie_hashes:
            redis.expire(keys().session(cookie_hash), max(1, seconds))


def read(value: str) -> Session | None:
    """The living session behind a cookie value, as every relying app reads it."""
    with answering() as redis:
        raw = redis.get(keys().session(fingerprint(value)))
    return decode(raw, time.time()) if raw is not None else None
