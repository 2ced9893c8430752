"""How Redis and the database do: one question to each, timed, and what went wrong in this process before."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext_lazy as _
from redis.exceptions import RedisError
from sso_client.errors import StoreUnavailable

from sso.redis import answering, client

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

#: Milliseconds from which an answer is called slow: one page asks several times.
SLOW_REDIS, SLOW_DATABASE = 20, 50


@dataclass(frozen=True, slots=True)
class Part:
    """``milliseconds`` None: no answer. ``facts`` are lines to read beside it."""

    name: str | _StrPromise
    milliseconds: float | None
    slow: bool
    facts: tuple[str, ...] = ()


def parts() -> list[Part]:
    redis, database = _timed(_ping), _timed(_select)
    return [
        Part(
            "Redis", redis, redis is not None and redis > SLOW_REDIS, _memory() if redis is not None else ()
        ),
        Part(
            _("Database"), database, database is not None and database > SLOW_DATABASE, (connection.vendor,)
        ),
    ]


def _timed(ask: Callable[[], object]) -> float | None:
    began = time.perf_counter()
    try:
        ask()
    except (StoreUnavailable, DatabaseError, InterfaceError):
        return None
    return (time.perf_counter() - began) * 1000


def _ping() -> None:
    with answering() as redis:
        redis.ping()


def _select() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def _memory() -> tuple[str, ...]:
    """How much it holds, if it tells: a managed Redis may refuse, and a cluster answers for each node."""
    with suppress(RedisError, OSError, KeyError, ValueError, TypeError):
        told: dict[str, Any] = client().info("memory")
        used, most = int(told["used_memory"]), int(told.get("maxmemory", 0))
        return (f"{_mib(used)} / {_mib(most)}" if most else _mib(used),)
    return ()


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
