"""The auth server's one way to Redis: bounded in time, and loud when there is no answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError
from sso_client.connections import connect
from sso_client.errors import StoreUnavailable

from authserver.embedded_valkey import EmbeddedValkeyFailed, ensure_running
from sso.keys import Keys

#: redis-py's own types answer ``bytes | str`` for every value; ours are always bytes.
Client = Any


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
    try:
        yield client()
    except (RedisError, OSError, EmbeddedValkeyFailed) as error:
        raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error


@cache
def keys() -> Keys:
    return Keys(settings.SSO_REDIS_PREFIX)
