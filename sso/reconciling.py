"""Bringing Redis in line with the database, for changes that passed by our code (raw SQL, a restored backup)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sso_client.record import decode

from sso import redis, sign_in_store, sign_ins
from sso.outbox import follow_pending
from sso.redis import answering, keys
from sso.registry_publishing import publish

BATCH = 500


@dataclass(frozen=True, slots=True)
class Report:
    people: int
    touched: int
    orphans: int


def reconcile() -> Report:
    """Walk every user that has sign-ins, then every shared session; never on a request path.

    Raises ``StoreUnavailable``; running it again continues harmlessly.
    """
    publish()
    follow_pending()
    _mend_indexes()
    people = touched = 0
    for key in _scan(keys().user("*")):
        people += 1
        touched += sign_ins.refresh(key.removeprefix(keys().user("")))
    return Report(people, touched, sum(_remove_orphan(key) for key in _scan(keys().session("*"))))


def _mend_indexes() -> None:
    """Enter every sign-in that lives into its user's index: a lost or overwritten one hides sessions from ending."""
    for key in _scan(keys().user("*")):
        sign_in_store.clear_foreign_index(key)
    for key in _scan(keys().signin("*")):
        sign_in = sign_in_store.get(key.removeprefix(keys().signin("")))
        if sign_in is not None:
            sign_in_store.index(sign_in)


def _scan(pattern: str) -> Iterator[str]:
    with answering() as client:
        for key in client.scan_iter(match=pattern, count=BATCH):
            yield key.decode()


def _remove_orphan(key: str) -> bool:
    """Delete a shared session that its sign-in does not know: nothing else could ever end it."""
    cookie_hash = key.removeprefix(keys().session(""))
    raw = redis.get(key, "a shared session")
    session = decode(raw, time.time()) if raw is not None else None
    sign_in = sign_in_store.get(session.sid) if session else None
    known = sign_in and not sign_in.ended and cookie_hash in {k.cookie_hash for k in sign_in.shared}
    if known:
        return False
    with answering() as client:
        return bool(client.delete(key))
