"""The auth server's one way to Redis: bounded in time, and loud when there is no answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError, ResponseError
from sso_client.connections import connect
from sso_client.errors import StoreUnavailable

from authserver.embedded_valkey import EmbeddedValkeyFailed, ensure_running
from sso import troubles
from sso.keys import Keys
from sso.metrics.tally import tally

log = logging.getLogger("sso.redis")

#: redis-py's own types answer ``bytes | str`` for every value; ours are always bytes.
Client = Any


class StoreRefused(StoreUnavailable):
    """Redis is there and will not do it: read-only, out of memory, no permission."""


@cache
def url() -> str:
    """The configured server's address, or that of the embedded one, started on first use."""
    return settings.SSO_REDIS_URL or ensure_running(Path(settings.SSO_DATA_DIR))


@cache
def client() -> Client:
    """One client a process; its pool notices a fork. Every command ends within ``SSO_REDIS_TIMEOUT``."""
    return connect(url(), timeout=settings.SSO_REDIS_TIMEOUT)


@contextmanager
def answering() -> Iterator[Client]:
    """The client, with every failure to answer turned into ``StoreUnavailable``.

    An error is never "nobody": no caller may read a time-out as an absent key.
    """
    began, outcome = monotonic(), "answered"
    try:
        yield client()
    except ResponseError as error:
        outcome = "refused"
        raise StoreRefused(f"Redis refused: {str(error)[:100]}") from error
    except (RedisError, OSError, EmbeddedValkeyFailed) as error:
        outcome = "failed"
        troubles.note("Redis", error)
        raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error
    finally:
        tally.redis(monotonic() - began, outcome)


def understood(reply: Any, what: str) -> Any:
    """One reply of a pipeline; None, and one log line, when the key holds another type than we ever write."""
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        log.warning("bad_record: %s is of another type", what)
        return None
    if isinstance(reply, Exception):
        raise reply
    return reply


def get(key: str, what: str) -> bytes | None:
    """The string at ``key``; None, with one log line that names ``what``, when it is no string at all."""
    with answering() as redis, redis.pipeline(transaction=False) as pipe:
        pipe.get(key)
        reply: bytes | None = understood(pipe.execute(raise_on_error=False)[0], what)
    return reply


def delete(names: Iterable[str]) -> None:
    """Delete keys, whatever they hold, in one round trip."""
    if names := list(names):
        with answering() as redis, redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.delete(name)
            pipe.execute()


@cache
def keys() -> Keys:
    return Keys(settings.SSO_REDIS_PREFIX)
