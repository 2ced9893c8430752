"""Rows are added to the chain one after the other, each in a short transaction of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict

from django.db import connection, transaction

from sso.audit import chain
from sso.audit.entries import Entry
from sso.audit.models import AuditEvent, ChainHead

#: One JSON object a line, for whoever collects logs.
lines = logging.getLogger("sso.audit")
log = logging.getLogger("sso.trail")


def keep(entry: Entry) -> None:
    """One line in the log, then one row. Never raises."""
    say("audit", asdict(entry))
    try:
        store([entry])
    except Exception as error:
        say("audit_not_stored", {"uid": entry.uid, "error": type(error).__name__}, logging.ERROR)


def say(kind: str, content: dict[str, object], level: int = logging.INFO) -> None:
    lines.log(level, json.dumps({"log": kind, **content}, default=chain._plain))


def store(entries: Sequence[Entry]) -> list[AuditEvent]:
    """Add rows to the chain. Raises database errors."""
    with transaction.atomic():
        head = _locked_head()
        rows = [_appended(head, entry) for entry in entries]
        AuditEvent.objects.all()._append(rows)
        seal(head)
    return rows


def _locked_head() -> ChainHead:
    heads = (
        ChainHead.objects.select_for_update()
        if connection.features.has_select_for_update
        else ChainHead.objects
    )
    head = heads.filter(pk=1).first()
    if head is None:
        ChainHead.objects.bulk_create([_first_head()], ignore_conflicts=True)
        head = heads.get(pk=1)
    return head


def _first_head() -> ChainHead:
    head = ChainHead(seq=0, hash=chain.GENESIS, floor_seq=0, floor_hash=chain.GENESIS)
    head.key_id = chain.key_id()
    head.mac = chain.mac(head.key_id, sealed(head))
    return head


def sealed(head: ChainHead) -> bytes:
    """What the head's MAC covers."""
    return b"head\n" + chain.canonical([head.seq, head.hash, head.floor_seq, head.floor_hash, head.key_id])


def seal(head: ChainHead) -> None:
    head.key_id = chain.key_id()
    head.mac = chain.mac(head.key_id, sealed(head))
    head.save()


def _appended(head: ChainHead, entry: Entry) -> AuditEvent:
    row = AuditEvent(seq=head.seq + 1, key_id=chain.key_id(), **asdict(entry))
    row.hash = chain.row_hash(head.hash, {name: getattr(row, name) for name in chain.COVERED})
    head.seq, head.hash = row.seq, row.hash
    return row
