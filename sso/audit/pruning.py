"""Retention: the oldest rows go, the floor of the chain moves up, and an event says so."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from sso.audit import head, keeping
from sso.audit.events import Event
from sso.audit.models import AuditEvent, ChainHead
from sso.audit.recording import record

log = logging.getLogger("sso.trail")

#: Rows removed while the head is held: other writers wait for that long and no longer.
BATCH = 2000
#: Seconds between two looks of one process at the oldest row.
LOOK = 3600
#: Rows may be this much older than the retention before the automatic look removes them: about once a day.
SLACK = timedelta(days=1)


class Damaged(Exception):
    """The trail does not fit together; nothing is removed from it until somebody has looked."""


def prune(*, before: datetime | None = None) -> int:
    """Remove what happened ``before`` (``SSO_AUDIT_RETENTION`` ago); returns how many rows that was.

    The first row that is young enough stays with all behind it, whatever their times say.
    Raises ``Damaged``, and database errors.
    """
    before = before or timezone.now() - timedelta(seconds=settings.SSO_AUDIT_RETENTION)
    removed = up_to = 0
    while True:
        count, floor = _prune_some(before)
        if not count:
            break
        removed, up_to = removed + count, floor
    if removed:
        record(Event.AUDIT_PRUNED, count=removed, up_to=up_to)
    return removed


def _prune_some(before: datetime) -> tuple[int, int]:
    """Rows removed in one transaction, and the number of the last."""
    with transaction.atomic():
        end, damage = head.locked()
        if damage:
            raise Damaged(damage)
        rows = AuditEvent.objects.filter(seq__gt=end.floor_seq).order_by("seq")
        oldest = rows.values_list("seq", "hash", "time")[:BATCH]
        last: tuple[int, str] | None = None
        for seq, hash_, when in oldest:
            if when >= before:
                break
            last = seq, hash_
        if last is None:
            return 0, 0
        count = last[0] - end.floor_seq
        _move_floor(end, *last)
        return count, last[0]


def _move_floor(end: ChainHead, seq: int, hash_: str) -> None:
    """The floor first: the database lets nobody delete a row above it."""
    end.floor_seq, end.floor_hash = seq, hash_
    head.save(end)
    table = connection.ops.quote_name(AuditEvent._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE seq <= %s", [seq])  # noqa: S608 - our own table's name


def is_due() -> bool:
    """Whether rows are clearly older than they should be."""
    oldest = AuditEvent.objects.order_by("seq").values_list("time", flat=True).first()
    retention = timedelta(seconds=settings.SSO_AUDIT_RETENTION)
    return oldest is not None and oldest < timezone.now() - retention - SLACK


_next_look = 0.0


def look_after() -> None:
    """From time to time, in a thread that serves nobody: store what had to wait, remove what is too old.

    Raises database errors.
    """
    global _next_look
    keeping.retry()
    if time.monotonic() < _next_look:
        return
    _next_look = time.monotonic() + LOOK
    if is_due():
        try:
            log.info("audit_pruned count=%d", prune())
        except Damaged as error:
            log.error("audit_not_pruned: %s. Run manage.py verify_audit", error)  # noqa: TRY400 - no traceback
