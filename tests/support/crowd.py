"""Very many sign-ins, written straight into Redis as the auth server writes them."""

from __future__ import annotations

import time
from secrets import token_hex, token_urlsafe

import msgspec
from sso_client.record import Identity

from sso import shared_sessions, sign_in_index
from sso.redis import client, keys
from sso.sign_in_store import FIELDS, SharedKey, SignIn, _pack, shared_field

BATCH = 2000


def sign_in(user_id: str, n: int = 0, **fields: object) -> SignIn:
    """One of number ``n``: an address of its own, begun ``n`` seconds ago."""
    now = int(time.time()) - n % 3000
    remember = bool(fields.get("remember", n % 10 == 0))
    made = {
        "sid": token_urlsafe(16), "user_id": user_id, "hub_hash": token_hex(32), "created": now,
        "exp": now + (30 * 86400 if remember else 86400), "idle": 3600, "auth_time": now, "amr": ("pwd",),
        "credential": token_hex(32), "remember": remember, "ip": f"198.51.{n // 250 % 250}.{n % 250}",
        "user_agent": "X11; Linux x86_64 Chrome/131.0.0.0", "last_seen": now, "revision": 1,
        "shared": (SharedKey(token_hex(32), "example.com", now),),
    }  # fmt: skip
    return SignIn(**{**made, **fields})  # type: ignore[arg-type]


def write(sign_ins: list[SignIn], *, living: bool = True) -> list[SignIn]:
    """Index, record, hub session and (unless they idled out) shared session of each."""
    redis = client()
    for at in range(0, len(sign_ins), BATCH):
        with redis.pipeline(transaction=False) as pipe:
            for one in sign_ins[at : at + BATCH]:
                pipe.zadd(keys().user(one.user_id), {one.sid: one.exp})
                for part in (*sign_in_index._parts(one), *map(sign_in_index.part_of_app, one.seen_at)):
                    pipe.zadd(keys().signins(part), {one.sid: one.exp})
                pipe.hset(keys().signin(one.sid), mapping=_fields(one))
                pipe.expireat(keys().signin(one.sid), one.exp)
                pipe.set(keys().hub(one.hub_hash), "{}", ex=3600)
                for key in one.shared if living else ():
                    pipe.set(keys().session(key.cookie_hash), _record(one), ex=3600)
            pipe.execute()
    return sign_ins


def _fields(one: SignIn) -> dict[str, str]:
    plain = {
        name: str(getattr(one, name)) for name in ("created", "exp", "idle", "auth_time", "last_seen", "ip")
    }
    plain |= {"user": one.user_id, "hub": _pack(one.hub_hash), "credential": _pack(one.credential)}
    plain |= {"amr": " ".join(one.amr), "remember": str(int(one.remember)), "user_agent": one.user_agent}
    plain |= {"revision": str(one.revision)}
    fields = {FIELDS[name]: value for name, value in plain.items()}
    fields |= {shared_field(key.cookie_hash): f"{key.site} {key.issued}" for key in one.shared}
    return fields | {f"v:{app}": "" for app in one.seen_at}


def _record(one: SignIn) -> bytes:
    who = Identity(id=one.user_id, username="somebody", email="", name="", groups=())
    return msgspec.json.encode(shared_sessions.record(one, "example.com", who))
