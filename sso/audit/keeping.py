"""One line in the log, then one row; what cannot be stored is said loudly and tried again.

The line comes first, so an event is known even if the process dies while it waits for the database. A second
line says under which number and hash the row is stored: whoever collects logs has the chain's anchors.
"""

from __future__ import annotations

import atexit
import json
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from sso_client.errors import StoreUnavailable

from sso.audit import chain
from sso.audit.entries import Entry
from sso.audit.events import Event, Outcome
from sso.metrics.definitions import AUDIT_FAILURES
from sso.redis import answering, keys

if TYPE_CHECKING:
    from sso.audit.models import AuditEvent

#: One JSON object a line, for whoever collects logs.
lines = logging.getLogger("sso.audit")
log = logging.getLogger("sso.trail")

#: Events of this process that wait for the database; more are given up, oldest first.
MOST_WAITING = 1000
#: Events tried again after one that could be stored.
AT_ONCE = 20
#: Events of one moment that are stored with one write.
TOGETHER = 500
#: Seconds to leave a failing database alone, so that not every request waits for it once more.
PAUSE = 2.0
#: Seconds that a process which ends still tries for.
LAST_TRY = 5.0
#: Where all processes count together what they could not store, and for how many seconds it is remembered.
COUNTER, REMEMBERED = "cache:audit_not_stored", 7 * 86_400


@dataclass(slots=True)
class _Waiting:
    entries: deque[Entry] = field(default_factory=deque)
    lost: int = 0
    pause_until: float = 0.0
    asked_to_wait: bool = False
    lock: Lock = field(default_factory=Lock)


_waiting = _Waiting()


def forget_waiting() -> None:
    """Start as a new process does."""
    with _waiting.lock:
        _waiting.entries.clear()
        _waiting.lost, _waiting.pause_until = 0, 0.0


def is_pausing() -> bool:
    """Whether the database failed a moment ago."""
    return time.monotonic() < _waiting.pause_until


def pause() -> None:
    """The database failed: it is left alone for :data:`PAUSE` seconds."""
    _waiting.pause_until = time.monotonic() + PAUSE


def keep(entry: Entry) -> None:
    """Never raises; waits for the database once at most."""
    try:
        say("audit", asdict(entry))
        if is_pausing():
            _put_off(entry, "pausing")
        elif _stored(entry):
            retry(AT_ONCE)
    except Exception:
        log.exception("audit_not_recorded event=%s", entry.event)


def keep_all(entries: list[Entry]) -> None:
    """Many events of one moment, with one write for each :data:`TOGETHER`. Never raises."""
    from sso.audit.storing import store

    for at in range(0, len(entries), TOGETHER):
        some = entries[at : at + TOGETHER]
        try:
            if is_pausing():
                raise DatabaseError  # noqa: TRY301 - one by one they are put off
            rows = store(some)
        except (DatabaseError, InterfaceError):
            for entry in some:
                keep(entry)
        except Exception:
            log.exception("audit_not_recorded count=%d", len(some))
        else:
            for entry in some:
                say("audit", asdict(entry))
            _say_stored(rows)


def retry(most: int = MOST_WAITING) -> int:
    """Try again what this process could not store. Returns how many rows that made. Never raises."""
    done = 0
    while done < most and (entry := _next()) is not None:
        if not _stored(entry, again=True):
            break
        done += 1
    if _waiting.lost and not _waiting.entries:
        _say_lost()
    return done


def _say_lost() -> None:
    lost, _waiting.lost = _waiting.lost, 0
    entry = Entry(Event.AUDIT_LOST.value, Outcome.FAILED.value, actor_id="system", details={"count": lost})
    say("audit", asdict(entry))
    _stored(entry)


def _before_the_end() -> None:
    """The process ends: a database that is there again gets what waited; what it does not, the log has."""
    deadline = time.monotonic() + LAST_TRY
    while _waiting.entries and time.monotonic() < deadline:
        if not retry():
            time.sleep(0.2)


def _next() -> Entry | None:
    with _waiting.lock:
        return _waiting.entries.popleft() if _waiting.entries else None


def _stored(entry: Entry, *, again: bool = False) -> bool:
    from sso.audit.storing import store

    try:
        rows = store([entry], again=again)
    except (DataError, IntegrityError, ValueError) as error:  # it would never be stored
        _say_not_stored(entry, error)
        _waiting.lost += 1
        return True
    except (DatabaseError, InterfaceError, OSError) as error:
        pause()
        _put_off(entry, type(error).__name__, first=again)
        return False
    _say_stored(rows)
    return True


def _say_stored(rows: list[AuditEvent]) -> None:
    for row in rows:
        if row.event == Event.AUDIT_DAMAGED:
            log.error("audit_damaged seq=%d found=%s", row.seq, row.details.get("found"))
        say("audit_stored", {"uid": row.uid, "seq": row.seq, "hash": row.hash})


def _put_off(entry: Entry, why: str, *, first: bool = False) -> None:
    if not _waiting.asked_to_wait:
        _waiting.asked_to_wait = True
        atexit.register(_before_the_end)
    with _waiting.lock:
        if first:
            _waiting.entries.appendleft(entry)
        else:
            _waiting.entries.append(entry)
        if len(_waiting.entries) > MOST_WAITING:
            _waiting.entries.popleft()
            _waiting.lost += 1
    if not first:
        _say_not_stored(entry, why)


def _say_not_stored(entry: Entry, error: Exception | str) -> None:
    AUDIT_FAILURES.inc()
    why = error if isinstance(error, str) else type(error).__name__
    content = {**asdict(entry), "error": why, "waiting": len(_waiting.entries)}
    say("audit_not_stored", content, logging.ERROR)
    try:
        with answering() as redis, redis.pipeline(transaction=False) as pipe:
            pipe.incr(keys().prefix + COUNTER)
            pipe.expire(keys().prefix + COUNTER, REMEMBERED)
            pipe.execute()
    except StoreUnavailable as broken:
        log.warning("audit_counter_failed: %s", broken)


def say(kind: str, content: Mapping[str, Any], level: int = logging.INFO) -> None:
    """One line; every control character and every letter beyond ASCII is escaped by JSON."""
    lines.log(level, "%s", json.dumps({"log": kind, **content}, default=chain.plain))


@dataclass(frozen=True, slots=True)
class Health:
    """What an operator should know about the trail's own state."""

    #: Events that some process could not store at once, in the last days; None when nobody can tell.
    not_stored: int | None
    #: Of these, in this process, how many wait still.
    waiting: int


def health() -> Health:
    try:
        with answering() as redis:
            counted = int(redis.get(keys().prefix + COUNTER) or 0)
    except (StoreUnavailable, ValueError):
        return Health(None, len(_waiting.entries))
    return Health(counted, len(_waiting.entries))
