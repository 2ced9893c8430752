"""Changes of people that sessions must follow, kept until they have been followed.

A row is written in the transaction that changes the person and removed when their sessions are in line, so
a Redis that does not answer at that moment costs time, never a missed revocation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from sso_client.errors import StoreUnavailable

from sso import sign_ins
from sso.models import IdentityChange

log = logging.getLogger("sso.outbox")


def identity_changed(user_ids: Iterable[UUID]) -> None:
    """Note the change with the caller's transaction and follow it on commit.

    Raises ``StoreUnavailable`` after the commit when Redis does not answer: the change is kept, and the
    sessions follow as soon as Redis is back.
    """
    changes = [IdentityChange(user_id=user_id) for user_id in user_ids]
    if changes:
        IdentityChange.objects.bulk_create(changes)
        transaction.on_commit(lambda: _follow(changes))


def _follow(changes: Iterable[IdentityChange]) -> int:
    touched = 0
    for change in changes:
        touched += sign_ins.refresh(str(change.user_id))
        IdentityChange.objects.filter(pk=change.pk).delete()
    return touched


def follow_pending() -> int:
    """Follow what could not be followed when it happened. Returns how many sign-ins were touched."""
    pending = list(IdentityChange.objects.order_by("pk"))
    try:
        return _follow(pending)
    except StoreUnavailable:
        log.warning("identity_changes_pending count=%d", len(pending))
        raise
