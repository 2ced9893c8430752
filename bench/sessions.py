"""Shared sessions as the auth server writes them, in any number."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from sso_client.cookies import SESSION_COOKIE
from sso_client.record import session_key

if TYPE_CHECKING:
    from tests.support.redis_server import RedisServer

#: How many different people a load rotates over.
PEOPLE = 200
HOST = "auth.example.com"
SITE = "example.com"
LIFE = 86_400
_BATCH = 5000


def record(n: int) -> bytes:
    """The record of one session, of the size that real ones have."""
    now = int(time.time())
    user = {
        "id": f"0b6c7d1e-4c7a-4f9d-8a53-{n:012d}",
        "username": f"user{n}",
        "email": f"user{n}@example.com",
        "name": f"First{n} Last{n}",
        "groups": ["staff"],
    }
    session = {"v": 1, "sid": secrets.token_urlsafe(16), "site": SITE, "user": user, "amr": ["pwd"]}
    times = {"auth_time": now, "iat": now, "exp": now + LIFE, "idle": LIFE}
    return json.dumps(session | times, separators=(",", ":")).encode()


def publish(redis: RedisServer, count: int, first: int = 0) -> list[str]:
    """Write ``count`` sessions through pipelines; returns the cookies' values."""
    values = [secrets.token_urlsafe(32) for _ in range(count)]
    numbered = enumerate(values, first)
    with redis.client(socket_timeout=60) as client:
        while batch := list(islice(numbered, _BATCH)):
            pipe = client.pipeline(transaction=False)
            for n, value in batch:
                pipe.set(session_key("sso:", value), record(n), ex=LIFE)
            pipe.execute()
    return values


def cookie(value: str) -> str:
    return f"{SESSION_COOKIE}={value}"


def cookies(values: list[str]) -> list[str]:
    return [cookie(value) for value in values]


def spread(values: list[str], count: int) -> Iterator[str]:
    """``count`` of the values, evenly from all over."""
    return islice(values, 0, None, max(1, len(values) // count))
