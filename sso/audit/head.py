"""The one-row head of the chain: locked by each writer, sealed, and compared with the rows it stands for.

Its lock makes numbers gapless: a second writer waits until the first has committed or given up.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, InterfaceError, connection

from sso.audit import chain
from sso.audit.models import AuditEvent, ChainHead

#: Milliseconds that a writer waits for another one of SQLite's.
SQLITE_WAIT = 3000
#: Milliseconds that PostgreSQL lets a writer wait for the head, run one statement, or hold the head and be silent.
WAITS = {
    "lock_timeout": "2000",
    "statement_timeout": "5000",
    "idle_in_transaction_session_timeout": "5000",
}


@contextmanager
def short_waits() -> Iterator[None]:
    """SQLite's wait for another writer is the connection's; here it is :data:`SQLITE_WAIT` for once."""
    if connection.vendor != "sqlite":
        yield
        return
    _busy_timeout(SQLITE_WAIT)
    try:
        yield
    finally:
        with suppress(DatabaseError, InterfaceError):
            _busy_timeout(int(connection.settings_dict["OPTIONS"].get("timeout", 5) * 1000))


def _busy_timeout(milliseconds: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {milliseconds:d}")


def locked() -> tuple[ChainHead, str]:
    """The head, for this transaction alone, and what does not fit: empty when all is well.

    What was found is for the trail to keep: the chain goes on behind the last row that can be had, and
    ``verify_audit`` finds both the gap and the event that says so.
    """
    _bound_waits()
    head = _select() or _begun()
    last = AuditEvent.objects.order_by("-seq").values_list("seq", "hash").first()
    if head is None:
        return _anew(last), "the head is missing"
    if (wrong := seal_problem(head)) is not None:
        floor = (head.floor_seq, head.floor_hash) if "SECRET_KEY" in wrong else (0, chain.GENESIS)
        return _anew(last, floor), wrong
    if last == ((head.seq, head.hash) if head.seq > head.floor_seq else None):
        return head, ""
    found = f"the last row is {last[0] if last else 'missing'}, the head says {head.seq}"
    if last is not None and last[0] > head.seq:
        head.seq, head.hash = last
    return head, found


def _bound_waits() -> None:
    """A writer that is frozen with the head in its hands must not stop all others."""
    if connection.vendor == "postgresql":
        settings = ", ".join("set_config(%s, %s, true)" for _ in WAITS)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {settings}", [text for pair in WAITS.items() for text in pair])


def _select() -> ChainHead | None:
    heads = ChainHead.objects.filter(pk=1)
    if connection.features.has_select_for_update:
        heads = heads.select_for_update()
    return heads.first()


def _begun() -> ChainHead | None:
    """The head of a trail that begins now; None when there are rows already. Of two beginners one wins."""
    if AuditEvent.objects.exists():
        return None
    first = ChainHead(seq=0, hash=chain.GENESIS, floor_seq=0, floor_hash=chain.GENESIS)
    ChainHead.objects.bulk_create([sealed(first)], ignore_conflicts=True)
    return _select()


def _anew(last: tuple[int, str] | None, floor: tuple[int, str] = (0, chain.GENESIS)) -> ChainHead:
    head = ChainHead(floor_seq=floor[0], floor_hash=floor[1])
    head.seq, head.hash = last or floor
    return head


def sealed(head: ChainHead) -> ChainHead:
    """The head with a MAC that is right for what it says now."""
    head.key_id = chain.key_id()
    head.mac = chain.mac(head.key_id, _message(head))
    return head


def save(head: ChainHead) -> None:
    """Seal the head and put it in the place of whatever is there."""
    columns = ("seq", "hash", "floor_seq", "floor_hash", "key_id", "mac")
    ChainHead.objects.bulk_create(
        [sealed(head)], update_conflicts=True, unique_fields=["id"], update_fields=columns
    )


def seal_problem(head: ChainHead) -> str | None:
    """Why the head's MAC is not to be trusted; None when it is right."""
    try:
        right = chain.mac(head.key_id, _message(head))
    except chain.UnknownKey:
        return "the head was made with a key that is not in SECRET_KEY or SECRET_KEY_FALLBACKS"
    return None if hmac.compare_digest(right, head.mac) else "the head was altered"


def _message(head: ChainHead) -> bytes:
    return b"head\n" + chain.canonical([head.seq, head.hash, head.floor_seq, head.floor_hash, head.key_id])
