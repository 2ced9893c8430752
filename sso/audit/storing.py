"""Rows are added to the chain in short transactions of their own, and the head moves with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from django.db import transaction

from sso.audit import chain, head
from sso.audit.entries import Entry
from sso.audit.events import Event, Outcome
from sso.audit.models import AuditEvent, ChainHead


def store(entries: Iterable[Entry], *, again: bool = False) -> list[AuditEvent]:
    """Add rows to the chain, and one before them when it is found damaged. Raises database errors.

    ``again``: an earlier try may have been committed without our hearing of it, so those that are there are
    left out.
    """
    with head.short_waits(), transaction.atomic():
        end, damage = head.locked()
        wanted = _unstored(list(entries)) if again else list(entries)
        if damage:
            wanted = [_damaged(damage), *wanted]
        rows = [_appended(end, entry) for entry in wanted]
        AuditEvent.objects.all()._append(rows)
        head.save(end)
    return rows


def _unstored(entries: list[Entry]) -> list[Entry]:
    there = set(
        AuditEvent.objects.filter(uid__in=[entry.uid for entry in entries]).values_list("uid", flat=True)
    )
    return [entry for entry in entries if entry.uid not in there]


def _damaged(found: str) -> Entry:
    return Entry(Event.AUDIT_DAMAGED.value, Outcome.FAILED.value, actor_id="system", details={"found": found})


def _appended(end: ChainHead, entry: Entry) -> AuditEvent:
    row = AuditEvent(seq=end.seq + 1, key_id=chain.key_id(), **asdict(entry))
    row.hash = chain.row_hash(end.hash, {name: getattr(row, name) for name in chain.COVERED})
    end.seq, end.hash = row.seq, row.hash
    return row
